# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CurvePlot and OverlayWriter."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from monai_vlsm.drawing.colours import rgb
from monai_vlsm.handlers import CurvePlot, OverlayWriter
from monai_vlsm.handlers.curves import draw_curves
from monai_vlsm.handlers.overlay_writer import _first, _Row, keys_of
from monai_vlsm.handlers.overlays import (
    PREDICTION,
    TRUTH,
    Overlay,
    _prediction,
    _title,
    _truth,
    draw_overlay,
)
from monai_vlsm.networks import CLIPSegNet, SANNet
from monai_vlsm.outputs import NotOursError
from tests.folders import visible
from tests.handlers import toy

COLOUR = (0.8, 0.3, 0.4)


def _lines(figure: Any) -> list[dict[str, list[float]]]:
    """The named curves of each panel."""
    panels = []
    for axes in figure.axes:
        found = [line for line in axes.lines if not line.get_label().startswith("_")]
        panels.append({line.get_label(): list(line.get_ydata()) for line in found})
    return panels


def test_curves_show_their_values_and_the_best_epoch() -> None:
    curves = {
        "train_loss": [(1, 0.9), (2, 0.5), (3, 0.4)],
        "val_loss": [(2, 0.7)],
        "val_dice": [(1, 0.2), (2, 0.6), (3, 0.6)],
    }
    figure = draw_curves(curves, ["train_loss", "val_loss", "other"], ["val_dice"])
    assert _lines(figure) == [{"train_loss": [0.9, 0.5, 0.4], "val_loss": [0.7]}, {"val_dice": [0.2, 0.6, 0.6]}]
    assert figure.get_suptitle() == "best val_dice 0.600 after epoch 2"


@pytest.mark.parametrize("scores", [[], ["val_dice"]])
def test_curves_without_scores_or_with_nan_only(scores: list[str], tmp_path: Path) -> None:
    figure = draw_curves({"train_loss": [(1, 0.5)], "val_dice": [(1, math.nan)]}, ["train_loss"], scores)
    figure.savefig(tmp_path / "x.png")
    assert figure.get_suptitle() == ""


def test_curve_plot_keeps_its_values_across_a_resume(tmp_path: Path) -> None:
    toy.trainer(tmp_path, epochs=2, interval=2).run()
    toy.trainer(tmp_path, epochs=3, interval=2, resume=True).run()
    curves = torch.load(tmp_path / "last.pt", weights_only=True)["objects"]["curves"]
    assert {name: [epoch for epoch, _ in curve] for name, curve in curves.items()} == {
        "train_loss": [1, 2, 3],
        "val_loss": [2],
        "val_dice": [2],
    }
    assert all(isinstance(value, float) for curve in curves.values() for _, value in curve)
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (840, 720)


def test_curve_plot_state_is_a_copy(tmp_path: Path) -> None:
    plot = CurvePlot(tmp_path / "x.png")
    plot.load_state_dict({"train_loss": [[1, 0.5]]})
    state = plot.state_dict()
    plot.curves["train_loss"].append((2, 0.4))
    assert state == {"train_loss": [(1, 0.5)]}


def _item(structures: int, height: int = 40, width: int = 60) -> tuple[dict[str, Any], dict[str, Any]]:
    """An image of one colour; truth in its upper left, prediction in its lower right."""
    pixels = torch.tensor(COLOUR)[:, None, None].repeat(1, 32, 32)
    truth, pred = torch.zeros(2, structures, height, width)
    truth[:, :20, :30], pred[:, 10:, 20:] = 1, 1
    prompt = [f"structure {k}" for k in range(structures)] if structures > 1 else "the polyp"
    return {"image": pixels, "prompt": prompt, "name": "case"}, {"label": truth, "pred": pred}


def colours(image: Image.Image | np.ndarray) -> set[tuple[int, ...]]:
    red, green, blue = np.moveaxis(np.asarray(image).astype(np.int32), -1, 0)
    packed = np.unique(red << 16 | green << 8 | blue)  # of rows, numpy takes seconds
    return {(colour >> 16, colour >> 8 & 255, colour & 255) for colour in packed.tolist()}


SHOWN = tuple(round(255 * value) for value in COLOUR)
FILLED = tuple(round(0.7 * shown + 0.3 * value) for shown, value in zip(SHOWN, rgb(PREDICTION), strict=True))


