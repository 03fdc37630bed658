# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset

from monai_vlsm.handlers import ScoreWriter
from monai_vlsm.handlers.scores import image_rows, prompts_of, score_summary
from tests.folders import visible
from tests.handlers import toy

METRICS = ["val_dice", "val_hd95"]
ROW = {
    "name": "a",
    "image_id": "a",
    "dataset": "d",
    "structure": 0,
    "style": "p1",
    "tag": "class",
    "truth_empty": 0,
    "pred_empty": 0,
}


class _Above(torch.nn.Module):
    """Segments by brightness of the first channel: logit 10 above the threshold, -10 below."""

    def __init__(self, structures: int = 1) -> None:
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.zeros(structures))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image[:, :1] > self.threshold[None, :, None, None]).float() * 20 - 10


def _squares(structures: int = 1) -> list[dict[str, Any]]:
    """Three images that are their own mask, the last one empty."""
    data = toy.records(3, structures)
    data[2]["label"] = torch.zeros_like(data[2]["label"])
    for item in data:
        item["image"] = item["label"][:1].repeat(3, 1, 1)
    data[2]["dataset"] = "other"
    return data


def _read(folder: Path) -> tuple[list[dict[str, str]], dict[str, Any]]:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file)), json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_existence_where_it_was_computed() -> None:
    masks = torch.ones(2, 4, 4)
    rows = image_rows({"name": "a", "prompt": ["x", "y"]}, {"label": masks, "pred": masks, "existence": [0.1234567, 1]})
    assert [row["existence"] for row in rows] == [0.123457, 1.0]
    assert "existence" not in image_rows({"name": "a"}, {"label": masks, "pred": masks})[0]


def test_who_is_in_the_image() -> None:
    masks = torch.ones(1, 4, 4)
    item = {"name": "scan_left", "image_id": "scan", "patient": "7"}
    (row,) = image_rows(item, {"label": masks, "pred": masks})
    assert (row["name"], row["image_id"], row["patient"]) == ("scan_left", "scan", "7")


def test_one_row_for_each_image(tmp_path: Path) -> None:
    toy.evaluator(_Above(), _squares(), [ScoreWriter(tmp_path / "out", METRICS)]).run()
    rows, summary = _read(tmp_path / "out")
    assert rows[0] == {
        "name": "case0",
        "dataset": "toy",
        "image_id": "case0",
        "patient": "",
        "structure": "0",
        "style": "",
        "tag": "class",
        "prompt": "square",
        "truth_pixels": "56",
        "pred_pixels": "56",
        "truth_empty": "0",
        "pred_empty": "0",
        "val_dice": "1.0",
        "val_hd95": "0.0",
    }
    assert [row["name"] for row in rows] == ["case0", "case1", "case2"]
    assert [row["truth_empty"] + row["pred_empty"] for row in rows] == ["00", "00", "11"]
    assert summary["mean"].keys() == {"val_dice", "val_hd95", "val_loss"}
    assert (summary["epoch"], summary["images"], summary["masks"]) == (1, 3, 3)
    assert (summary["empty_truths"], summary["empty_predictions"]) == (1, 1)
    assert summary["by_dataset"]["other"] == {"masks": 1, "val_dice": 1.0, "val_hd95": 0.0}


def test_one_row_for_each_structure(tmp_path: Path) -> None:
    network = _Above(structures=3)
    network.threshold.data[1] = 2.0  # nothing is that bright
    toy.evaluator(network, _squares(structures=3), [ScoreWriter(tmp_path, METRICS)]).run()
    rows, summary = _read(tmp_path)
    assert [(row["name"], row["structure"], row["prompt"]) for row in rows[:4]] == [
        ("case0", "0", "square 0"),
        ("case0", "1", "square 1"),
        ("case0", "2", "square 2"),
        ("case1", "0", "square 0"),
    ]
    assert [float(row["val_dice"]) for row in rows] == [1, 0, 1, 1, 0, 1, 1, 1, 1]
    assert float(rows[1]["val_hd95"]) == pytest.approx(math.hypot(16, 16), abs=1e-5)
    assert (summary["images"], summary["masks"], summary["empty_predictions"]) == (3, 9, 5)
    assert summary["by_prompt"]["square 1"]["val_dice"] == pytest.approx(1 / 3)
    assert summary["by_structure"]["0"]["val_dice"] == 1.0
    assert summary["mean"]["val_dice"] == pytest.approx(7 / 9)


