# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

from monai_vlsm.report import write_report
from monai_vlsm.statistics import words
from tests.statistics.runs import HOSTILE, Rows, make_run, volume, volumes


def report(folder: Path, *runs: Rows | None) -> tuple[str, str, dict[str, object]]:
    """HTML, Markdown and JSON of runs called a, b, ..."""
    made = [make_run(folder / "runs" / name, whole=whole) for name, whole in zip("abc", runs, strict=False)]
    page, text, numbers = write_report(made, folder / "report")
    return page.read_text(encoding="utf-8"), text.read_text(encoding="utf-8"), json.loads(numbers.read_bytes())


def table(text: str, start: str) -> list[list[str]]:
    """Cells of the table in Markdown whose header begins so."""
    lines = text[text.index(f"| {start} |") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in [lines[0], *lines[2:]]]


def test_a_section_with_a_line_for_each_structure(tmp_path: Path) -> None:
    whole = [volume(case, dice, patient=case) for case, dice in (("a", 0.5), ("b", 0.7))]
    whole += [volume(row["case"], 0.1, patient="", structure="spleen", pred_voxels=0) for row in whole]
    page, text, numbers = report(tmp_path, whole)
    header, liver, spleen, both = table(text, "structure")
    assert header[1:5] == ["patients", "volumes", "true mask empty", "answered empty"]
    assert liver == [
        "liver",
        "2",
        "2",
        "0",
        "0",
        "0.600 (0.500 to 0.700)",
        "8.0 (6.0 to 10.0)",
        "0.540 (0.450 to 0.630)",
    ]
    assert spleen[:6] == ["spleen", "unknown", "2", "0", "2", "0.100"]
    assert (both[0], both[3], both[5][:5]) == ("all structures", words.MISSING, "0.350")
    assert "lies within 3 mm of the other one" in text
    assert "Axial slices, prompts of style p1." in text
    assert page.count("<h3>Whole volumes</h3>") == 1
    (run,) = numbers["runs"]  # type: ignore[misc]
    assert run["volumes"]["class"][0]["hd95"]["mean"] == 8.0


def test_what_differs_has_a_column(tmp_path: Path) -> None:
    whole = [*volumes(3), *volumes(3, style="p2", plane="coronal"), *volumes(3, tag="mask-derived", style="p6")]
    _, text, _ = report(tmp_path, whole)
    assert table(text, "structure")[0][:3] == ["structure", "style", "plane"]
    assert "Axial slices, prompts of style p6." in text
    assert [row[2:5] for row in table(text, "run | dataset | style | plane")[1:]] == [
        ["p1", "axial", "3"],
        ["p2", "coronal", "3"],
    ]


def test_runs_side_by_side(tmp_path: Path) -> None:
    other = [row | {"dice": row["dice"] + 0.05} for row in volumes(12)]
    _, text, _ = report(tmp_path, volumes(12), [*other, volume("x")])
    assert "Whole volumes: 24 structures of volumes paired; left out: 1 only in b." in text
    rows = table(text, "structure | score")
    assert rows[1][:3] == ["liver", "Dice", "12"]
    assert (rows[1][5], rows[1][6]) == ("+0.050", "12")
    assert rows[-1][:2] == ["all structures", "surface Dice"]


def test_without_volumes_nothing_is_said(tmp_path: Path) -> None:
    assert "olume" not in report(tmp_path, None)[1]
    assert "Whole volumes:" not in report(tmp_path / "two", volumes(3), None)[1]


def test_names_are_escaped(tmp_path: Path) -> None:
    page, text, _ = report(tmp_path, [volume("a", structure=HOSTILE), volume("a", prompt=HOSTILE, structure="")])
    assert "<script>" not in page
    assert "<script>" not in text
