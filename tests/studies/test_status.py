# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How far a study is, in words."""

from __future__ import annotations

import pytest

from monai_vlsm.studies.status import Status

STATES = {"a": "done", "b": "done", "c": "running", "d": "failed", "e": "waiting", "f": "waiting"}


def test_text() -> None:
    status = Status(STATES, [3600.0, 7200.0], {"c": "process 7 on n1", "d": "no list (see log.txt)"})
    head, *rest = status.text().splitlines()
    assert head == (
        "[###############...............] 3 of 6 runs: 2 done, 1 running, 1 failed, 2 waiting; about 4 hours left"
    )
    assert rest == ["running: c: process 7 on n1", "failed: d: no list (see log.txt)"]


@pytest.mark.parametrize(("workers", "left"), [(0, 5400 * 2), (1, 5400 * 3), (3, 5400 * 5 / 3)])
def test_time_left_by_those_who_work(workers: int, left: float) -> None:
    states = {"w1": "waiting", "w2": "waiting", **{str(index): "running" for index in range(workers)}}
    assert Status(states, [3600.0, 7200.0], {}).seconds_left == pytest.approx(left)


def test_before_anything_is_done() -> None:
    assert "left" not in Status({"a": "waiting"}, [], {}).text()
