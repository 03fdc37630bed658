# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Makes the benchmarks importable as the modules they are when they are run as scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peak memory is measured here and not in a fresh process, which would import torch anew each time."""
    import speed
    from cases import Case
    from conditions import Conditions
    from measure import peak_memory

    def here(case: Case, conditions: Conditions, side: str) -> float:
        return peak_memory(lambda: case.sides[side](conditions), conditions.device)

    monkeypatch.setattr(speed, "_in_fresh_process", here)


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch, backbone: Path) -> Callable[[], None] | None:
    """Quick conditions take the tests' own network, which is much smaller than clipseg-mini."""
    import conditions

    monkeypatch.setattr(conditions, "MINI", str(backbone))
    return None
