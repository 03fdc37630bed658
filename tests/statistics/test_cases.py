# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image

from monai_vlsm.evaluations import EvaluationFiles
from monai_vlsm.handlers import OverlayWriter, ScoreWriter
from monai_vlsm.statistics.cases import Cases, cases_by_tag, overlay_files
from monai_vlsm.statistics.reading import read_run
from tests.handlers import toy
from tests.statistics.runs import make_run, score, scores, write_csv, write_record


def names(cases: Cases, kind: str) -> list[str]:
    return [case.name for case in cases.cases if case.kind == kind]


def test_worst_median_and_invented(tmp_path: Path) -> None:
    rows = [score(f"d{i:02}", i / 20) for i in range(1, 16)]
    rows += [score(f"e{i}", 0, truth_empty=1, pred_pixels=i, pred_empty=int(i == 0)) for i in range(5)]
    found = cases_by_tag(read_run(make_run(tmp_path, rows)))["class"]
    assert names(found, "worst") == ["d01", "d02", "d03"]
    assert names(found, "median") == ["d07", "d08", "d09"]
    assert names(found, "invented") == ["e4", "e3", "e2"]
    assert (found.style, found.masks, found.with_overlay) == ("p1", 20, 0)


def test_few_masks_are_shown_once(tmp_path: Path) -> None:
    found = cases_by_tag(read_run(make_run(tmp_path, [score(f"d{i}", i / 10) for i in range(5)])))["class"]
    assert [case.name for case in found.cases] == ["d0", "d1", "d2", "d3", "d4"]


def test_equal_scores_are_ordered_by_distance_and_name(tmp_path: Path) -> None:
    rows = [score("b", 0, val_hd95=5), score("a", 0, val_hd95=5), score("z", 0, val_hd95=9)]
    assert names(cases_by_tag(read_run(make_run(tmp_path, rows)))["class"], "worst") == ["z", "a", "b"]


def test_tags_are_apart_and_the_most_frequent_style_counts(tmp_path: Path) -> None:
    rows = [
        score("a", 0.1, style="p7"),
        score("a", 0.2),
        score("b", 0.3),
        score("c", 0.9, style="p6", tag="mask-derived"),
    ]
    found = cases_by_tag(read_run(make_run(tmp_path, rows)))
    assert (found["class"].style, names(found["class"], "worst")) == ("p1", ["a", "b"])
    assert names(found["mask-derived"], "worst") == ["c"]


def test_prompts_with_text_are_shown_first(tmp_path: Path) -> None:
    rows = [*scores(20, style="p0"), *scores(15, style="p1")]
    assert cases_by_tag(read_run(make_run(tmp_path / "both", rows)))["class"].style == "p1"
    assert cases_by_tag(read_run(make_run(tmp_path / "one", rows[:20])))["class"].style == "p0"


def test_those_with_an_image_are_chosen_from(tmp_path: Path) -> None:
    rows = [score(f"d{i}", i / 20) for i in range(10)]
    found = cases_by_tag(read_run(make_run(tmp_path, rows, images=["d4", "d6", "unrelated"])))["class"]
    assert names(found, "worst") == ["d4", "d6"]
    assert (found.masks, found.with_overlay) == (10, 2)


def drawn(folder: Path, count: int | str) -> list[Path | None]:
    """The overlay of each row of an evaluation that draws so many.

    Names that become the same file name, and styles; each image has another height, which tells the images.
    """
    asked = [("a b", "p1", "x"), ("a+b", "p1", "x"), ("a b", "p1", "y"), ("a b", "p6", "x"), ("a+b", "p6", "x")]
    asked += [("c", "", "x"), ("c", "", "y")]
    data = []
    for index, (name, style, dataset) in enumerate(asked):
        (item,) = toy.records(1, size=(16 + 4 * index, 16))
        data.append(item | {"name": name, "dataset": dataset, "prompt_style": style, "prompt_tag": "class"})
    files = EvaluationFiles(folder)
    handlers = [ScoreWriter(files, ["val_dice", "val_hd95"]), OverlayWriter(files, count=count)]
    torch.manual_seed(0)
    toy.evaluator(torch.nn.Conv2d(3, 1, 1), data, handlers).run()
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = [{**row, "val_iou": row["val_dice"]} for row in csv.DictReader(file)]
    write_csv(folder / "metrics.csv", rows)
    write_record(folder, {})
    run = read_run(folder)
    return list(overlay_files(run.scores, run.images))


def test_images_are_those_that_the_handler_wrote(tmp_path: Path) -> None:
    widths = []
    for file in drawn(tmp_path, "all"):
        assert file is not None
        with Image.open(file) as image:
            widths.append(image.width)
    assert len(widths) == 7
    assert widths == sorted(set(widths), reverse=True)


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_some_images_have_the_names_that_all_would_have(tmp_path: Path, count: int) -> None:
    """A further style of an image may be drawn without the first one."""
    every, some = drawn(tmp_path / "all", "all"), drawn(tmp_path / "some", count)
    pairs = [(one, other) for one, other in zip(every, some, strict=True) if other is not None]
    assert len(pairs) == count
    assert all(one is not None and one.read_bytes() == other.read_bytes() for one, other in pairs)
