# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_vlsm.checkpoints import ModelNotFoundError, TrainedState, describe, find_models
from monai_vlsm.networks import CLIPSegNet, TargetUNet
from tests.serving.models import save, train


@pytest.fixture(scope="module")
def network(backbone: Path) -> CLIPSegNet:
    return train(backbone, "dense vlc")


@pytest.fixture(scope="module")
def file(network: CLIPSegNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(network, tmp_path_factory.mktemp("described") / "model.pt")


def test_describe(file: Path, network: CLIPSegNet) -> None:
    facts = describe(file)
    assert facts.settings == TrainedState(network).settings()
    assert facts.adaptation_text == "DenseAdaptation(encoders='vl', width=3, condition_width=5)"
    assert facts.parameters == sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert (facts.file, facts.size) == (str(file), file.stat().st_size)


def test_describe_a_network_without_adapters(tmp_path: Path) -> None:
    facts = describe(save(TargetUNet("unet-mini", targets=["brain"]), tmp_path / "model.pt"))
    assert facts.adaptation_text == "none"
    assert (facts.settings["targets"], facts.settings["base"]) == (["brain"], "")


def test_find_models(file: Path, tmp_path: Path) -> None:
    for name in ("b/model.pt", "a/models/model.pt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(file.read_bytes())
    torch.save({"epoch": 3}, tmp_path / "b" / "last.pt")
    (tmp_path / "b" / "folder.pt").mkdir()
    (tmp_path / "b" / "notes.txt").touch()
    models, others = find_models(tmp_path)
    assert [Path(facts.file).relative_to(tmp_path) for facts in models] == [
        Path("a/models/model.pt"),
        Path("b/model.pt"),
    ]
    assert others == [tmp_path / "b" / "last.pt"]
    assert find_models(file) == ([describe(file)], [])
    with pytest.raises(ModelNotFoundError, match=r"no folder .*absent"):
        find_models(tmp_path / "absent")