def test_the_files_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    network = _Above()
    engine = toy.evaluator(network, _squares(), [ScoreWriter(tmp_path, METRICS)])
    epochs = []
    for epoch, threshold in enumerate([2.0, 0.5, 2.0, 0.5], 1):
        network.threshold.data.fill_(threshold)
        engine.run(epoch)
        epochs.append(_read(tmp_path)[1]["epoch"])
    assert epochs == [1, 2, 2, 2]
    assert len(_read(tmp_path)[0]) == 3
    assert visible(tmp_path) == {"metrics.csv", "metrics.json"}


def test_nan_becomes_null(tmp_path: Path) -> None:
    writer = ScoreWriter(tmp_path, METRICS)
    engine = toy.evaluator(_Above(), _squares(), [])
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: e.state.metrics.update(val_loss=math.nan))
    writer.attach(engine)
    engine.run()
    assert _read(tmp_path)[1]["mean"]["val_loss"] is None


@pytest.mark.parametrize("text", ["Läsion, „groß“", 'a "quoted"\nprompt', ""])
def test_any_text_survives(tmp_path: Path, text: str) -> None:
    data = _squares()[:1]
    data[0]["prompt"] = text
    toy.evaluator(_Above(), data, [ScoreWriter(tmp_path, METRICS)]).run()
    rows, summary = _read(tmp_path)
    assert rows[0]["prompt"] == text
    assert list(summary["by_prompt"]) == [text]


def test_records_without_name_and_prompt() -> None:
    masks = {"label": torch.zeros(1, 2, 2), "pred": torch.ones(1, 2, 2)}
    (row,) = image_rows({}, masks)
    assert (row["name"], row["dataset"], row["prompt"], row["pred_pixels"]) == ("", "", "", 4)


def test_means_leave_out_what_is_not_finite() -> None:
    row = ROW | {"prompt": "p"}
    rows = [row | {"dice": 0.5}, row | {"dice": math.nan}, row | {"dice": math.nan, "prompt": "q"}]
    summary = score_summary(rows, ["dice"])
    assert summary["by_prompt"] == {"p": {"masks": 2, "dice": 0.5}, "q": {"masks": 1, "dice": None}}
    assert (summary["images"], summary["masks"]) == (1, 3)


@pytest.mark.parametrize(
    ("metric", "details", "error", "message"),
    [
        ("val_iou", None, KeyError, r"no details of 'val_iou', only of \['val_dice', 'val_hd95', 'val_loss'\]"),
        ("val_dice", torch.zeros(2, 1), ValueError, "'val_dice' has 2 scores for 3 masks"),
    ],
)
def test_metrics_without_a_score_for_each_mask(
    tmp_path: Path, metric: str, details: Any, error: type[Exception], message: str
) -> None:
    engine = toy.evaluator(_Above(), _squares(), [])
    if details is not None:
        engine.add_event_handler(
            Events.EPOCH_COMPLETED, lambda engine: engine.state.metric_details.update({metric: details})
        )
    ScoreWriter(tmp_path, [metric]).attach(engine)
    with pytest.raises(error, match=message):
        engine.run()


def test_one_tag_at_the_top_too(tmp_path: Path) -> None:
    data = [item | {"prompt_style": "p6", "prompt_tag": "mask-derived"} for item in _squares()]
    toy.evaluator(_Above(), data, [ScoreWriter(tmp_path, METRICS)]).run()
    rows, summary = _read(tmp_path)
    assert {(row["style"], row["tag"]) for row in rows} == {("p6", "mask-derived")}
    assert summary["tags"] == ["mask-derived"]
    assert summary["mean"]["val_dice"] == 1.0
    assert summary["by_style"] == {"p6": {"masks": 3, "val_dice": 1.0, "val_hd95": 0.0}}
    own = summary["by_tag"]["mask-derived"]
    assert own["mean"] == {"val_dice": 1.0, "val_hd95": 0.0}
    assert {key: value for key, value in own.items() if key != "mean"}.items() <= summary.items()


