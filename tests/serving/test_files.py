# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_vlsm.checkpoints import ModelMismatchError, ModelNotFoundError, TrainedState, seal
from monai_vlsm.networks import CLIPSegNet, TargetUNet
from monai_vlsm.serving import AdapterBank, check_model, find_models, model_facts
from tests import tiny
from tests.serving.models import ADAPTATIONS, save

Files = dict[str, Path]


def test_facts(files: Files, trained: dict[str, CLIPSegNet], backbone: Path) -> None:
    facts = model_facts(files["dense vlc"])
    state = TrainedState(trained["dense vlc"])
    assert facts.file == str(files["dense vlc"])
    assert (facts.network, facts.backbone, facts.base) == ("CLIPSegNet", str(backbone), state.fingerprint)
    assert facts.adaptation_text == "DenseAdaptation(towers='vl', width=3, condition_width=5)"
    assert (facts.image_size, facts.default_prompt, facts.existence_threshold) == (tiny.SIZE, "one polyp", 0.0)
    assert facts.parameters == sum(p.numel() for p in trained["dense vlc"].parameters() if p.requires_grad)
    assert facts.size == files["dense vlc"].stat().st_size
    assert facts.other == {}


def test_facts_of_a_network_without_adapters(tmp_path: Path) -> None:
    file = save(TargetUNet("unet-mini", targets=["brain"]), tmp_path / "model.pt")
    facts = model_facts(file)
    assert facts.adaptation_text == "none"
    assert facts.other == {"targets": ["brain"]}
    assert facts.base == ""


def test_find_models(files: Files, tmp_path: Path) -> None:
    for name in ("b/model.pt", "a/models/model.pt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(files["shallow"].read_bytes())
    torch.save({"epoch": 3}, tmp_path / "b" / "last.pt")
    (tmp_path / "b" / "folder.pt").mkdir()
    (tmp_path / "b" / "notes.txt").touch()
    models, others = find_models(tmp_path)
    assert [Path(facts.file).relative_to(tmp_path) for facts in models] == [
        Path("a/models/model.pt"),
        Path("b/model.pt"),
    ]
    assert others == [tmp_path / "b" / "last.pt"]
    assert find_models(files["shallow"]) == ([model_facts(files["shallow"])], [])
    with pytest.raises(ModelNotFoundError, match=r"no folder .*absent"):
        find_models(tmp_path / "absent")


@pytest.mark.parametrize("kind", ADAPTATIONS)
def test_check_fits(kind: str, full_bank: AdapterBank, files: Files) -> None:
    check_model(files[kind], full_bank)
    assert full_bank.names == tuple(ADAPTATIONS)


def test_check_of_a_unet_that_needs_a_target(tmp_path: Path) -> None:
    file = save(TargetUNet("unet-mini", targets=["white matter"]), tmp_path / "model.pt")
    check_model(file, AdapterBank("unet-mini"))


def test_check_of_damaged_weights(full_bank: AdapterBank, trained: dict[str, CLIPSegNet], tmp_path: Path) -> None:
    state = TrainedState(trained["dense v"]).state_dict()
    for name in trained["dense v"].trained_names:
        state[name].fill_(3e38)
    torch.save(seal(state), tmp_path / "model.pt")
    with pytest.raises(ModelMismatchError, match=r"model\.pt: loads on .*, but computes values that are no numbers"):
        check_model(tmp_path / "model.pt", full_bank)
    assert full_bank.names == tuple(ADAPTATIONS)


def test_check_of_a_model_that_does_not_run(full_bank: AdapterBank, files: Files, tmp_path: Path) -> None:
    state = torch.load(files["dense v"], weights_only=True)
    state["monai_vlsm"]["image_size"] = 16 * 10**8  # no memory is large enough
    torch.save(seal(state), tmp_path / "model.pt")
    with pytest.raises(ModelMismatchError, match=r"loads on .*, but does not run: "):
        check_model(tmp_path / "model.pt", full_bank)
    assert full_bank.names == tuple(ADAPTATIONS)
