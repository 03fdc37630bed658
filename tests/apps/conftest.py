# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A small app: the bundle with a model on the tiny backbone, and one more adapter file."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.adapters.adaptation import KINDS
from monai_vlsm.apps.label import install_app
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.io import save_atomically
from monai_vlsm.networks import CLIPSegNet
from tests.apps.server import Client, running, write_images

BUNDLE = Path(__file__).parents[2] / "bundles" / "vlsm_dense"


def write_model(file: Path, backbone: Path, seed: int) -> Path:
    """A trained file with random adapters, as different from others as the seed."""
    torch.manual_seed(seed)
    network = CLIPSegNet(backbone, DenseAdaptation("vl", width=4), default_prompt="polyp")
    for name, parameter in network.named_parameters():
        if name in network.trained_names:
            torch.nn.init.normal_(parameter, std=0.5)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(TrainedState(network).state_dict(), file)
    return file


@pytest.fixture(scope="session")
def bundle(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a model; not to be changed."""
    folder = tmp_path_factory.mktemp("bundles") / "vlsm_dense"
    shutil.copytree(BUNDLE, folder, ignore=shutil.ignore_patterns("models", "eval"))
    write_model(folder / "models" / "model.pt", backbone, seed=1)
    return folder


@pytest.fixture(scope="session")
def adapter(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter file on the same base; not to be changed."""
    return write_model(tmp_path_factory.mktemp("adapters") / "second.pt", backbone, seed=2)


@pytest.fixture
def app(tmp_path: Path, bundle: Path, adapter: Path) -> Path:
    """Folder of an app with two models and the target ``polyp``."""
    return install_app(tmp_path / "app", [bundle], [adapter])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rest")


@pytest.fixture(scope="module")
def own(place: Path, backbone: Path) -> Iterator[Path]:
    """A file with an adaptation of a module that lies where the server starts."""
    page = Path(__file__).parents[2] / "docs" / "own_adaptation.md"
    (place / "my_ia3.py").write_text(page.read_text("utf-8").split("```python\n")[1].split("```")[0], "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place)
        network = CLIPSegNet(backbone, importlib.import_module("my_ia3").IA3(), default_prompt="polyp")
    save_atomically(TrainedState(network).state_dict(), place / "own.pt")
    yield place / "own.pt"
    del sys.modules["my_ia3"], KINDS["my_ia3:IA3"]


@pytest.fixture(scope="module")
def client(place: Path, bundle: Path, adapter: Path, own: Path) -> Iterator[Client]:
    app = install_app(place / "app", [bundle], [adapter, own])
    (app / "prompts.json").write_text(json.dumps({"polyp": "one small polyp", "brain": "brain"}))
    write_images(place / "studies")
    scoring = ["epistemic_model", "second", "epistemic_simulation_size", "2"]
    with running(app, place / "studies", place, *scoring, "import", "my_ia3") as found:
        yield found
