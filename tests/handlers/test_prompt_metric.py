# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Means over validation masks that never mix prompts of different tags."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler
from monai.inferers import SimpleInferer
from monai.metrics import DiceMetric
from monai.transforms import AsDiscreted

from monai_vlsm.handlers import PromptMetric, per_structure

CLASS, METADATA, DERIVED = "class", "metadata", "mask-derived"


def run(tags: list[Any], scores: list[list[int]], kind: type = PromptMetric) -> SupervisedEvaluator:
    """Validation of one image for each tag (or list of tags): of ten true pixels those many are found."""
    records = []
    for number, (tag, found) in enumerate(zip(tags, scores, strict=True)):
        label, image = torch.zeros(len(found), 1, 20), torch.zeros(len(found), 1, 20)
        label[..., :10] = 1
        for index, pixels in enumerate(found):
            image[index, 0, :pixels] = 1
        records.append({"image": image, "label": label, "name": f"{number}", **({"prompt_tag": tag} if tag else {})})
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(records), batch_size=1),
        network=torch.nn.Identity(),
        inferer=SimpleInferer(),
        postprocessing=AsDiscreted("pred", threshold=0.5),
        key_val_metric={
            "val_dice": kind(DiceMetric(ignore_empty=False), output_transform=per_structure(["pred", "label"]))
        },
    )
    evaluator.run()
    return evaluator


def dice(pixels: int) -> float:
    return 2 * pixels / (10 + pixels)


@pytest.mark.parametrize(
    ("tags", "scores", "expected"),
    [
        ([CLASS, DERIVED, CLASS], [[10], [0], [5]], (1 + dice(5)) / 2),
        ([DERIVED, METADATA, DERIVED], [[10], [5], [10]], dice(5)),
        ([DERIVED, DERIVED], [[10], [5]], (1 + dice(5)) / 2),
        ([None, DERIVED], [[5], [10]], dice(5)),  # a prompt without a tag is of the class alone
        ([[CLASS, DERIVED], DERIVED], [[5, 10], [10, 10]], dice(5)),  # several structures of one image
    ],
)
def test_only_what_gives_away_least_counts(tags: list[Any], scores: list[list[int]], expected: float) -> None:
    evaluator = run(tags, scores)
    assert evaluator.state.metrics["val_dice"] == pytest.approx(expected)
    assert evaluator.state.best_metric == pytest.approx(expected)
    assert evaluator.state.metric_details["val_dice"].numel() == sum(map(len, scores))


def test_it_is_monais_value_with_one_tag() -> None:
    cases = [CLASS] * 3, [[1], [4], [9]]
    assert run(*cases).state.metrics == run(*cases, kind=IgniteMetricHandler).state.metrics


def test_it_says_once_what_counts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "monai_vlsm"):
        evaluator = run([CLASS, DERIVED], [[10], [0]])
        evaluator.run()
    line = "of the validation prompts (1 class, 1 mask-derived) only the class ones count for val_dice"
    assert caplog.text.count(line) == 1
    assert evaluator.state.metrics["val_dice"] == pytest.approx(1)


def _as_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)  # a fork has no threads of OpenMP, and would wait for them
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    evaluator = run([[CLASS, DERIVED], [DERIVED, DERIVED]][rank], [[[5], [10]], [[10], [0]]][rank])
    (folder / f"{rank}").write_text(f"{evaluator.state.metrics['val_dice']:.6f}")
    torch.distributed.destroy_process_group()


def test_processes_count_the_same(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(_as_rank, args=(tmp_path,), nprocs=2, start_method="fork")
    assert [(tmp_path / name).read_text() for name in "01"] == [f"{dice(5):.6f}"] * 2
