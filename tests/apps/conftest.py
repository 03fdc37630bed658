# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A small app: the bundle with a model on the tiny backbone, and one more adapter file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.apps.label import install_app
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.networks import CLIPSegNet

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
