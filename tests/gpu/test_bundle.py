# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundle on a GPU: training, resume, evaluation, inference, caches, and what a GPU trained on a CPU."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from monai_vlsm.export import export_network
from monai_vlsm.networks import load_network
from monai_vlsm.serving import AdapterBank, Segmenter
from tests.bundles.dataset import LEFT, RIGHT
from tests.bundles.test_feature_cache import SHALLOW
from tests.bundles.test_feature_cache import run as run_cached
from tests.bundles.test_switches import numbers, results
from tests.bundles.test_vlsm_dense import EVALUATE, INFERENCE, TRAIN, run
from tests.bundles.test_volumes import check_whole_volumes
from tests.data.lists.folders import decathlon
from tests.gpu.conftest import CPU

HALVES = ["float16", "bfloat16"]
TOLERANCES = {"gpu": 0.005, "float16": 0.05, "bfloat16": 0.05}  # of losses; products of float32 may be TF32


def losses(folder: Path) -> list[float]:
    """Of training and validation in each epoch."""
    curves = results(folder)[1]
    return numbers({name: curves[name] for name in ("train_loss", "val_loss")})


@pytest.mark.parametrize("kind", TOLERANCES)
def test_a_gpu_learns_what_a_cpu_learns(kind: str, trained: dict[str, Path]) -> None:
    assert len(losses(trained[kind])) == 8  # two epochs, each with its number
    assert losses(trained[kind]) == pytest.approx(losses(trained["cpu"]), abs=TOLERANCES[kind])
    assert results(trained[kind])[2]["val_dice"] == pytest.approx(results(trained["cpu"])[2]["val_dice"], abs=0.15)


@pytest.mark.parametrize("kind", HALVES)
def test_weights_and_what_the_optimizer_knows_are_float32(kind: str, trained: dict[str, Path]) -> None:
    state = torch.load(trained[kind] / "last.pt", weights_only=True)  # on the CPU, wherever it was trained
    tensors = {f"{name} {index}": value for name, index, value in _tensors(state["objects"])}
    assert any(name.startswith("optimizer") for name in tensors)
    assert {value.dtype for value in tensors.values() if value.is_floating_point()} == {torch.float32}
    steps = {float(value) for name, value in tensors.items() if name.endswith("step")}
    assert max(steps) >= 5  # of 6; GradScaler may have skipped the first
    assert state["scaler"]["scale"] >= 1
    model = torch.load(trained[kind] / "models" / "model.pt", map_location="meta", weights_only=True)
    assert {value.dtype for value in model.values() if isinstance(value, Tensor)} == {torch.float32}


def _tensors(values: Any, name: str = "", index: str = "") -> Iterator[tuple[str, str, Tensor]]:
    """All tensors in nested containers, with where they are."""
    if isinstance(values, Tensor):
        yield name, index, values
    for key, value in values.items() if isinstance(values, dict) else ():
        yield from _tensors(value, name or str(key), f"{index} {key}")


@pytest.mark.parametrize("kind", ["gpu", "float16"])
def test_resume(kind: str, settings: dict[str, Any], trained: dict[str, Path], tmp_path: Path) -> None:
    """On the GPU as if it had not been stopped, and on the CPU."""
    more = {**settings, "amp": kind == "float16"}
    run([TRAIN], tmp_path, **{**more, "epochs": 1})
    run([TRAIN], tmp_path, **more, resume=True)
    assert losses(tmp_path) == pytest.approx(losses(trained[kind]), abs=2e-3)
    here = {**settings, "device": CPU, "epochs": 3, "amp": False}
    run([TRAIN], tmp_path, **here, resume=True)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["epoch"] == 3


@pytest.mark.parametrize("kind", ["gpu", "float16"])
def test_evaluation(kind: str, settings: dict[str, Any], trained: dict[str, Path], tmp_path: Path) -> None:
    """The scores are those of the training, on both devices; probes and calibration are counted too."""
    kept = {"dataset_dir": settings["dataset_dir"], "ckpt_dir": str(trained[kind] / "models"), "num_workers": 0}
    amp = {"amp": kind == "float16", "styles": ["p1", "p2"], "overlays": "all"}
    found = run([TRAIN, EVALUATE], tmp_path / "gpu", **kept, **amp, device=settings["device"])
    other = run([TRAIN, EVALUATE], tmp_path / "cpu", **kept, **{**amp, "amp": False}, device=CPU)
    means = [json.loads((folder / "metrics.json").read_text()) for folder in (found, other)]
    first, second = ([table[part] for part in ("images", "masks")] for table in means)
    assert first == second
    for name in ("val_dice", "val_iou", "val_loss"):
        assert means[0]["mean"][name] == pytest.approx(means[1]["mean"][name], abs=0.05)
    assert {"calibration.json", "probes.csv", "run.json"} <= {path.name for path in found.iterdir()}
    assert len(list((found / "overlays").glob("*.png"))) == 12