def test_tags_are_never_mixed(tmp_path: Path) -> None:
    network = _Above(structures=3)
    network.threshold.data[1] = 2.0  # never found
    styles, tags = ["p1", "p6", "p2"], ["class", "mask-derived", "metadata"]
    data = [item | {"prompt_style": styles, "prompt_tag": tags} for item in _squares(structures=3)]
    data[1]["prompt_tag"] = ["class", "class", "metadata"]
    toy.evaluator(network, data, [ScoreWriter(tmp_path, METRICS)]).run()
    rows, summary = _read(tmp_path)
    assert [row["tag"] for row in rows] == ["class", "mask-derived", "metadata", "class", "class", "metadata", *tags]
    assert [row["style"] for row in rows[:3]] == styles
    assert summary["tags"] == list(summary["by_tag"]) == ["class", "metadata", "mask-derived"]
    assert (summary["mean"], summary["masks"], summary["empty_predictions"]) == (None, 9, 5)
    assert not {"by_dataset", "by_prompt", "by_style", "by_structure"} & summary.keys()
    parts = summary["by_tag"]
    assert [part["masks"] for part in parts.values()] == [4, 3, 2]
    assert [part["images"] for part in parts.values()] == [3, 3, 2]
    assert parts["class"]["mean"]["val_dice"] == pytest.approx(3 / 4)
    assert parts["mask-derived"]["mean"]["val_dice"] == pytest.approx(1 / 2)
    assert parts["class"]["by_style"]["p6"]["val_dice"] == 0.0
    assert parts["metadata"]["by_structure"] == {"2": {"masks": 3, "val_dice": 1.0, "val_hd95": 0.0}}


@pytest.mark.parametrize("structures", [1, 2])
def test_tags_of_a_batch(tmp_path: Path, structures: int) -> None:
    tags: Any = "metadata" if structures == 1 else ["metadata", "class"]
    data = [item | {"prompt_tag": tags} for item in toy.records(3, structures)]
    engine = toy.evaluator(_Above(structures), data, [ScoreWriter(tmp_path, METRICS)])
    engine.data_loader, engine.state.epoch_length = DataLoader(Dataset(data), batch_size=3), 1
    engine.run()
    assert [row["tag"] for row in _read(tmp_path)[0]] == (["metadata"] * 3 if structures == 1 else tags * 3)


def test_unknown_tag() -> None:
    masks = {"label": torch.zeros(1, 2, 2), "pred": torch.ones(1, 2, 2)}
    with pytest.raises(ValueError, match="unknown tag 'leak', known: class, metadata, mask-derived"):
        image_rows({"prompt_tag": "leak"}, masks)


def test_tags_that_do_not_fit_the_masks() -> None:
    masks = {"label": torch.zeros(2, 2, 2), "pred": torch.ones(2, 2, 2)}
    with pytest.raises(ValueError, match=r"has 2 masks but 1 prompt_tags: \['class'\]"):
        image_rows({"prompt_tag": ["class"]}, masks)


def test_summary_of_nothing() -> None:
    assert score_summary([], ["dice"])["tags"] == []


def test_prompts_that_do_not_fit_the_masks() -> None:
    assert prompts_of({"prompt": "one for all"}, 2) == ["one for all"] * 2
    with pytest.raises(ValueError, match=r"\['x'\] has 3 masks but 2 prompts: \['a', 'b'\]"):
        prompts_of({"prompt": ["a", "b"], "name": "x"}, 3)


def _evaluate_part(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    data = _squares()[rank::2]  # images 0 and 2, image 1
    if rank == 1:
        data[0]["image"] = data[0]["image"] * 0  # not found
    toy.evaluator(_Above(), data, [ScoreWriter(folder / f"rank{rank}", METRICS)]).run()
    torch.distributed.destroy_process_group()


def test_two_processes_make_one_table(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(_evaluate_part, args=(tmp_path,), nprocs=2, start_method="fork")
    rows, summary = _read(tmp_path / "rank0")
    assert [(row["name"], row["val_dice"]) for row in rows] == [("case0", "1.0"), ("case2", "1.0"), ("case1", "0.0")]
    assert (summary["images"], summary["empty_predictions"]) == (3, 2)
    assert not (tmp_path / "rank1").exists()
