# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import ignite.distributed as idist
import pytest
from ignite.engine import Engine
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monai_vlsm.handlers import TensorBoardLog


@pytest.mark.parametrize("rank", [0, 1])
def test_process_0_writes(rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others compute what is logged all the same: it may be a mean that all of them take."""
    monkeypatch.setattr(idist, "get_rank", lambda: rank)
    asked: list[float] = []
    engine = Engine(lambda _, loss: loss)
    log = TensorBoardLog(tmp_path / "log", tag_name="loss", output_transform=lambda loss: asked.append(loss) or loss)
    log.attach(engine)
    engine.run([0.5, 0.25])
    log.close()
    assert asked == [0.5, 0.25]
    assert (tmp_path / "log").is_dir() == (rank == 0)
    if rank == 0:
        found = EventAccumulator(str(tmp_path / "log"))
        found.Reload()
        assert [event.value for event in found.Scalars("loss")] == [0.5, 0.25]
