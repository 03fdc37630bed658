# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The switches ``cache_features`` and ``text_cache`` of the bundles against training without them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_vlsm.caches import describe_cache
from monai_vlsm.checkpoints import SETTINGS_KEY
from monai_vlsm.errors import UserError
from monai_vlsm.networks import NotFrozenError
from monai_vlsm.precision import cpu_has_bf16
from tests.bundles.dataset import write_dataset

pytestmark = pytest.mark.slow  # whole trainings

BUNDLES = Path(__file__).parents[2] / "bundles"
SHALLOW = {"adapter_width": 4, "multi_prompt": True, "negatives": 0.5, "absent_prompts": ["brain"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images for training, so that each batch of two or four is full."""
    return write_dataset(tmp_path_factory.mktemp("data"), train=4)


def run(bundle: str, configs: list[str], folder: Path, data: Path, backbone: Path, **override: Any) -> list[float]:
    """Loss of each training step; all that is written goes to ``folder``, the cache beside it."""
    settings = {"epochs": 2, "batch_size": 2, "num_workers": 0, "amp": False, "device": torch.device("cpu")}
    settings |= {"dataset_dir": str(data), "backbone": str(backbone)}
    settings |= {"output_dir": str(folder), "ckpt_dir": str(folder), "cache_dir": str(folder.parent / "cache")}
    files = [str(BUNDLES / bundle / "configs" / f"{name}.json") for name in configs]
    kind = "train" if configs == ["train"] else "infer"
    if kind == "train":
        settings["overlays"] = 1  # images take most of the time
    settings |= override
    workflow = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **settings)
    workflow.initialize()
    losses: list[float] = []
    if kind == "train":
        trainer = workflow.parser.get_parsed_content("train#trainer")
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(float(e.state.output["loss"])))
    workflow.run()
    workflow.finalize()
    if settings["num_workers"]:  # workers that go with a cycle of garbage are waited for, 5 s each
        for loader in ("train#dataloader", "validate#dataloader"):
            workflow.parser.get_parsed_content(loader)._iterator = None
    return losses


def trained(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "last.pt", weights_only=True)["objects"]["model"]
    return {name: value for name, value in state.items() if name != SETTINGS_KEY}


def scores(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "metrics.csv").open(encoding="utf-8")))


def assert_same(folder: Path, plain: Path) -> None:
    """The same scores, the same weights, the same image."""
    assert scores(folder) == scores(plain)
    ours, theirs = trained(folder), trained(plain)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    (one,), (other,) = (list((place / "overlays").glob("*.png")) for place in (folder, plain))
    with Image.open(one) as image, Image.open(other) as expected:
        assert image.tobytes() == expected.tobytes()


@pytest.fixture(scope="module")
def plain(data: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], Path]:
    folder = tmp_path_factory.mktemp("plain") / "out"
    return run("vlsm_shallow", ["train"], folder, data, backbone, **SHALLOW, num_workers=2), folder


@pytest.fixture(scope="module")
def cached(data: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], Path]:
    folder = tmp_path_factory.mktemp("cached") / "out"
    losses = run("vlsm_shallow", ["train"], folder, data, backbone, **SHALLOW, num_workers=2, cache_features=True)
    return losses, folder


def test_cached_training_is_the_same_to_the_bit(
    plain: tuple[list[float], Path], cached: tuple[list[float], Path]
) -> None:
    assert len(plain[0]) == 4
    assert cached[0] == plain[0]
    assert_same(cached[1], plain[1])
    stores = describe_cache(cached[1].parent / "cache" / "features")
    found = {store.settings["batch"]: store.images for store in stores}
    assert found == {2: 6}  # probes find those of the validation


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bfloat16")
def test_mixed_precision_is_the_same_to_the_bit(data: Path, backbone: Path, tmp_path: Path) -> None:
    losses = [
        run("clipseg", ["train"], tmp_path / name, data, backbone, amp=True, cache_features=name == "cached")
        for name in ("plain", "cached")
    ]
    assert losses[0] == losses[1]
    assert_same(tmp_path / "cached", tmp_path / "plain")


def test_evaluation(plain: tuple[list[float], Path], data: Path, backbone: Path, tmp_path: Path) -> None:
    model = str(plain[1] / "model.pt")
    for name in ("plain", "cached"):
        more = {"model_file": model, "cache_features": name == "cached", "multi_prompt": True, "overlays": 1}
        run("vlsm_shallow", ["train", "evaluate"], tmp_path / name, data, backbone, **more)
    assert scores(tmp_path / "cached") == scores(tmp_path / "plain")
    probes = [(tmp_path / name / "probes.csv").read_text() for name in ("cached", "plain")]
    assert probes[0] == probes[1]


def test_all_switches_and_a_short_batch(
    plain: tuple[list[float], Path], data: Path, backbone: Path, tmp_path: Path
) -> None:
    """Equal but for rounding: a matrix product may round otherwise with another number of rows."""
    switches = {"cache_features": True, "text_cache": "run"}
    expected = run("vlsm_shallow", ["train"], tmp_path / "plain", data, backbone, **{**SHALLOW, "batch_size": 3})
    found = run("vlsm_shallow", ["train"], tmp_path / "out", data, backbone, **{**SHALLOW, "batch_size": 3}, **switches)
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("bundle", "override", "kind", "words"),
    [
        ("vlsm_dense", {"cache_features": True}, NotFrozenError, "cache_features to False"),
        ("vlsm_dense", {"text_cache": "run"}, NotFrozenError, "'batch'"),
        ("clipseg", {"cache_features": True, "cache_dtype": "int8"}, UserError, "int8"),
    ],
)
def test_refusals(
    bundle: str,
    override: dict[str, Any],
    kind: type[UserError],
    words: str,
    data: Path,
    backbone: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(Exception) as raised:
        run(bundle, ["train"], tmp_path / "out", data, backbone, **override)
    error: BaseException | None = raised.value
    while error is not None and not isinstance(error, kind):
        error = error.__cause__
    assert words in str(error)
    assert not (tmp_path / "out" / "model.pt").exists()


def test_inference_with_prompts_encoded_once(
    plain: tuple[list[float], Path], data: Path, backbone: Path, tmp_path: Path
) -> None:
    for how in ("off", "run"):
        more = {"model_file": str(plain[1] / "model.pt"), "dataset_dir": str(data / "images"), "prompt": "polyp"}
        run("vlsm_shallow", ["inference"], tmp_path / how, data, backbone, **more, text_cache=how)
    masks = [sorted((tmp_path / how).glob("*.png")) for how in ("off", "run")]
    assert len(masks[0]) == 6
    for one, other in zip(*masks, strict=True):
        assert one.read_bytes() == other.read_bytes()