@pytest.mark.parametrize(("structures", "side"), [(1, 432), (2, 288), (5, 288)])
def test_overlay_is_small_and_lies_where_the_masks_are(structures: int, side: int) -> None:
    overlay = Overlay.of(*_item(structures, height=400, width=600))
    height = side * 2 // 3
    assert overlay.image.shape == (height, side, 3)
    assert colours(overlay.image) == {SHOWN}
    assert overlay.truth.shape == overlay.pred.shape == (structures, height, side)
    for mask, share in ((overlay.truth, 600 / 240000), (overlay.pred, 390 * 580 / 240000)):
        assert mask[0].mean() == pytest.approx(share, rel=0.1)
    assert overlay.dice == pytest.approx([2 * 100 / (600 + 390 * 580)] * structures)


@pytest.mark.parametrize("structures", [1, 2, 7])
def test_image_of_an_overlay(structures: int) -> None:
    image = draw_overlay(Overlay.of(*_item(structures)))
    assert {SHOWN, FILLED, rgb(TRUTH), rgb(PREDICTION)} <= colours(image)
    assert image.width == {1: 3 * 432 + 16, 2: 2 * 288 + 8, 7: 5 * 288 + 32}[structures] + 20
    blue = (np.asarray(image) == rgb(TRUTH)).all(axis=-1)
    assert blue[:, :432].sum() > 0 if structures > 1 else blue[:, 442:].sum() > 0


def test_truth_is_outlined_and_the_prediction_filled() -> None:
    truth, prediction = (panel(Overlay.of(*_item(1)), 0) for panel in (_truth, _prediction))
    assert colours(truth) == {SHOWN, rgb(TRUTH)}
    assert colours(prediction) == {SHOWN, FILLED, rgb(TRUTH), rgb(PREDICTION)}
    assert tuple(prediction[-20, -20]) == FILLED


@pytest.mark.parametrize(
    ("truth", "pred", "title"), [(0, 0, "Dice 1.000, no truth"), (0, 1, "Dice 0.000, no truth"), (1, 0, "Dice 0.000")]
)
def test_empty_and_full_masks(truth: int, pred: int, title: str) -> None:
    item, output = _item(1)
    output["label"].fill_(truth)
    output["pred"].fill_(pred)
    overlay = Overlay.of(item, output)
    assert _title(overlay, 0) == f"the polyp\n{title}"
    found = colours(draw_overlay(overlay))
    assert (SHOWN in found, FILLED in found) == (True, bool(pred))


def test_missing_prompt_and_prompt_of_several_lines() -> None:
    item, output = _item(1)
    for prompt, shown in (("", "(no prompt)"), ("one\nlarge  polyp", "one large polyp")):
        item["prompt"] = prompt
        assert _title(Overlay.of(item, output), 0).startswith(f"{shown}\nDice")


@pytest.mark.parametrize(("shape", "structures"), [((1, 300), 1), ((20000, 20), 1), ((3000, 4000), 1), ((9, 9), 100)])
def test_images_have_a_bounded_size(shape: tuple[int, int], structures: int) -> None:
    item, output = _item(structures, *shape)
    item["prompt"] = ["one large polyp " * 30] * structures if structures > 1 else "one large polyp " * 100
    image = draw_overlay(Overlay.of(item, output))
    assert image.width <= 1600
    assert image.height <= (4800 if structures > 1 else 800)


STATISTICS = [(CLIPSegNet.image_mean, CLIPSegNet.image_std), (SANNet.image_mean, SANNet.image_std)]


