# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CUDA itself says that no step of a training waits for the GPU; tests/bundles/test_host_waits.py counts on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer

from tests.bundles.test_host_waits import SWITCHES
from tests.bundles.test_vlsm_dense import TRAIN, run


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Iterations of the trainer, from the second on, in which a wait is an error: the first one sets up libraries."""
    done: list[int] = []
    register = SupervisedTrainer._register_handlers

    def begin(engine: Any) -> None:
        torch.cuda.set_sync_debug_mode("error" if engine.state.iteration > 1 else "default")

    def end(engine: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")
        done.append(engine.state.iteration)

    def register_between(engine: Any, handlers: Any) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, begin)
        register(engine, handlers)
        engine.add_event_handler(Events.ITERATION_COMPLETED, end)

    monkeypatch.setattr(SupervisedTrainer, "_register_handlers", register_between)
    yield done
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("amp", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("switch", SWITCHES)
def test_no_step_waits(switch: str, amp: bool, settings: dict[str, Any], tmp_path: Path, steps: list[int]) -> None:
    more = {**settings, **SWITCHES[switch][0], "amp": amp, "batch_size": 2}
    run([TRAIN], tmp_path, **more)
    assert len(steps) >= 6
