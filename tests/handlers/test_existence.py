# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The existence threshold: which one is chosen, and that it gets into the file; scores of an inference."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Activationsd, AsDiscreted, Compose, SelectItemsd

from monai_vlsm.data import Probe
from monai_vlsm.handlers import ExistenceWriter, ThresholdSetter
from monai_vlsm.handlers.existence import best_threshold
from monai_vlsm.handlers.nan_guard import NonFiniteError
from monai_vlsm.transforms import ExistenceScored

MANY = [0.5 + index / 100 for index in range(40)]  # 0.50 to 0.89

CASES = [  # present, absent, threshold
    ("apart", [0.8, 0.9], [0.1, 0.3], 0.55),
    ("equal", [0.5, 0.5], [0.5], 0.0),
    ("the wrong way round", [0.1, 0.2], [0.8, 0.9], 0.0),
    ("nothing absent", [0.8], [], 0.0),
    ("nothing present", [], [0.1], 0.0),
    ("too few reach it", [0.2, *[0.9] * 9], [0.5], 0.0),
    ("one of twenty may be lost", [0.2, *[0.9] * 19], [0.5], 0.7),
    ("one is not worth it", [0.2, *[0.9] * 19], [0.1] * 20 + [0.5], 0.15),
    ("better than none by little", MANY, [0.505, 0.9], 0.5075),
]


@pytest.mark.parametrize(("present", "absent", "threshold"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_best_threshold(present: list[float], absent: list[float], threshold: float) -> None:
    assert best_threshold(present, absent * 10) == pytest.approx(threshold)


@pytest.mark.parametrize(("count", "threshold"), [(9, 0.0), (10, 0.7)])
def test_a_few_absent_things_say_too_little(count: int, threshold: float) -> None:
    assert best_threshold([0.9] * 20, [0.5] * count) == pytest.approx(threshold)


def test_balanced_accuracy_alone_would_lose_more() -> None:
    present, absent = [0.2, 0.3, *[0.9] * 8], [0.5] * 10
    assert best_threshold(present, absent) == 0.0
    assert best_threshold(present, absent, least_kept=0.0) == pytest.approx(0.7)


class _Answers(torch.nn.Module):
    """Mask ``k`` of an image has the probability of its channel ``k`` everywhere."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.logit(image)


def item(name: str, levels: list[float], kinds: list[str]) -> dict[str, Any]:
    prompts = [f"thing {k}" for k in range(len(levels))]
    probes = tuple(Probe(kind, name, text, "p1", "class", "", 0, ()) for kind, text in zip(kinds, prompts, strict=True))
    image = torch.tensor(levels)[:, None, None].expand(-1, 8, 8).clone()
    return {"image": image, "label": torch.ones(1, 8, 8), "prompt": prompts, "name": name, "probes": probes}


def engine(data: list[dict[str, Any]], handler: Any, threshold: float = 0.0) -> SupervisedEvaluator:
    keep = SelectItemsd(["image", "label", "prompt", "name"])
    post = [
        Activationsd("pred", sigmoid=True),
        ExistenceScored(threshold=threshold),
        AsDiscreted("pred", threshold=0.5),
    ]
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(data, keep), batch_size=1),
        network=_Answers(),
        postprocessing=Compose(post),
        val_handlers=[handler],
    )


class _State:
    """As ``TrainedState``: weights and a threshold."""

    def __init__(self) -> None:
        self.weight, self.existence_threshold = torch.zeros(1), 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight, "monai_vlsm": {"existence_threshold": self.existence_threshold}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight, self.existence_threshold = state["weight"], state["monai_vlsm"]["existence_threshold"]


MODEL_DATA = [item(f"{n}", [0.4, 0.9] if n % 2 else [0.3, 0.7], ["absent", "own"]) for n in range(10)]
DATA = [
    item("a", [0.9, 0.4], ["own", "absent"]),
    item("b", [0.3, 0.8], ["absent", "own"]),
    item("c", [0.7], ["own"]),
]


def test_threshold_gets_into_the_file_of_the_best_model(tmp_path: Path) -> None:
    path, state = tmp_path / "model.pt", _State()
    torch.save({"weight": torch.ones(1), "monai_vlsm": {"existence_threshold": 0.0}}, path)
    engine(MODEL_DATA, ThresholdSetter(state, path, MODEL_DATA)).run()
    saved = torch.load(path, weights_only=True)
    assert saved["weight"].item() == 1.0
    assert saved["monai_vlsm"]["existence_threshold"] == pytest.approx(0.55, abs=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]
    worse = [item("a", [0.4, 0.9], ["own", "absent"])]
    engine(worse, ThresholdSetter(state, path, worse)).run()
    assert torch.load(path, weights_only=True)["monai_vlsm"]["existence_threshold"] == 0.0


def test_without_a_model_nothing_is_written(tmp_path: Path) -> None:
    state = _State()
    engine(DATA, ThresholdSetter(state, tmp_path / "model.pt", DATA)).run()
    assert not list(tmp_path.iterdir())
    assert state.existence_threshold == 0.0


def _set_as_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)  # a fork has no threads of OpenMP, and would wait for them
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    state, own = _State(), MODEL_DATA[rank::2]
    engine(own, ThresholdSetter(state, folder / "model.pt", own)).run()
    assert state.weight.item() == 1.0  # each asks the model that was kept
    torch.distributed.destroy_process_group()


def test_processes_share_the_questions(tmp_path: Path) -> None:
    """Neither would set a threshold on the few absent things that it asked for itself."""
    torch.save({"weight": torch.ones(1), "monai_vlsm": {"existence_threshold": 0.0}}, tmp_path / "model.pt")
    torch.multiprocessing.start_processes(_set_as_rank, args=(tmp_path,), nprocs=2, start_method="fork")
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert saved["monai_vlsm"]["existence_threshold"] == pytest.approx(0.55, abs=1e-5)


@pytest.mark.parametrize(("threshold", "pixels"), [(0.0, [64, 0, 0, 64, 64]), (0.75, [64, 0, 0, 64, 0])])
def test_scores_of_an_inference(tmp_path: Path, threshold: float, pixels: list[int]) -> None:
    engine(DATA, ExistenceWriter(tmp_path / "out"), threshold).run()
    with (tmp_path / "out" / "existence.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["prompt"]) for row in rows] == [
        ("a", "thing 0"),
        ("a", "thing 1"),
        ("b", "thing 0"),
        ("b", "thing 1"),
        ("c", "thing 0"),
    ]
    assert [float(row["existence"]) for row in rows] == pytest.approx([0.9, 0.4, 0.3, 0.8, 0.7], abs=1e-5)
    assert [int(row["pixels"]) for row in rows] == pixels


def test_scores_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="the model computes values that are no numbers"):
        writer = ExistenceWriter(tmp_path / "out")
        writer.rows_of({"name": "a", "prompt": "b"}, {"existence": [float("nan")], "pred": torch.zeros(1, 2, 2)})
