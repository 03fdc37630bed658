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


def given_to_another(claim: Claim) -> Claim:
    """The claim of a third worker under the same path, after a second took the run over and gave it back."""
    second = taken(Claims(claim.path.parent, LEASE), claim.path.parent)
    assert second is not None and not claim.path.exists()
    with second:
        pass
    third = Claims(claim.path.parent, 60).take(claim.path.parent)
    assert third is not None and third.path == claim.path
    return third


def test_who_slept_is_told_where_the_path_is_that_of_another_by_now(tmp_path: Path) -> None:
    claim = Claims(tmp_path, LEASE).take(tmp_path)
    assert claim is not None
    third = given_to_another(claim)
    before = third.path.stat().st_mtime_ns
    with claim:
        assert claim.lost.wait(5)
    assert third.path.stat().st_mtime_ns == before and holder(tmp_path) == third.name


def test_who_slept_to_the_end_leaves_the_lease_of_another(tmp_path: Path) -> None:
    claim = Claims(tmp_path, LEASE).take(tmp_path)
    assert claim is not None
    claim.lease = 600  # no sign of life before its end
    with claim:
        third = given_to_another(claim)
    assert holder(tmp_path) == third.name


@pytest.mark.parametrize("hours", [-10, 10])
def test_a_lease_of_another_time_is_not_called_alive(tmp_path: Path, hours: int) -> None:
    claim = Claims(tmp_path, 60).take(tmp_path)
    assert claim is not None and Claims(tmp_path, 60).is_alive(tmp_path)
    wrong = time.time() + 3600 * hours
    os.utime(claim.path, (wrong, wrong))
    assert not Claims(tmp_path, 60).is_alive(tmp_path)


def test_status_needs_no_permission_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Claims(tmp_path, 60).take(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    assert Claims(tmp_path, 60).is_alive(tmp_path) and not Claims(tmp_path, 0).is_alive(tmp_path)


def test_files_that_are_no_leases(tmp_path: Path) -> None:
    for name in ("lease-000001~", "lease-copy", "lease-", "lease-000001.bak"):
        (tmp_path / name).touch()
    claim = Claims(tmp_path, 60).take(tmp_path)
    assert claim is not None and claim.path.name == "lease-000001" and "process" in holder(tmp_path)


def test_an_empty_lease_of_a_worker_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "lease-000001").touch()
    assert holder(tmp_path) == "" and taken(Claims(tmp_path, LEASE), tmp_path) is not None


def test_numbers_of_many_digits(tmp_path: Path) -> None:
    for name in ("lease-999999", "lease-1000000"):
        (tmp_path / name).touch()
    claim = taken(Claims(tmp_path, LEASE), tmp_path)
    assert claim is not None and claim.path.name == "lease-1000001"


def test_a_server_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a look at the folder nor the end of the work fails then, and the run stays the worker's own."""
    claim = Claims(tmp_path, LEASE).take(tmp_path)
    assert claim is not None

    def away(*_: object, **__: object) -> None:
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as patch, claim:
        for name in ("iterdir", "read_text", "unlink"):
            patch.setattr(Path, name, away)
        patch.setattr(os, "utime", away)
        assert not claim.lost.wait(LEASE)
    assert claim.path.exists()


def test_no_permission(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="cannot write to"):
        Claims(tmp_path, LEASE).take(tmp_path / "missing")
