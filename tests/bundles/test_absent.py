# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Absent things in the bundle: training on them, the threshold in model.pt, and what an evaluation leaves."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_vlsm.checkpoints import SETTINGS_KEY, read_settings, seal
from monai_vlsm.data import NothingAbsentError, facts
from tests.bundles.dataset import LEFT, RIGHT, write_dataset

pytestmark = pytest.mark.slow  # whole trainings

BUNDLE = Path(__file__).parents[2] / "bundles" / "vlsm_dense"
TRAIN, EVALUATE, INFERENCE = (str(BUNDLE / "configs" / f"{name}.json") for name in ("train", "evaluate", "inference"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of four training images, two lack the right polyp; of three validation images, one does."""
    folder = write_dataset(tmp_path_factory.mktemp("data"), train=4, val=3)
    for split, lacking in (("train", (1, 3)), ("val", (2,))):
        rows = json.loads((folder / f"{split}.json").read_text())
        for index in lacking:
            del rows[index]["structures"][1]
        (folder / f"{split}.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every image has everything."""
    return write_dataset(tmp_path_factory.mktemp("complete"), train=2, val=2)


@pytest.fixture(scope="module")
def settings(data: Path, backbone: Path) -> dict[str, Any]:
    return {
        "dataset_dir": str(data),
        "backbone": str(backbone),
        "adapter_width": 4,
        "epochs": 1,
        "batch_size": 4,
        "num_workers": 0,
    }


def workflow(configs: list[str], folder: Path, **override: Any) -> ConfigWorkflow:
    paths = {"output_dir": str(folder)}
    paths |= {"ckpt_dir": str(folder / "models"), "overlays": "none"} if configs[0] == TRAIN else {}
    more = {**paths, "amp": False, "device": torch.device("cpu"), **override}
    made = ConfigWorkflow(configs, workflow_type="infer", bundle_root=str(BUNDLE), logging_file=False, **more)
    made.initialize()
    return made


def run(configs: list[str], folder: Path, **override: Any) -> Path:
    made = workflow(configs, folder, **override)
    made.run()
    made.finalize()
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run([TRAIN], tmp_path_factory.mktemp("trained"), **settings, negatives=0.25)


def evaluate(trained: Path, data: Path, folder: Path, **override: Any) -> Path:
    more = {"dataset_dir": str(data), "num_workers": 0, "model_file": str(trained / "models" / "model.pt"), **override}
    return run([TRAIN, EVALUATE], folder, **more)


@pytest.fixture(scope="module")
def evaluated(trained: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation with nothing set; not to be changed."""
    return evaluate(trained, data, tmp_path_factory.mktemp("evaluated"))


def test_records_that_lack_something_ask_for_it(settings: dict[str, Any], tmp_path: Path) -> None:
    parser = workflow([TRAIN], tmp_path, **settings, negatives=0.25).parser
    dataset = parser.get_parsed_content("train#dataset")
    seen = [(record["name"], dict(dataset[i])) for _ in range(40) for i, record in enumerate(dataset.data)]
    asked = [(name, item) for name, item in seen if not item["label"].any()]
    texts = {RIGHT, f"small {RIGHT}", f"one {RIGHT}"}  # in all styles of the records that have it
    assert {(name, item["prompt"]) for name, item in asked} == {(f"train_{i}", text) for i in (1, 3) for text in texts}
    assert all("absent" not in item for _, item in seen)
    assert len(asked) / len(seen) == pytest.approx(2 * 0.5 / 6, abs=0.06)  # 2 of 6 records can, every second time
    validation = parser.get_parsed_content("validate#dataset")
    assert all(item["label"].any() and "absent" not in item for item in validation)


def test_words_of_ones_own(settings: dict[str, Any], complete: Path, tmp_path: Path) -> None:
    more = {**settings, "dataset_dir": str(complete), "negatives": 0.25, "absent_prompts": ["brain", "round"]}
    dataset = workflow([TRAIN], tmp_path, **more).parser.get_parsed_content("train#dataset")
    items = [dataset[i] for _ in range(60) for i in range(len(dataset))]
    empty = [item for item in items if not item["label"].any()]
    assert {item["prompt"].split()[-1] for item in empty} == {"brain", "round"}
    assert {item["prompt_style"] for item in empty} == {"p1", "p2"}
    assert len(empty) / len(items) == pytest.approx(0.25, abs=0.09)


def test_without_negatives_nothing_is_drawn(settings: dict[str, Any], tmp_path: Path) -> None:
    parser = workflow([TRAIN], tmp_path, **settings).parser
    dataset = parser.get_parsed_content("train#dataset")
    assert all(item["label"].any() for _ in range(20) for item in dataset)
    assert all("absent" not in record for record in parser.get_parsed_content("train#dataset#data"))


def test_nothing_absent_is_an_error_before_anything_is_written(
    settings: dict[str, Any], complete: Path, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError) as raised:
        run([TRAIN], tmp_path / "out", **{**settings, "dataset_dir": str(complete)}, negatives=0.1)
    error: BaseException | None = raised.value
    while error is not None and not isinstance(error, NothingAbsentError):
        error = error.__cause__
    assert LEFT in str(error)
    assert not (tmp_path / "out").exists()


def last(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "last.pt", weights_only=True)["objects"]["model"]
    return {name: value for name, value in state.items() if name != SETTINGS_KEY}


def test_seed_decides_and_files_are_looked_at_once(
    settings: dict[str, Any], trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For absent prompts, for the check and for the questions that find the threshold."""
    looked_at: list[str] = []
    examine = facts.examine_files

    def noted(roles: dict[str, set[str]]) -> Any:
        looked_at.extend(roles)
        return examine(roles)

    monkeypatch.setattr(facts, "examine_files", noted)
    again = last(run([TRAIN], tmp_path / "again", **settings, negatives=0.25))
    assert len(looked_at) == len(set(looked_at)) == len([*data.glob("images/*"), *data.glob("masks/*")]) - 3
    asked = last(run([TRAIN], tmp_path / "asked", **settings, negatives=0.5, absent_prompts=["brain"]))
    assert all(torch.equal(value, again[name]) for name, value in last(trained).items())
    assert not all(torch.equal(value, asked[name]) for name, value in last(trained).items())


def test_threshold_is_in_model_pt(settings: dict[str, Any], trained: Path, complete: Path, tmp_path: Path) -> None:
    saved = read_settings(trained / "models" / "model.pt")
    assert 0 <= saved["existence_threshold"] <= 1
    everything = run([TRAIN], tmp_path, **{**settings, "dataset_dir": str(complete)})
    assert read_settings(everything / "models" / "model.pt")["existence_threshold"] == 0.0


def test_training_sets_the_threshold_of_its_scores(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[int, int]] = []

    def choose(present: list[float], absent: list[float]) -> float:
        found.append((len(present), len(absent)))
        return 0.375

    monkeypatch.setattr("monai_vlsm.handlers.existence.best_threshold", choose)
    run([TRAIN], tmp_path, **settings, absent_prompts=["brain"])
    assert found == [(5, 3)]  # one absent thing for each record of an image, as far as there are more
    assert read_settings(tmp_path / "models" / "model.pt")["existence_threshold"] == 0.375


def with_threshold(trained: Path, folder: Path, threshold: float) -> Path:
    """A copy of the model with another threshold."""
    state = torch.load(trained / "models" / "model.pt", weights_only=True)
    state[SETTINGS_KEY]["existence_threshold"] = threshold
    (folder / "models").mkdir(parents=True)
    torch.save(seal(state), folder / "models" / "model.pt")
    return folder


@pytest.mark.parametrize(("override", "empty"), [({}, True), ({"existence_threshold": 0.0}, False)])
def test_inference_empties_masks_below_the_threshold(
    override: dict[str, float], empty: bool, trained: Path, data: Path, tmp_path: Path
) -> None:
    model = with_threshold(trained, tmp_path / "model", 1.0) / "models" / "model.pt"
    more = {"dataset_dir": str(data / "images"), "model_file": str(model), "prompt": ["polyp", "brain"], **override}
    rows = rows_of(run([INFERENCE], tmp_path / "out", **more) / "existence.csv")
    assert len(rows) == 2 * len(list((data / "images").iterdir()))
    assert [row["prompt"] for row in rows[:2]] == ["polyp", "brain"]
    assert rows[0]["name"] == "train_0"
    assert all(0 < float(row["existence"]) < 1 for row in rows)
    assert all(row["pixels"] == "0" for row in rows) == empty


def test_evaluation_uses_the_threshold_too(trained: Path, data: Path, tmp_path: Path) -> None:
    strict = with_threshold(trained, tmp_path / "model", 1.0)
    rows = rows_of(evaluate(strict, data, tmp_path / "out") / "metrics.csv")
    assert {row["pred_pixels"] for row in rows} == {"0"}
    shown = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (shown["existence_threshold"], shown["settings"]["existence_threshold"]) == (1.0, 1.0)


def test_files_of_an_evaluation(trained: Path, data: Path, tmp_path: Path) -> None:
    folder = evaluate(trained, data, tmp_path, overlays="all")
    files = {path.name for path in folder.iterdir()}
    assert {"metrics.csv", "metrics.json", "probes.csv", "calibration.json", "run.json", "overlays"} <= files
    scores = rows_of(folder / "metrics.csv")
    assert all(0 < float(row["existence"]) < 1 for row in scores)
    assert {path.stem for path in (folder / "overlays").glob("*.png")} == {row["name"] for row in scores}
    calibration = json.loads((folder / "calibration.json").read_text())["by_tag"]
    assert sum(one["pixels"] for one in calibration["class"]["bins"]) == 5 * 32 * 32
    facts = json.loads((folder / "run.json").read_text())
    assert facts["bundle"] == "vlsm_dense"
    assert facts["dataset_dir"] == str(data)
    assert (facts["split"], facts["styles"], facts["seed"]) == ("val", ["p1"], 41)
    assert facts["settings"] == read_settings(trained / "models" / "model.pt")


def test_probes(trained: Path, data: Path, tmp_path: Path) -> None:
    rows = rows_of(evaluate(trained, data, tmp_path, existence_threshold=0.0) / "probes.csv")
    assert [(row["name"], row["probe"], row["prompt"]) for row in rows] == [
        ("val_0_left", "other", RIGHT),
        ("val_0_right", "other", LEFT),
        ("val_1_left", "other", RIGHT),
        ("val_1_right", "other", LEFT),
        ("val_2", "absent", RIGHT),
    ]
    scores = {row["name"]: row for row in rows_of(tmp_path / "metrics.csv")}
    for row, other in zip(rows[:2], ("val_0_right", "val_0_left"), strict=True):
        assert row["asked_pixels"] == scores[other]["truth_pixels"]
        assert row["own_pixels"] == scores[row["name"]]["truth_pixels"]
        assert int(row["pred_pixels"]) == pytest.approx(int(scores[other]["pred_pixels"]), abs=2)
        assert float(row["dice_asked"]) == pytest.approx(float(scores[other]["val_dice"]), abs=1e-3)
        assert float(row["existence"]) == pytest.approx(float(scores[other]["existence"]), abs=1e-4)
        assert row["image_pixels"] == str(48 * 40)
    assert (rows[4]["asked_pixels"], rows[4]["tag"], rows[4]["own_prompt"]) == ("0", "class", LEFT)


def test_probes_do_not_touch_the_scores_and_can_be_left_out(
    trained: Path, data: Path, evaluated: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(evaluated, tmp_path / "out"))
    scores = (folder / "metrics.csv").read_text()
    assert (folder / "probes.csv").is_file()
    evaluate(trained, data, folder, probes=False)
    assert not (folder / "probes.csv").exists()
    assert (folder / "metrics.csv").read_text() == scores


def test_several_styles(trained: Path, data: Path, evaluated: Path, tmp_path: Path) -> None:
    folder = evaluate(trained, data, tmp_path, styles=["p1", "p2"], overlays=8)
    rows = rows_of(folder / "metrics.csv")
    assert [row["style"] for row in rows] == ["p1"] * 5 + ["p2"] * 5
    assert [row["name"] for row in rows[:5]] == [row["name"] for row in rows[5:]]
    assert rows[5]["prompt"] == f"small {LEFT}"
    assert set(json.loads((folder / "metrics.json").read_text())["by_style"]) == {"p1", "p2"}
    assert rows[:5] == rows_of(evaluated / "metrics.csv")
    assert len(list((folder / "overlays").glob("*.png"))) == 8