class Normalised(torch.nn.Conv2d):
    """A network that says what its images were normalised with."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(3, 1, 1)
        self.image_mean, self.image_std = mean, std


@pytest.mark.parametrize("told", ["by the network", "by its wrapper", "by the config", "not normalised"])
@pytest.mark.parametrize(("mean", "std"), STATISTICS, ids=["ImageNet", "CLIP"])
def test_the_image_is_the_image_as_read(told: str, mean: Sequence[float], std: Sequence[float], tmp_path: Path) -> None:
    colour = torch.tensor([0.9, 0.5, 0.1])[:, None, None]
    normalised = (colour - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    image = (colour if told == "not normalised" else normalised).expand(3, 32, 32)
    data = [{"image": image, "label": torch.zeros(1, 32, 32), "name": "a", "prompt": "polyp"}]
    network: torch.nn.Module = Normalised(mean, std) if told.startswith("by the n") else torch.nn.Conv2d(3, 1, 1)
    if told == "by its wrapper":
        network.forward, network.module = Normalised(mean, std).forward, Normalised(mean, std)  # type: ignore[assignment]
    given = {"mean": mean, "std": std} if told == "by the config" else {}
    toy.evaluator(network, data, [OverlayWriter(tmp_path, count="all", **given)]).run()
    with Image.open(tmp_path / "a.png") as overlay:
        drawn = np.asarray(overlay.convert("RGB")).reshape(-1, 3)
    wanted = np.round(colour.flatten().numpy() * 255)
    assert (np.abs(drawn - wanted) <= 1).all(axis=1).sum() > 100


def test_writer_chooses_the_same_images_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    network = torch.nn.Conv2d(3, 1, 1)
    network.weight.data.fill_(1.0)
    network.bias.data.fill_(-1.0)
    data = toy.records(5, size=(16, 24))
    data[2]["name"] = "busi/benign (3).png"
    engine = toy.evaluator(network, data, [OverlayWriter(tmp_path / "overlays", count=3)])
    engine.run(1)
    names = ["busi_benign_3_.png.png", "case1.png", "case3.png"]
    files = sorted((tmp_path / "overlays").glob("*.png"))
    assert [path.name for path in files] == names
    before = [path.read_bytes() for path in files]
    network.bias.data.fill_(-50.0)  # worse: predicts nothing
    engine.run(2)
    assert [path.read_bytes() for path in files] == before
    with Image.open(files[0]) as image:
        assert image.width > image.height


ORDERS = [None, [[0, 1, 2], [3, 4], [5, 6, 7], [8]], [[8, 3], [0, 5], [1, 7, 2, 4, 6]]]


@pytest.mark.parametrize("batches", ORDERS)
def test_the_same_images_however_they_come(batches: list[list[int]] | None, tmp_path: Path) -> None:
    network = torch.nn.Conv2d(3, 1, 1)
    toy.evaluator(network, toy.records(9), [OverlayWriter(tmp_path, count=3)], batches=batches).run()
    assert visible(tmp_path) == {"case2.png", "case3.png", "case6.png"}  # the lowest by zlib.crc32 of "toy/case0"


@pytest.mark.parametrize("batches", ORDERS)
def test_each_image_is_shown_once_before_one_is_shown_again(batches: list[list[int]] | None, tmp_path: Path) -> None:
    """Of an image the lowest by zlib.crc32 of "a/whole/"; the second ones when the images are too few."""
    records = [(image, f"{image}/{part}") for image in "abc" for part in ("left", "right", "whole")]
    data = [
        {**one, "image_id": image, "name": name} for one, (image, name) in zip(toy.records(9), records, strict=True)
    ]
    shown = []
    for count in (1, 2, 3, 4, 9):
        writer = OverlayWriter(tmp_path / str(count), count=count)
        toy.evaluator(torch.nn.Conv2d(3, 1, 1), data, [writer], batches=batches).run()
        shown.append(visible(tmp_path / str(count)))
    assert shown[0] < shown[1] < shown[2] == {"a_whole.png", "b_right.png", "c_whole.png"} < shown[3] < shown[4]
    assert [len(files) for files in shown] == [1, 2, 3, 4, 9]


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_what_is_kept_as_images_come_is_what_is_first_of_all(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same order, also where rows look like each other."""
    monkeypatch.setattr(OverlayWriter, "_overlay", lambda self, engine, item, output: output)
    order = random.Random(count)
    for images in (1, 3, 10, 60):
        for _ in range(8):
            items = [{"image_id": str(order.randrange(images)), "name": str(order.randrange(50))} for _ in range(60)]
            rows = [_Row.of(item, keys_of(item, 1)[0]) for item in items]
            writer = OverlayWriter(tmp_path, count)
            for number, (item, row) in enumerate(zip(items, rows, strict=True)):
                writer._choose(None, item, {"number": number}, row)
            expected = _first(rows, count)
            kept: list[tuple[_Row, Any]] = [*writer._overlays]
            assert [(row, output["number"]) for row, output in kept] == [(rows[k], k) for k in expected]


