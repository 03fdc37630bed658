# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Makes the benchmarks importable as the modules they are when they are run as scripts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peak memory is made up and not measured in a fresh process, which would import torch anew each time."""
    import speed

    monkeypatch.setattr(speed, "memory_in_fresh_process", lambda *_: 1.0)


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch, backbone: Path) -> None:
    """Quick conditions take the tests' own network, which is much smaller than clipseg-mini."""
    import conditions
    import gpu_files

    for module in (conditions, gpu_files):
        monkeypatch.setattr(module, "MINI", str(backbone))
