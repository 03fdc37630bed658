# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A Hub, and adapters to share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.networks import CLIPSegNet
from tests.hub.standin import Hub, running_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A fresh Hub; nobody is logged in, and nothing of this machine's cache is seen."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with running_hub() as found:
        yield found


def make_network(backbone: Path | str, seed: int = 1, adapters: bool = True) -> CLIPSegNet:
    """A network whose adapters do something."""
    network = CLIPSegNet(backbone, DenseAdaptation("vl", width=4) if adapters else None, default_prompt="polyp")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name in network.trained_names:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.fixture(scope="session")
def network(backbone: Path) -> CLIPSegNet:
    """Adapters on the tiny backbone, which is a local folder."""
    return make_network(backbone)


@pytest.fixture(scope="session")
def mini_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters on the embedded backbone, whose name everybody knows."""
    path = tmp_path_factory.mktemp("mini") / "model.pt"
    network = make_network("clipseg-mini")
    network.existence_threshold = 0.25
    torch.save(TrainedState(network).state_dict(), path)
    return path


@pytest.fixture
def tiny_file(network: CLIPSegNet, tmp_path: Path) -> Path:
    """Adapters on the tiny backbone."""
    path = tmp_path / "model.pt"
    torch.save(TrainedState(network).state_dict(), path)
    return path