def test_inference(settings: dict[str, Any], trained: dict[str, Path], tmp_path: Path) -> None:
    """Masks of a GPU in 16 bits and of a CPU: the same but for pixels next to the threshold."""
    images = Path(settings["dataset_dir"]) / "images"
    model = {"model_file": str(trained["float16"] / "models" / "model.pt"), "prompt": [LEFT, RIGHT]}
    for name, where in (("gpu", {"device": settings["device"]}), ("cpu", {"device": CPU, "amp": False})):
        run([INFERENCE], tmp_path / name, **model, **where, dataset_dir=str(images), text_cache="run")
    names = sorted(path.name for path in (tmp_path / "cpu").glob("*.png"))
    assert names == sorted(path.name for path in (tmp_path / "gpu").glob("*.png"))
    for name in names:
        masks = [np.asarray(Image.open(tmp_path / place / name)) for place in ("gpu", "cpu")]
        assert (masks[0] != masks[1]).mean() < 0.05, name
    scores = [
        [float(row["existence"]) for row in csv.DictReader((tmp_path / place / "existence.csv").open())]
        for place in ("gpu", "cpu")
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_segmenter_and_bank(settings: dict[str, Any], trained: dict[str, Path]) -> None:
    """A model that was trained on a GPU, on either device."""
    file = trained["float16"] / "models" / "model.pt"
    image = next((Path(settings["dataset_dir"]) / "images").iterdir())
    here = Segmenter(file, device="cpu", amp=False)
    there = Segmenter(file, device=settings["device"])
    found, expected = (one(image, [LEFT, RIGHT]) for one in (there, here))
    assert found.probabilities is not None
    assert np.abs(found.probabilities - expected.probabilities).max() < 0.02
    bank = AdapterBank(settings["backbone"], settings["device"])
    for name in ("gpu", "float16"):
        bank.load(name, trained[name] / "models" / "model.pt")
    pixels = torch.randn(2, 3, here.network.image_size, here.network.image_size)
    with torch.no_grad():
        logits = bank.network("float16")(pixels.to(settings["device"])).cpu()
        torch.testing.assert_close(logits, here.network(pixels), atol=0.02, rtol=0.02)


def test_export(trained: dict[str, Path], tmp_path: Path) -> None:
    network = load_network(trained["float16"] / "models" / "model.pt")
    assert export_network(network, tmp_path, format="torchscript", prompts=[LEFT]).difference < 1e-3


@pytest.mark.parametrize("amp", [False, True])
def test_cached_features(amp: bool, settings: dict[str, Any], tmp_path: Path) -> None:
    """Made on the GPU before the workers start, which read them afterwards; with the precision of the training."""
    data, backbone = Path(settings["dataset_dir"]), Path(settings["backbone"])
    more = {**SHALLOW, "device": settings["device"], "amp": amp, "num_workers": 2, "cache_dtype": "float32"}
    found = {
        name: run_cached("vlsm_shallow", ["train"], tmp_path / name, data, backbone, **more, **switches)
        for name, switches in (("plain", {}), ("cached", {"cache_features": True, "text_cache": "run"}))
    }
    assert len(found["plain"]) == 6
    assert [float(loss) for loss in found["cached"]] == pytest.approx(list(map(float, found["plain"])), abs=0.01)


def test_volumes(settings: dict[str, Any], tmp_path: Path) -> None:
    """Slices that attend to one another, in batches with different numbers of prompts; whole volumes are scored."""
    folder = decathlon(tmp_path / "Task03", "abc")
    own = {"dataset_dir": str(folder), "cache_dir": str(tmp_path / "cache"), "epochs": 1, "overlays": "none"}
    more = {**settings, **own, "amp": True, "batch_size": 8}
    kinds = {"multi_prompt": True, "negatives": 0.3, "context": 1, "slice_attention": True}
    model = run([TRAIN], tmp_path / "trained", **more, **kinds) / "models" / "model.pt"
    found = run([TRAIN, EVALUATE], tmp_path / "found", **more, model_file=str(model), probes=False, save_cases=True)
    check_whole_volumes(found, folder)
