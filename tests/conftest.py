# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that more than one test module needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import tiny

torch.set_num_threads(1)  # a forked process hangs on the OpenMP threads of its parent, and the models are tiny

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny backbone."""
    return tiny.write_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with large reference data that stays outside the repository; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("reference data beside the repository is not here")
    return SHARED
