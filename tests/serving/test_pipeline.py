# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Segmenter and ``inference.json`` are the same: step by step for all bundles, and bit by bit in what they write."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.transforms import Compose

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.data import load_images
from monai_vlsm.networks import CLIPSegNet, CRISNet, PromptedNet, SANNet, TargetUNet
from monai_vlsm.serving import Segmenter, predict_records
from monai_vlsm.serving.pipeline import preprocessing
from monai_vlsm.transforms import PromptPostprocessing
from tests.serving.images import write_images, write_model

BUNDLES = Path(__file__).parents[2] / "bundles"
NETWORKS: dict[str, Callable[[], PromptedNet]] = {
    "vlsm_dense": lambda: CLIPSegNet("clipseg-mini", DenseAdaptation("vl", width=4), default_prompt="brain"),
    "cris": lambda: CRISNet("cris-mini", image_size=64),
    "san": lambda: SANNet("san-mini", image_size=64),
    "unet": lambda: TargetUNet("unet-mini", ["brain", "white matter"], image_size=64),
}
PROMPTS = ["brain", "white matter"]
# steps of a bundle only: MONAI Label's, through which other records pass untouched, and the writing of files
BUNDLE_ONLY = ("RequestPromptd", "RequestTokensd", "LabelResultd", "SavePromptMasksd")


def described(value: Any) -> Any:
    """A transform as plain values: its class and what its attributes hold."""
    if isinstance(value, Compose):
        return [described(step) for step in value.transforms if type(step).__name__ not in BUNDLE_ONLY]
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): described(entry) for key, entry in value.items() if key not in ("R", "id")}
    if isinstance(value, list | tuple | set):
        return [described(entry) for entry in value]
    if type(value).__module__.startswith(("monai", "monai_vlsm")) and hasattr(value, "__dict__"):
        return type(value).__name__, described(vars(value))
    return value if isinstance(value, str | int | float | bool | None) else type(value).__name__


@pytest.mark.parametrize("bundle", sorted(path.name for path in BUNDLES.iterdir()))
@pytest.mark.parametrize("window", [None, (-160.0, 240.0)])
def test_same_steps(bundle: str, window: tuple[float, float] | None, tmp_path: Path) -> None:
    parser = ConfigParser()
    parser.read_config(BUNDLES / bundle / "configs" / "inference.json")
    parser.update({"bundle_root": str(tmp_path), "window": list(window) if window else None})
    network, before, after = (
        parser.get_parsed_content(name) for name in ("network_def", "preprocessing", "postprocessing")
    )
    mine = preprocessing(network, window)
    assert described(mine) == described(before)
    assert described(PromptPostprocessing(mine, network.existence_threshold)) == described(after)


def test_a_step_that_differs_is_seen() -> None:
    network = CLIPSegNet("clipseg-mini", load_weights=False)
    assert described(preprocessing(network)) != described(preprocessing(network, (0.0, 1.0)))
    network.image_mean = (0.5, 0.5, 0.5)  # type: ignore[misc]
    assert described(preprocessing(network)) != described(preprocessing(CLIPSegNet("clipseg-mini", load_weights=False)))


@pytest.mark.parametrize("bundle", NETWORKS)
def test_same_files(bundle: str, tmp_path: Path) -> None:
    """Masks are equal to the byte, and existence scores to the digit."""
    torch.manual_seed(0)
    model, images = write_model(NETWORKS[bundle](), tmp_path / "model.pt"), write_images(tmp_path / "images")
    workflow = ConfigWorkflow(
        str(BUNDLES / bundle / "configs" / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        model_file=str(model),
        dataset_dir=str(images),
        output_dir=str(tmp_path / "bundle"),
        prompt=PROMPTS,
        device=torch.device("cpu"),
    )
    workflow.initialize()
    workflow.run()
    predict_records(Segmenter(model, device="cpu"), load_images(images, PROMPTS), tmp_path / "own")
    masks = {path.name for path in (tmp_path / "bundle").iterdir() if path.suffix in (".png", ".gz")}
    assert masks == {path.name for path in (tmp_path / "own").iterdir() if path.suffix in (".png", ".gz")}
    assert len(masks) == 9
    for name in masks:
        assert (tmp_path / "own" / name).read_bytes() == (tmp_path / "bundle" / name).read_bytes(), name
    assert columns(tmp_path / "own" / "areas.csv") == columns(tmp_path / "bundle" / "existence.csv")


def columns(file: Path) -> list[tuple[str, ...]]:
    rows = csv.DictReader(file.open(encoding="utf-8"))
    return [tuple(row[name] for name in ("name", "prompt", "existence", "pixels")) for row in rows]
