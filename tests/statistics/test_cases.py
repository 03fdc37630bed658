# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
from pathlib import Path

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


def test_images_are_those_that_the_handler_wrote(tmp_path: Path) -> None:
    """Names that become the same file name, and styles; each image has another height, which tells the images."""
    asked = [("a b", "p1", "x"), ("a+b", "p1", "x"), ("a b", "p1", "y"), ("a b", "p6", "x"), ("a+b", "p6", "x")]
    asked += [("c", "", "x"), ("c", "", "y")]
    data = []
    for index, (name, style, dataset) in enumerate(asked):
        (item,) = toy.records(1, size=(16 + 4 * index, 16))
        data.append(item | {"name": name, "dataset": dataset, "prompt_style": style, "prompt_tag": "class"})
    files = EvaluationFiles(tmp_path)
    handlers = [ScoreWriter(files, ["val_dice", "val_hd95"]), OverlayWriter(files, count="all")]
    toy.evaluator(torch.nn.Conv2d(3, 1, 1), data, handlers).run()
    with (tmp_path / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = [{**row, "val_iou": row["val_dice"]} for row in csv.DictReader(file)]
    write_csv(tmp_path / "metrics.csv", rows)
    write_record(tmp_path, {})
    run = read_run(tmp_path)
    widths = []
    for file in overlay_files(run.scores, run.images):
        with Image.open(file) as image:
            widths.append(image.width)
    assert len(widths) == len(asked)
    assert widths == sorted(set(widths), reverse=True)
