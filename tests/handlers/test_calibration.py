# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Calibration: counting pixels by their probability."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import CopyItemsd
from numpy.testing import assert_allclose
from torch.overrides import TorchFunctionMode

from monai_vlsm.handlers import CalibrationWriter
from monai_vlsm.handlers.calibration import calibration_bins, count_bins
from tests.handlers import toy


@pytest.mark.parametrize(
    ("probability", "index"), [(0.0, 0), (0.05, 0), (0.1, 1), (0.55, 5), (0.95, 9), (0.999, 9), (1.0, 9)]
)
def test_bin_of_a_probability(probability: float, index: int) -> None:
    counts = count_bins(torch.full((2, 3), probability), torch.ones(2, 3))
    expected = torch.zeros(3, 10, dtype=torch.float64)
    expected[:, index] = torch.tensor([6, 6 * probability, 6], dtype=torch.float64)
    assert_allclose(counts, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("probabilities", "truth", "ece"),
    [
        ([0.25] * 4, [1, 0, 0, 0], 0.0),
        ([0.25] * 4, [1, 1, 1, 1], 0.75),
        ([1.0, 1.0, 0.0, 0.0], [1, 1, 0, 0], 0.0),
        ([1.0, 1.0, 0.0, 0.0], [0, 0, 1, 1], 1.0),
        ([0.95, 0.95, 0.05, 0.05], [1, 0, 0, 0], 0.5 * 0.45 + 0.5 * 0.05),
    ],
)
def test_expected_calibration_error(probabilities: list[float], truth: list[int], ece: float) -> None:
    found = calibration_bins(count_bins(torch.tensor(probabilities), torch.tensor(truth)))
    assert found["ece"] == pytest.approx(ece, abs=1e-6)
    assert sum(one["pixels"] for one in found["bins"]) == len(truth)


def test_bins() -> None:
    bins = calibration_bins(count_bins(torch.tensor([0.42, 0.48, 0.91]), torch.tensor([1, 0, 1])))["bins"]
    assert [(one["low"], one["high"]) for one in bins] == [(k / 10, (k + 1) / 10) for k in range(10)]
    assert bins[4] == {"low": 0.4, "high": 0.5, "pixels": 2, "confidence": pytest.approx(0.45), "frequency": 0.5}
    assert bins[0] == {"low": 0.0, "high": 0.1, "pixels": 0, "confidence": None, "frequency": None}


def engine(folder: Path, data: list[dict[str, Any]]) -> SupervisedEvaluator:
    torch.manual_seed(0)
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(data), batch_size=1),
        network=torch.nn.Conv2d(3, len(data[0]["label"]), 1),
        postprocessing=CopyItemsd(["pred", "label"], names=["logits", "logits_target"]),
        val_handlers=[CalibrationWriter(folder)],
    )


def evaluate(folder: Path, data: list[dict[str, Any]]) -> dict[str, Any]:
    engine(folder, data).run()
    content: dict[str, Any] = json.loads((folder / "calibration.json").read_text())
    return content


def test_pixels_of_all_images_by_tag(tmp_path: Path) -> None:
    data = toy.records(3)
    for item, tag in zip(data, ["class", "mask-derived", "class"], strict=True):
        item["prompt_tag"] = tag
    found = evaluate(tmp_path, data)["by_tag"]
    pixels = {tag: sum(one["pixels"] for one in values["bins"]) for tag, values in found.items()}
    assert pixels == {"class": 2 * toy.SIZE**2, "mask-derived": toy.SIZE**2}
    foreground = sum(one["pixels"] * (one["frequency"] or 0) for one in found["class"]["bins"])
    assert foreground == pytest.approx(2 * 56)


def test_each_structure_has_its_tag(tmp_path: Path) -> None:
    data = toy.records(2, structures=2)
    for item in data:
        item["prompt_tag"] = ["metadata", "class"]
        item["label"][1] = 0
    found = evaluate(tmp_path, data)["by_tag"]
    assert list(found) == ["class", "metadata"]
    foreground = [sum(one["pixels"] * (one["frequency"] or 0) for one in found[tag]["bins"]) for tag in found]
    assert foreground == [0, pytest.approx(2 * 56)]


def test_a_second_evaluation_starts_anew(tmp_path: Path) -> None:
    evaluator = engine(tmp_path, toy.records(2))
    evaluator.run(1)
    first = (tmp_path / "calibration.json").read_text()
    evaluator.run(2)
    assert (tmp_path / "calibration.json").read_text() == first


class _Order(TorchFunctionMode):
    """Names of what is done to tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def test_float64_comes_on_the_cpu_only() -> None:
    """Apple's GPUs have none."""
    with _Order() as order:
        count_bins(torch.rand(2, 3), torch.ones(2, 3))
    doubles = [place for place, name in enumerate(order.names) if name == "double"]
    assert len(doubles) == 2
    assert all(order.names[place - 1] == "cpu" for place in doubles)


def test_errors_of_single_masks_and_behind_a_temperature(tmp_path: Path) -> None:
    """One mask of logit 2 all true, one of logit -2 half true: by hand."""
    p, q = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))
    output = {
        "logits": torch.stack([torch.full((4, 4), 2.0), torch.full((4, 4), -2.0)]),
        "logits_target": torch.stack([torch.ones(4, 4), torch.eye(4).roll(1, 0).bool() | torch.eye(4).bool()]).float(),
    }
    state = SimpleNamespace(batch=[{"name": "a"}], output=[output])
    writer = CalibrationWriter(tmp_path, temperature=2.0)
    writer._collect(SimpleNamespace(state=state))  # type: ignore[arg-type]
    found = writer._of_tag("class", writer._totals)
    assert found["ece"] == pytest.approx(((1 - p) + (p - 0.5)) / 2)
    assert found["ece_masks"] == pytest.approx(((1 - p) + (p - 0.5)) / 2)
    scaled = found["scaled"]
    assert (scaled["temperature"], scaled["ece"]) == (2.0, pytest.approx(((1 - q) + (q - 0.5)) / 2))


def test_errors_of_masks_that_cancel_when_pooled(tmp_path: Path) -> None:
    """Probability 0.5 everywhere, all true in one mask and none in the other: no error pooled, 0.5 in each."""
    writer = CalibrationWriter(tmp_path)
    for truth in (torch.ones(1, 2, 2), torch.zeros(1, 2, 2)):
        state = SimpleNamespace(
            batch=[{"name": "a"}], output=[{"logits": torch.zeros(1, 2, 2), "logits_target": truth}]
        )
        writer._collect(SimpleNamespace(state=state))  # type: ignore[arg-type]
    found = writer._of_tag("class", writer._totals)
    assert (found["ece"], found["ece_masks"]) == (0.0, 0.5)
    assert "scaled" not in found
