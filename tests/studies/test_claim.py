# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One worker for each run, whoever dies, and whatever clocks say."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from monai_vlsm.io import WriteError
from monai_vlsm.studies.claim import Claim, Claims, holder

LEASE = 0.2


def taken(claims: Claims, folder: Path, seconds: float = 5) -> Claim | None:
    """The claim as soon as it can be had."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        claim = claims.take(folder)
        if claim is not None:
            return claim
        time.sleep(0.01)
    return None


def test_one_of_many_gets_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: Claims(tmp_path, 60).take(tmp_path), range(64)))
    assert len([claim for claim in found if claim]) == 1


def test_free_again_afterwards(tmp_path: Path) -> None:
    claims = Claims(tmp_path, LEASE)
    claim = claims.take(tmp_path)
    assert claim is not None
    with claim:
        assert "process" in holder(tmp_path) and claims.is_alive(tmp_path)
    assert list(tmp_path.iterdir()) == [] and claims.take(tmp_path) is not None


def test_alive_is_never_taken(tmp_path: Path) -> None:
    claim = Claims(tmp_path, LEASE).take(tmp_path)
    assert claim is not None
    with claim:
        assert taken(Claims(tmp_path, LEASE), tmp_path, 4 * LEASE) is None
        assert not claim.lost.is_set()


def test_dead_is_taken_over(tmp_path: Path) -> None:
    assert Claims(tmp_path, LEASE).take(tmp_path)  # never touched again
    claim = taken(Claims(tmp_path, LEASE), tmp_path)
    assert claim is not None
    assert [path.name for path in tmp_path.glob("lease-*")] == ["lease-000002"]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_that_is_off(tmp_path: Path, minutes: int) -> None:
    """A file that was stamped by another clock is neither taken at once, while it changes, nor kept for ever."""
    claim = Claims(tmp_path, LEASE).take(tmp_path)
    assert claim is not None
    claims, wrong = Claims(tmp_path, LEASE), time.time() + 60 * minutes
    for beat in range(30):  # alive for five leases
        os.utime(claim.path, (wrong + beat, wrong + beat))
        assert claims.take(tmp_path) is None
        time.sleep(LEASE / 30)
    assert taken(claims, tmp_path) is not None


def test_the_clock_of_the_machine_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Claims(tmp_path, 60).take(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert Claims(tmp_path, 60).take(tmp_path) is None and Claims(tmp_path, 60).is_alive(tmp_path)


def test_who_slept_is_told(tmp_path: Path) -> None:
    claim = Claims(tmp_path, LEASE).take(tmp_path)
    other = taken(Claims(tmp_path, LEASE), tmp_path)
    assert claim is not None and other is not None
    with other, claim:
        assert claim.lost.wait(5)
    assert not other.lost.is_set()


def test_no_permission(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="cannot write to"):
        Claims(tmp_path, LEASE).take(tmp_path / "missing")