def test_a_row_that_is_out_costs_no_sorting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OverlayWriter, "_overlay", lambda self, engine, item, output: output)
    rows = sorted((_Row.of({}, ("", str(number), "")) for number in range(9)), key=lambda row: row.image)
    writer = OverlayWriter(tmp_path, 3)
    for row in rows[:3]:
        writer._choose(None, {}, {}, row)
    monkeypatch.setattr("monai_vlsm.handlers.overlay_writer._first", lambda *_: pytest.fail("sorted"))
    for row in rows[3:]:
        writer._choose(None, {}, {}, row)
    assert [row for row, _ in writer._overlays] == rows[:3]


def test_what_is_drawn_does_not_depend_on_how_many_prompts_a_record_has() -> None:
    alone, together = {"name": "a", "prompt_style": "p1"}, {"name": "a", "prompt_style": ["p1", "p1"]}
    assert keys_of(together, 2) == [("", "a", "p1")] * 2
    assert keys_of({**alone, "dataset": "busi"}, 1) == [("busi", "a", "p1")]
    assert keys_of({"name": "b"}, 3) == [("", "b", "")] * 3


def test_images_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    data = [dict(item, name="same") for item in toy.records(2)]
    toy.evaluator(torch.nn.Conv2d(3, 1, 1), data, [OverlayWriter(tmp_path, count=2)]).run()
    assert visible(tmp_path) == {"same.png", "same_1.png"}


def test_styles_of_one_image_have_names_of_their_own(tmp_path: Path) -> None:
    data = [dict(item, name="same", prompt_style=style) for item, style in zip(toy.records(4), "abab", strict=True)]
    toy.evaluator(torch.nn.Conv2d(3, 1, 1), data, [OverlayWriter(tmp_path, count=4)]).run()
    assert visible(tmp_path) == {"same.png", "same_1.png", "same_a.png", "same_b.png"}


def test_all_images_of_the_last_evaluation(tmp_path: Path) -> None:
    network = torch.nn.Conv2d(3, 1, 1)
    engine = toy.evaluator(network, toy.records(5), [OverlayWriter(tmp_path, count="all")])
    engine.run(1)
    assert visible(tmp_path) == {f"case{index}.png" for index in range(5)}
    engine.state.epoch = 0
    toy.evaluator(network, toy.records(2), [OverlayWriter(tmp_path, count="all")]).run(1)
    assert visible(tmp_path) == {"case0.png", "case1.png"}


def test_volumes_are_left_out(tmp_path: Path) -> None:
    data = [{"image": torch.zeros(3, 8, 8, 4), "label": torch.zeros(1, 8, 8, 4), "name": "volume"}]
    for count in (6, "all"):
        toy.evaluator(torch.nn.Conv3d(3, 1, 1), data, [OverlayWriter(tmp_path / "overlays", count)]).run()
    assert not (tmp_path / "overlays").exists()


@pytest.mark.parametrize("count", [-1, None, True, "some", 1.5])
def test_other_counts_are_refused(tmp_path: Path, count: Any) -> None:
    with pytest.raises(ValueError, match="expected 'all', 'none' or a whole number"):
        OverlayWriter(tmp_path, count=count)


@pytest.mark.parametrize("count", [0, "none"])
def test_no_images_at_all(tmp_path: Path, count: Any) -> None:
    """Those of an earlier run go, since they show another model; what somebody else put there stays."""
    toy.evaluator(torch.nn.Conv2d(3, 1, 1), toy.records(2), [OverlayWriter(tmp_path, count=2)]).run()
    (tmp_path / "photo.png").write_bytes(b"of the user")
    toy.evaluator(torch.nn.Conv2d(3, 1, 1), toy.records(2), [OverlayWriter(tmp_path, count=count)]).run()
    assert visible(tmp_path) == {"photo.png"}


def test_images_of_somebody_else_stay(tmp_path: Path) -> None:
    """Told before anything is computed."""
    (tmp_path / "photo.png").write_bytes(b"of the user")
    with pytest.raises(NotOursError, match=r"photo\.png"):
        toy.evaluator(torch.nn.Conv2d(3, 1, 1), toy.records(1), [OverlayWriter(tmp_path)])
    assert (tmp_path / "photo.png").read_bytes() == b"of the user"


def test_images_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    for count in (4, 2):
        data = [item | {"name": f"{count}-{index}"} for index, item in enumerate(toy.records(4))]
        toy.evaluator(torch.nn.Conv2d(3, 1, 1), data, [OverlayWriter(tmp_path, count=count)]).run()
    assert visible(tmp_path) == {"2-0.png", "2-1.png"}
