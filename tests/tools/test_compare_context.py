# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The table that compares ways to show the neighbours of a slice; training and evaluation have tests of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import compare_context
import pytest

from monai_vlsm.statistics import read_run
from tests.statistics.runs import make_run, score, volume


def run_of(folder: Path, dice: list[float], patients: int) -> Any:
    rows = [
        score(f"img{at}", one, image_id=f"img{at}", patient=f"p{at % patients}", structure="liver")
        for at, one in enumerate(dice)
    ]
    rows.append({**rows[0], "name": "nothing", "image_id": "nothing", "truth_empty": 1, "truth_pixels": 0})
    return read_run(make_run(folder, rows, whole=[volume("a", sum(dice) / len(dice))]))


@pytest.mark.parametrize("patients", [1, 4])
def test_table(patients: int, tmp_path: Path) -> None:
    single = run_of(tmp_path / "single", [0.4, 0.6, 0.8, 0.2], patients)
    other = run_of(tmp_path / "channels", [0.5, 0.7, 0.9, 0.3], patients)
    rows = compare_context.table({"single": single, "channels": other})
    assert rows[0][0] == "single" and rows[0][1].startswith("0.500 (") and rows[0][2:] == ("-", "0.500")
    assert rows[1][1].startswith("0.600 (") and rows[1][2:] == ("0.100 (0.100 to 0.100)", "0.600")


def test_a_run_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command: subprocess.CompletedProcess(command, 1))
    with pytest.raises(SystemExit, match=r"this failed: .* monai\.bundle run"):
        compare_context.run_bundle(["train.json"], ["--epochs", "1"])


def test_what_is_compared() -> None:
    names = compare_context.variants(2)
    assert list(names) == ["single", "2 on either side as channels", "2 on either side, attention"]
    assert names["2 on either side, attention"] == ["--context", "2", "--slice_attention", "True"]
