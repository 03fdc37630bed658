# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders as evaluations leave them, made up."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_vlsm.outputs import file_digest

Rows = list[dict[str, Any]]
HOSTILE = "<script>alert(1)</script> | `x` **b** [a](javascript:b) $m$ & \"q\" 'r' _i_ \x07"


def score(name: str, dice: float = 0.8, **other: Any) -> dict[str, Any]:
    """A row of metrics.csv."""
    row: dict[str, Any] = {
        "name": name,
        "dataset": "set",
        "structure": 0,
        "style": "p1",
        "tag": "class",
        "prompt": "polyp",
    }
    row |= {"truth_pixels": 100, "pred_pixels": 90, "truth_empty": 0, "pred_empty": 0}
    return {**row, "val_dice": dice, "val_iou": round(dice / (2 - dice), 6), "val_hd95": 50 * (1 - dice), **other}


def scores(count: int = 30, seed: int = 0, **other: Any) -> Rows:
    """Rows of images img0, img1, ... with scores drawn at random, so that a gain of 0.1 stays below 1."""
    drawn = (0.9 * np.random.default_rng(seed).beta(5, 2, count)).round(6).tolist()
    return [score(f"img{index}", dice, **other) for index, dice in enumerate(drawn)]


def probe(name: str, kind: str = "other", **other: Any) -> dict[str, Any]:
    """A row of probes.csv."""
    row = {"name": name, "dataset": "set", "probe": kind, "style": "p1", "tag": "class", "prompt": "instrument"}
    row |= {"own_prompt": "polyp", "own_pixels": 100, "asked_pixels": 50 if kind == "other" else 0, "pred_pixels": 60}
    return {**row, "image_pixels": 1000, "dice_own": 0.1, "dice_asked": 0.7, "existence": 0.3, **other}


def probes(count: int = 30, kind: str = "other", **other: Any) -> Rows:
    """Rows for the images of `scores`."""
    return [probe(f"img{index}", kind, **other) for index in range(count)]


def volume(case: str, dice: float = 0.8, **other: Any) -> dict[str, Any]:
    """A row of cases.csv."""
    row = {"case": case, "dataset": "set", "patient": "", "structure": "liver", "labels": "1", "prompt": "liver"}
    row |= {"style": "p1", "tag": "class", "plane": "axial", "dice": dice, "iou": round(dice / (2 - dice), 6)}
    row |= {"hd95_mm": 20 * (1 - dice), "surface_dice": round(dice * 0.9, 6), "tolerance_mm": 3.0}
    row |= {"truth_voxels": 1000, "pred_voxels": 900, "truth_ml": 5.0, "pred_ml": 4.5}
    return {**row, "spacing_mm": "5 x 0.8 x 0.8", "slices": 30, **other}


def volumes(count: int = 30, seed: int = 0, **other: Any) -> Rows:
    """Rows of volumes vol0, vol1, ... of a liver and a spleen, with scores drawn at random."""
    drawn = (0.9 * np.random.default_rng(seed).beta(5, 2, (count, 2))).round(6).tolist()
    names = ("liver", "spleen")
    return [
        volume(f"vol{index}", dice, structure=name, prompt=name, **other)
        for index, pair in enumerate(drawn)
        for name, dice in zip(names, pair, strict=True)
    ]


def calibration(tags: Sequence[str] = ("class",)) -> dict[str, Any]:
    """What calibration.json holds."""
    bins: list[dict[str, Any]] = [
        {"low": i / 10, "high": (i + 1) / 10, "pixels": 100 - i, "confidence": i / 10 + 0.05, "frequency": i / 10}
        for i in range(9)
    ]
    bins.append({"low": 0.9, "high": 1.0, "pixels": 0, "confidence": None, "frequency": None})
    return {"by_tag": {tag: {"bins": bins, "ece": 0.05} for tag in tags}}


RUN_JSON = {
    "created": "2026-11-23T13:40:02+00:00",
    "bundle": "vlsm_dense",
    "zero_shot": False,
    "dataset_dir": "/data/polyps",
    "split": "test",
    "styles": ["p1", "p6"],
    "existence_threshold": 0.25,
    "settings": {"network": "CLIPSegNet", "backbone": "clipseg-mini", "adaptation": {"type": "DenseAdaptation"}},
    "versions": {"monai_vlsm": "0.1.0"},
}


def write_csv(path: Path, rows: Rows) -> None:
    """A table with the columns of its first row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def make_run(
    folder: Path,
    rows: Rows | None = None,
    probed: Rows | None = None,
    calibrated: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
    images: Sequence[str] = (),
    whole: Rows | None = None,
) -> Path:
    """Write a folder; what is None is left out."""
    write_csv(folder / "metrics.csv", scores() if rows is None else rows)
    if probed is not None:
        write_csv(folder / "probes.csv", probed)
    if whole is not None:
        write_csv(folder / "cases.csv", whole)
    if calibrated is not None:
        (folder / "calibration.json").write_text(json.dumps(calibrated), encoding="utf-8")
    for name in images:
        (folder / "overlays").mkdir(exist_ok=True)
        Image.new("RGB", (60, 20), "navy").save(folder / "overlays" / f"{name}.png")
    if any(one is not None for one in (info, probed, calibrated, whole)) or images:
        write_record(folder, info or {})
    return folder


def write_record(folder: Path, info: Mapping[str, Any]) -> None:
    """Write the record of all that is in the folder, as an evaluation does at its end."""
    paths = [*folder.glob("*.csv"), *folder.glob("[cm]*.json"), *folder.glob("overlays/*.png")]
    files = {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}
    (folder / "run.json").write_text(json.dumps({**info, "files": files}), encoding="utf-8")


def full_run(folder: Path, seed: int = 0, **other: Any) -> Path:
    """A run with everything."""
    rows = scores(seed=seed, existence=0.9, **other)
    rows += scores(seed=seed + 1, style="p6", tag="mask-derived", prompt="large polyp", existence=0.9)
    rows.append(score("none", 0, truth_pixels=0, truth_empty=1, existence=0.2))
    probed = probes() + probes(kind="absent", pred_pixels=0, dice_own=0)
    images = [f"img{index}{style}" for index in range(30) for style in ("", "_p6")]
    return make_run(folder, rows, probed, calibration(), RUN_JSON, [*images, "none"])
