# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables from results: what stands in a cell, what never does, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.evaluations import MixedFilesError
from monai_vlsm.io import read_rows
from monai_vlsm.studies import StudyFolder
from monai_vlsm.studies.cells import PAPER, Place, Prompts, cells_of
from monai_vlsm.studies.comparisons import compare_systems
from monai_vlsm.studies.latex import latex_table
from monai_vlsm.studies.published import published
from monai_vlsm.studies.tables import LEAK, anchor
from monai_vlsm.studies.writing import FILES, write_tables
from monai_vlsm.tables import Cell, Table
from tests.studies.workers import worker

Make = Callable[..., StudyFolder]
pytestmark = pytest.mark.usefixtures("quick")
# what fake_bundle gives: 0.5 and more for later images, a hundredth for each seed above 40 and letter of the bundle
GOOD = {41: 0.5 + 5.5 / 40 + 0.01 + 0.04, 42: 0.5 + 5.5 / 40 + 0.02 + 0.04}


@pytest.fixture
def done(folder: Make) -> Make:
    """A study whose runs are done."""

    def make(**given: Any) -> StudyFolder:
        made = folder(**given)
        worker(made).work()
        return made

    return make


def rows(made: StudyFolder, name: str = "cells.csv") -> list[dict[str, str]]:
    write_tables(made, made.root / "tables")
    return read_rows(made.root / "tables" / name)


def test_mean_over_seeds_with_its_deviation(done: Make) -> None:
    first = rows(done())[0]
    assert (first["system"], first["trained"], first["score"], first["seeds"]) == ("good", "polyps", "dice", "41 42")
    assert float(first["mean"]) == pytest.approx(100 * sum(GOOD.values()) / 2, abs=1e-3)
    assert float(first["deviation"]) == pytest.approx(2**-0.5, abs=1e-3)
    assert float(first["low"]) < float(first["mean"]) < float(first["high"])
    assert first["prompts"] == "p1, class prompts" and first["paper"] == ""


def test_only_class_prompts_are_in_the_main_table(done: Make) -> None:
    made = done(styles=["p1", "random", "p4"], seeds=[41])
    prompts = {cell.prompts for cell in cells_of(made)}
    assert prompts == {Prompts("p1", "class"), PAPER, Prompts("p4", "mask-derived")}
    write_tables(made, made.root / "tables")
    text = (made.root / "tables" / "table.md").read_text(encoding="utf-8")
    main, _, others = text.partition("## Other prompts")
    assert "good (random style, as the paper tested)" in main and "mask-derived" not in main.partition("## How")[0]
    assert "p4, mask-derived prompts" in others.partition("## Where")[0]


def test_a_style_that_gives_the_mask_away_leaves_the_main_table_empty(done: Make) -> None:
    made = done(styles=["p4"], seeds=[41])
    write_tables(made, made.root / "tables")
    text = (made.root / "tables" / "table.md").read_text(encoding="utf-8")
    assert re.search(r"\| polyps \| Dice, % \|  \|  \|", text)


def test_a_partial_study_has_empty_cells(folder: Make) -> None:
    made = folder()
    write_tables(made, made.root / "tables")
    assert "0 of 4 runs done" in (made.root / "tables" / "table.md").read_text(encoding="utf-8")
    worker(folder(systems=["good"])).work()
    found = rows(folder())
    assert {row["system"] for row in found} == {"good"} and rows(folder(), "comparisons.csv") == []


def test_the_papers_value_and_the_difference(done: Make) -> None:
    systems = {"ours": {"bundle": "good", "paper": "dense VL"}}
    made = done(systems=systems, datasets={"kvasir_polyp": {"folder": "polyps"}, "moles": None}, seeds=[41])
    found = {(row["trained"], row["score"]): row for row in rows(made)}
    row = found["kvasir_polyp", "dice"]
    assert row["paper"] == "89.1" and "table 1" in row["source"]
    assert float(row["difference"]) == pytest.approx(float(row["mean"]) - 89.1, abs=1e-3)
    assert found["moles", "dice"]["paper"] == ""
    assert "paper 89.10, \N{MINUS SIGN}" in (made.root / "tables" / "table.md").read_text(encoding="utf-8")


def test_prompts_that_the_paper_did_not_ask_do_not_stand_beside_it(done: Make) -> None:
    systems = {"dense VL": {"bundle": "good"}}
    made = done(
        systems=systems, datasets={"kvasir_polyp": {"folder": "polyps"}}, styles=["p1", "random", "p4"], seeds=[41]
    )
    papers = {row["prompts"]: row["paper"] for row in rows(made) if row["score"] == "dice"}
    assert {prompts for prompts, paper in papers.items() if paper} == {
        "p1, class prompts",
        "random style, as the paper tested",
    }
    assert papers["p4, mask-derived prompts"] == ""


