# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""docs/own_adaptation.md is true: its class trains, and each tool takes its file once the module is imported."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from monai.bundle import ConfigParser

from monai_vlsm.adapters import AdaptationNotImportedError, count_parameters, trainable_parameters
from monai_vlsm.adapters.adaptation import KINDS
from monai_vlsm.apps.label import install_app, served_models
from monai_vlsm.checkpoints import TrainedState, describe
from monai_vlsm.commands import main
from monai_vlsm.hub import pull, push
from monai_vlsm.io import save_atomically
from monai_vlsm.networks import CLIPSegNet, load_network
from monai_vlsm.serving import AdapterBank
from tests.hub.conftest import hub  # noqa: F401
from tests.hub.standin import TOKEN, Hub
from tests.serving.images import write_images
from tests.serving.models import ask

ROOT = Path(__file__).parents[1]
(CODE,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own_adaptation.md").read_text("utf-8"), re.DOTALL)


def forget() -> None:
    """As in a process that has not imported the module."""
    sys.modules.pop("my_ia3", None)
    KINDS.pop("my_ia3:IA3", None)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "my_ia3.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_ia3")
    forget()


@pytest.fixture
def network(module: ModuleType, backbone: Path) -> CLIPSegNet:
    """Trained for a step."""
    torch.manual_seed(0)
    network = CLIPSegNet(backbone, module.IA3(), default_prompt="polyp")
    optimizer = torch.optim.SGD(trainable_parameters(network), lr=1.0)
    for _ in range(2):  # the first reaches what begins at zero, the second what is behind it
        optimizer.zero_grad()
        network(torch.ones(1, 3, 32, 32)).square().mean().backward()
        optimizer.step()
    return network.eval()


@pytest.fixture
def file(network: CLIPSegNet, tmp_path: Path) -> Path:
    save_atomically(TrainedState(network).state_dict(), tmp_path / "model.pt")
    forget()
    return tmp_path / "model.pt"


def test_it_begins_at_the_frozen_network_and_all_of_it_trains(module: ModuleType, backbone: Path) -> None:
    assert len(CODE.splitlines()) < 60
    bare, network = CLIPSegNet(backbone).eval(), CLIPSegNet(backbone, module.IA3()).eval()
    assert torch.equal(ask(network), ask(bare))
    # keys, values and hidden values of 10 layers each, 12 wide and 8 wide
    assert count_parameters(network)[0] == 10 * (12 + 12 + 16) + 10 * (8 + 8 + 16)


def test_every_part_gets_a_gradient(network: CLIPSegNet) -> None:
    assert all(parameter.grad.abs().sum() > 0 for parameter in trainable_parameters(network))  # type: ignore[union-attr]


def test_a_file_is_described_without_the_module_and_loaded_with_it(file: Path, network: CLIPSegNet) -> None:
    assert describe(file).adaptation_text == "my_ia3:IA3(mlp=True)"
    bank = AdapterBank(network.backbone)
    for load in (load_network, lambda path: bank.load("mine", path)):
        with pytest.raises(AdaptationNotImportedError, match="of the module my_ia3, which is not imported"):
            load(file)
    assert "my_ia3" not in sys.modules
    importlib.import_module("my_ia3")
    bank.load("mine", file)
    for other in (load_network(file), bank.network("mine")):
        torch.testing.assert_close(ask(other), ask(network), atol=1e-5, rtol=1e-5)


def test_commands(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = write_images(tmp_path / "images") / "wide.png"
    for words in (
        ["predict", image, "--prompt", "polyp", "--adapters", file, "--output", tmp_path / "masks"],
        ["adapters", "check", file],
        ["export", file, "--output", tmp_path / "exported", "--format", "torchscript"],
        ["push", file, "anna/ia3", "--preview", tmp_path / "preview"],
    ):
        forget()
        assert main([*map(str, words)]) == 1
        assert "of the module my_ia3, which is not imported" in capsys.readouterr().err
        assert main([*map(str, words), "--import", "my_ia3"]) == 0
    assert (tmp_path / "masks" / "wide_polyp.png").is_file()
    assert (tmp_path / "exported" / "model.ts").is_file()
    card = (tmp_path / "preview" / "README.md").read_text("utf-8")
    assert "--adapters ia3/model.pt --backbone /path/to/the/base --import my_ia3" in card
    assert "VLSM-Adapter" not in card
    assert main(["predict", str(image), "--prompt", "a", "--adapters", str(file), "--import", "no_such"]) == 1
    assert "error: the module no_such cannot be imported" in capsys.readouterr().err


def test_the_hub(hub: Hub, module: ModuleType, tmp_path: Path) -> None:  # noqa: F811
    network = CLIPSegNet("clipseg-mini", module.IA3(), load_weights=True)
    save_atomically(TrainedState(network).state_dict(), tmp_path / "model.pt")
    push(tmp_path / "model.pt", "anna/ia3", token=TOKEN, endpoint=hub.url)
    forget()
    with pytest.raises(AdaptationNotImportedError, match="my_ia3"):
        pull("anna/ia3", tmp_path / "here", endpoint=hub.url)
    assert not (tmp_path / "here" / "model.pt").exists()
    importlib.import_module("my_ia3")
    assert pull("anna/ia3", tmp_path / "here", endpoint=hub.url).is_file()


def test_a_bundle_and_monai_label(file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundle = tmp_path / "bundles" / "vlsm_ia3"
    shutil.copytree(ROOT / "bundles" / "vlsm_dense", bundle, ignore=shutil.ignore_patterns("models", "eval"))
    (bundle / "models").mkdir()
    shutil.copy(file, bundle / "models" / "model.pt")
    app = install_app(tmp_path / "app", [bundle])
    assert served_models(app) == [] and "of the module my_ia3, which is not imported" in caplog.text
    for name in ("train", "inference"):
        path = bundle / "configs" / f"{name}.json"
        config = json.loads(path.read_text("utf-8"))
        config["imports"].append("$import my_ia3")
        if name == "train":
            config["adaptation"] = {"_target_": "my_ia3.IA3", "mlp": False}
            config["backbone"] = describe(file).settings["backbone"]
        config["bundle_root"] = str(bundle)
        path.write_text(json.dumps(config), encoding="utf-8")
        forget()
        parser = ConfigParser()
        parser.read_config(path)
        built = parser.get_parsed_content("network_def")
        assert built.adaptation.settings() == {"type": "my_ia3:IA3", "mlp": name != "train"}
    assert [model.name for model in served_models(app)] == ["vlsm_ia3"]
