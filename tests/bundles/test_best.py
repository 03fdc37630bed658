# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The overlay ``best.json``: each switch on and off, with resuming, caches and settings that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_vlsm.caches import CacheTransformError
from monai_vlsm.checkpoints import SETTINGS_KEY
from monai_vlsm.handlers import ContrastError
from monai_vlsm.io import read_rows
from monai_vlsm.settings import SettingError
from tests.bundles.dataset import write_dataset

pytestmark = pytest.mark.slow  # whole trainings

BUNDLES = Path(__file__).parents[2] / "bundles"
OFF = {"augment": False, "schedule": "plateau", "ema": 0.0, "contrastive": 0.0, "negatives": 0.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), train=4)


def workflow(folder: Path, data: Path, backbone: Path, bundle: str = "vlsm_dense", **override: Any) -> ConfigWorkflow:
    names = override.pop("names", ["train", "best"])
    settings: dict[str, Any] = {
        "dataset_dir": str(data),
        "backbone": str(backbone),
        "output_dir": str(folder),
        "ckpt_dir": str(folder),
    }
    settings |= {"epochs": 2, "batch_size": 2, "num_workers": 0, "amp": False, "overlays": "none"}
    files = [str(BUNDLES / bundle / "configs" / f"{name}.json") for name in names]
    made = ConfigWorkflow(files, workflow_type="train", logging_file=False, **{**settings, **override})
    made.initialize()
    return made


def run(folder: Path, *args: Any, **override: Any) -> Path:
    made = workflow(folder, *args, **{"device": torch.device("cpu"), **override})
    made.run()
    made.finalize()
    return folder


def saved(folder: Path, name: str = "last.pt") -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / name, weights_only=True)
    return content


def same(one: Path, two: Path) -> bool:
    """Whether the weights at the end of two runs are equal to the bit."""
    states = [saved(folder)["objects"]["model"] for folder in (one, two)]
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0] if name != SETTINGS_KEY)


def test_all_switched_off_is_the_training_without_the_overlay(data: Path, backbone: Path, tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", data, backbone, names=["train"], multi_prompt=True)
    assert same(run(tmp_path / "off", data, backbone, **OFF), plain)


@pytest.mark.parametrize("switch", OFF)
def test_each_switch_alone_changes_the_training(switch: str, data: Path, backbone: Path, tmp_path: Path) -> None:
    plain = run(tmp_path / "off", data, backbone, **OFF, epochs=1)
    alone = {name: value for name, value in OFF.items() if name != switch}
    assert not same(run(tmp_path / "on", data, backbone, **alone, epochs=1), plain)


def test_a_run_with_everything_is_the_same_again_and_resumed(data: Path, backbone: Path, tmp_path: Path) -> None:
    """Resumed without the cosine, whose length is that of the whole run."""
    more = {"schedule": "plateau", "cache": "memory"}
    whole = run(tmp_path / "whole", data, backbone, **more)
    half = run(tmp_path / "half", data, backbone, **more, epochs=1)
    assert not same(half, whole)
    run(half, data, backbone, **more, resume=True)
    assert same(half, whole)
    states = [saved(folder)["objects"]["averaging"] for folder in (half, whole)]
    for name in ("average", "own"):
        assert len(states[0][name]) > 3
        assert all(map(torch.equal, states[0][name], states[1][name]))
    model, average = saved(whole)["objects"]["model"], states[1]["average"]
    assert any(torch.equal(value, average[0]) for name, value in model.items() if name != SETTINGS_KEY)


def test_the_cosine_goes_to_its_end(data: Path, backbone: Path, tmp_path: Path) -> None:
    schedule = saved(run(tmp_path, data, backbone))["objects"]["lr_scheduler"]
    assert schedule["t_total"] == schedule["last_epoch"] == 4
    assert schedule["_last_lr"] == [0.0]


def test_the_model_evaluates_as_it_was_validated(data: Path, backbone: Path, tmp_path: Path) -> None:
    trained = run(tmp_path / "trained", data, backbone)
    more = {"names": ["train", "best", "evaluate"], "existence_threshold": 0.0}
    again = run(tmp_path / "again", data, backbone, model_file=str(trained / "model.pt"), **more)
    scores = [[float(row["val_dice"]) for row in read_rows(place / "metrics.csv")] for place in (trained, again)]
    assert len(scores[0]) == 4
    assert scores[1] == pytest.approx(scores[0], abs=1e-4)
    assert 0 <= saved(trained, "model.pt")[SETTINGS_KEY]["existence_threshold"] <= 1


def cause(error: BaseException | None, kind: type[BaseException]) -> str:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__
    assert error is not None
    return str(error)


def test_features_of_augmented_images_are_not_kept(data: Path, backbone: Path, tmp_path: Path) -> None:
    place = {"bundle": "vlsm_shallow", "cache_features": True, "cache_dir": str(tmp_path / "cache")}
    with pytest.raises(Exception) as raised:
        run(tmp_path / "out", data, backbone, **place)
    assert "RandFlipPromptsd" in cause(raised.value, CacheTransformError)
    assert not (tmp_path / "out").exists()
    run(tmp_path / "out", data, backbone, **place, augment=False)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"flip_words": {"horizontal": {"left": "right", "right": "left"}}}, "'right' stands on both sides"),
        ({"flip_words": {"horizontal": {"left": "right", "top": "right"}}}, "'right' stands on both sides"),
        ({"flips": "left"}, "one of none, horizontal, vertical, both"),
        ({"rotation": 200}, "rotation"),
        ({"ema": 1}, "ema"),
        ({"schedule": "step"}, "one of plateau, cosine"),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any], words: str, data: Path, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception) as raised:
        workflow(tmp_path / "out", data, backbone, **wrong)
    assert words in cause(raised.value, SettingError)


def test_a_contrast_needs_a_common_space(data: Path, backbone: Path, tmp_path: Path) -> None:
    place = {"bundle": "cris", "image_size": 64, "contrastive": 0.1}
    with pytest.raises(Exception) as raised:
        run(tmp_path / "out", data, Path("cris-mini"), **place)
    assert "CRISNet" in cause(raised.value, ContrastError)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bundle", ["cris", "unet"])
def test_the_other_bundles_have_it_too(bundle: str, data: Path, tmp_path: Path) -> None:
    run(tmp_path, data, Path(f"{bundle}-mini"), bundle=bundle, image_size=64, epochs=1)
    assert (tmp_path / "model.pt").is_file()
