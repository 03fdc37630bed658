# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Each adaptation takes a step on the small network; its figures mean nothing there."""

from __future__ import annotations

import json
from pathlib import Path

import adaptations
import pytest
from conditions import Conditions
from ours import ADAPTATIONS

QUICK = Conditions(quick=True)
KINDS = ("dense_vl", "lora_qv", "telescopic", "cross_modal")
pytestmark = pytest.mark.usefixtures("small_network")


@pytest.mark.slow
def test_each_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptations, "ADAPTATIONS", {name: ADAPTATIONS[name] for name in KINDS})
    monkeypatch.setattr(adaptations, "measure_apart", lambda kind, _: adaptations.measure(kind, QUICK, 1))
    assert adaptations.main(["--tiny", "--output", str(tmp_path)]) == 0
    (file,) = tmp_path.glob("tiny--adaptations--cpu--b2.json")
    rows = {row["kind"]: row for row in json.loads(file.read_text())["adaptations"]}
    assert list(rows) == list(KINDS)
    assert all(row["trained"] > 0 and row["seconds"] > 0 and "peak_memory_gib" in row for row in rows.values())
    assert file.with_suffix(".md").read_text() == capsys.readouterr().out


def test_shares_are_of_dense_vl() -> None:
    rows = [
        {"kind": "dense_vl", "trained": 700, "seconds": 0.2, "peak_memory_gib": 4.0},
        {"kind": "bitfit", "trained": 30, "seconds": 0.1, "peak_memory_gib": 1.0},
    ]
    _, _, bitfit, dense = adaptations.table(rows).splitlines()
    assert [cell.strip() for cell in bitfit.split("|")[1:-1]] == ["bitfit", "30", "100.0", "0.50", "1.00", "0.25"]
    assert [cell.strip() for cell in dense.split("|")[1:-1]] == ["dense vl", "700", "200.0", "1.00", "4.00", "1.00"]
