# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Energy of a GPU, from a program that stands for the card's."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_vlsm.studies.energy import EnergyMeter, power


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\n[ "$1" = --id=1 ] && echo 250.50\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return program


@pytest.mark.usefixtures("card")
def test_power_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert power("1") == 250.5
    monkeypatch.setattr("monai_vlsm.studies.energy.monotonic", iter([5.0, 7.0]).__next__)
    with EnergyMeter("1", every=3600) as meter:
        pass
    assert meter.joules == 501.0 and meter.watt_hours == 0.139


def test_a_card_that_does_not_tell(card: Path) -> None:
    card.write_text("#!/bin/sh\necho '[N/A]'\n")
    assert power("1") is None
    with EnergyMeter("1", every=0.01) as meter:
        pass
    assert meter.watt_hours is None


def test_the_cpu() -> None:
    with EnergyMeter("") as meter:
        pass
    assert meter.watt_hours is None
