# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What only a run on a GPU shows: ``pytest tests/gpu -n 0``, on a machine whose GPU CUDA can use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.bundles.dataset import write_dataset
from tests.bundles.test_vlsm_dense import TRAIN, run

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The GPU; every test here asks for it."""
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU that CUDA can use")
    return torch.device("cuda")


@pytest.fixture(scope="module", autouse=True)
def _quickly(blank_curves: None) -> None:
    """All runs of bundles here."""


@pytest.fixture(scope="session")
def settings(device: torch.device, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A training of a second, on the GPU in float32."""
    small = {"adapter_width": 4, "epochs": 2, "batch_size": 4, "num_workers": 0, "overlays": 1, "amp": False}
    data = write_dataset(tmp_path_factory.mktemp("data"), train=6, val=3)
    return {"dataset_dir": str(data), "backbone": str(backbone), **small, "device": device}


@pytest.fixture(scope="session")
def trained(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of trainings: on the CPU and the GPU in float32, on the GPU in both types of 16 bits."""
    kinds: dict[str, dict[str, Any]] = {
        "cpu": {"device": CPU},
        "gpu": {},
        "float16": {"amp": True, "amp_dtype": "float16"},
        "bfloat16": {"amp": True, "amp_dtype": "bfloat16"},
    }
    folder = tmp_path_factory.mktemp("trained")
    return {name: run([TRAIN], folder / name, **{**settings, **more}) for name, more in kinds.items()}