def test_neither_parts_of_the_data_nor_other_datasets_stand_beside_the_paper(done: Make) -> None:
    datasets = {"kvasir_polyp": {"folder": "polyps"}, "isic": {"folder": "moles", "train": False}}
    systems = {"dense VL": {"bundle": "good"}}
    transfer = {"kvasir_polyp": ["isic"]}
    made = done(systems=systems, datasets=datasets, transfer=transfer, fractions=[0.5, 1.0], seeds=[41])
    papers = {(row["fraction"], row["tested"]): row["paper"] for row in rows(made) if row["score"] == "dice"}
    assert {place: paper for place, paper in papers.items() if paper} == {("1.0", "kvasir_polyp"): "89.1"}
    assert len(papers) == 4
    text = (made.root / "tables" / "table.md").read_text(encoding="utf-8")
    assert "kvasir\\_polyp, 50\N{NO-BREAK SPACE}% of the data, tested on isic" in text


def test_leaks_are_marked(folder: Make) -> None:
    made = folder(seeds=[41])
    worker(made, leaks=lambda *_: {"patient in two splits": 3}).work()
    assert rows(made)[0]["leaks"] == "patient in two splits: 3"
    table = (made.root / "tables" / "table.md").read_text(encoding="utf-8").partition("## How")[0]
    assert table.count(LEAK) == 6


def test_a_test_on_the_validation_list_is_marked(done: Make) -> None:
    made = done(datasets={"polyps": {"test_split": "val"}}, systems=["good"], seeds=[41])
    assert {row["leaks"] for row in rows(made)} == {"tested on the validation list: 1"}
    table = (made.root / "tables" / "table.md").read_text(encoding="utf-8").partition("## How")[0]
    assert table.count(LEAK) == 3


def test_every_number_links_to_its_runs(done: Make) -> None:
    made = done()
    write_tables(made, made.root / "tables")
    page = (made.root / "tables" / "table.html").read_text(encoding="utf-8")
    links, anchors = re.findall(r'href="#(runs-[\w-]+)"', page), re.findall(r'id="(runs-[\w-]+)"', page)
    assert len(links) == 6 and set(links) == set(anchors)
    for word in (made.runs[0].name, "log.txt", "torch 2", "test.json", "epochs 2"):
        assert word in page


def test_no_two_cells_share_a_link() -> None:
    """Though names hold spaces, signs and what others look like once their signs are written as codes."""
    names = ["a", "a b", "b", "a-b", "b a", "a_20b"]
    made = [anchor(one, Place(trained, tested, 1.0)) for one in names for trained in names for tested in names]
    assert len(set(made)) == len(made)


def test_systems_are_compared_on_the_same_images(done: Make) -> None:
    pairs = compare_systems(cells_of(done()))
    assert [(pair.first, pair.other, pair.seeds, pair.units) for pair in pairs] == [("good", "better", 2, 12)]
    assert pairs[0].change.mean == pytest.approx(0.02) and pairs[0].p == pytest.approx(2 / 2**12, rel=1e-3)
    assert pairs[0].place == Place("polyps", "polyps", 1.0)


def test_many_comparisons_are_corrected(done: Make) -> None:
    found = rows(done(datasets=["polyps", "moles"]), "comparisons.csv")
    assert [float(row["p_holm"]) for row in found] == pytest.approx([2 * float(row["p"]) for row in found])


def test_files_that_were_changed(done: Make) -> None:
    made = done(seeds=[41])
    file = next(made.root.glob("runs/*/evaluations/*/metrics.csv"))
    file.write_text(file.read_text().replace("0.5", "0.9"))
    with pytest.raises(MixedFilesError, match="was changed"):
        write_tables(made, made.root / "tables")


def test_again_and_beside_somebody_elses_file(done: Make, tmp_path: Path) -> None:
    made = done(seeds=[41])
    first = [file.read_bytes() for file in write_tables(made, tmp_path / "t")]
    assert [file.read_bytes() for file in write_tables(made, tmp_path / "t")] == first
    assert [file.name for file in sorted((tmp_path / "t").glob("[!.]*"))] == sorted(FILES)


def test_what_the_paper_printed() -> None:
    found = published("CRIS", "bkai_polyp")
    assert found is not None and found.scores == (92.62, 88.30, 49.80) and found.parameters == 147
    assert published("shallow VLC", "busi").scores == (64.52, 56.88, 65.93)  # type: ignore[union-attr]
    assert published("U-Net", "busi") is None


def test_latex_signs() -> None:
    text = latex_table('50% & $x_1$ #"', Table(["[a]", "n"], [["*b|c>", Cell("1")], ["~^\\{}", Cell("2")]]))
    assert "\\caption{50\\% \\& \\$x\\_1\\$ \\#''}" in text and "{[}a] & n \\\\" in text
    assert "\n{*}b$|$c$>$ & 1 \\\\\n" in text
    assert r"\textasciitilde{}\textasciicircum{}\textbackslash{}\{\}" in text


def test_latex() -> None:
    text = latex_table("A & B", Table(["a_b", "n"], [["50 %", Cell("1.00 ± 0.10", ("0 to 2",), "x")]]))
    assert "\\caption{A \\& B}" in text and "a\\_b & n \\\\" in text
    assert "50 \\% & 1.00 $\\pm$ 0.10 \\\\" in text and "{lr}" in text
