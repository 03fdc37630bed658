# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A folder that an evaluation wrote: which files it must have, which it may have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_vlsm.evaluations import OVERLAYS, RECORD, own_files
from monai_vlsm.names import without_folders
from monai_vlsm.prompts import TAGS
from monai_vlsm.statistics.columns import Columns, ReportError, clean, read_columns, require_ranges

__all__ = ["EVALUATE", "METRICS", "VOLUME_METRICS", "Run", "read_run", "read_runs"]

_OF_BUNDLES = ("evaluation", "eval")  # folders of an evaluation and of a training in every bundle
EVALUATE = (
    "python -m monai.bundle run --config_file "
    "\"['bundles/vlsm_dense/configs/train.json','bundles/vlsm_dense/configs/evaluate.json']\" --dataset_dir DATA"
)
METRICS = ("val_dice", "val_iou", "val_hd95")
SCORE_TEXTS = ("name", "dataset", "structure", "style", "tag", "prompt", "image_id", "patient")
SCORE_NUMBERS = ("truth_pixels", "pred_pixels", "truth_empty", "pred_empty", *METRICS, "existence", "uncertainty")
VOLUME_METRICS = ("dice", "iou", "hd95_mm", "surface_dice")
VOLUME_TEXTS = ("case", "dataset", "patient", "structure", "prompt", "style", "tag", "plane")
VOLUME_NUMBERS = ("tolerance_mm", "truth_voxels", "pred_voxels", *VOLUME_METRICS)
PROBE_TEXTS = ("name", "dataset", "probe", "style", "tag", "prompt", "own_prompt")
PROBE_NUMBERS = (
    *("own_pixels", "asked_pixels", "pred_pixels", "image_pixels", "dice_own", "dice_asked"),
    "existence",
)
_SHARE, _AMOUNT = (0.0, 1.0), (0.0, np.inf)
RANGES = {
    **dict.fromkeys(
        ("val_dice", "val_iou", "existence", "uncertainty", "truth_empty", "pred_empty", "dice_own", "dice_asked"),
        _SHARE,
    ),
    **dict.fromkeys(("val_hd95", *(f"{name}_pixels" for name in ("truth", "pred", "own", "asked", "image"))), _AMOUNT),
    **dict.fromkeys(("dice", "iou", "surface_dice"), _SHARE),
    **dict.fromkeys(("hd95_mm", "tolerance_mm", "truth_voxels", "pred_voxels"), _AMOUNT),
}
TRAINING_FILES = ("last.pt", "model.pt", "curves.png")


@dataclass(frozen=True)
class Run:
    """What one evaluation left behind.

    Args:
        name: what the report calls it.
        scores: ``metrics.csv``, and ``unit``: what the bootstrap draws, the patient where known, else the
            image, which several structures may share.
        volumes: ``cases.csv`` with ``unit``, the patient where known, else the volume, if it is there.
        probes: ``probes.csv`` with ``unit``, if it is there.
        calibration: tag to bins and error from ``calibration.json``, if it is there.
        facts: ``run.json``, or an empty table.
        images: file of each image in ``overlays``, by its name without the suffix.
    """

    name: str
    scores: Columns
    volumes: Columns | None
    probes: Columns | None
    calibration: Mapping[str, Any] | None
    facts: Mapping[str, Any]
    images: Mapping[str, Path]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read several runs; those that share a name get a number behind it.

    Raises:
        ReportError: a folder that no evaluation wrote, or a file that cannot be read.
    """
    runs: list[Run] = []
    for folder in folders:
        run, taken = read_run(folder), {run.name for run in runs}
        names = [run.name, *(f"{run.name} ({number})" for number in range(2, len(runs) + 2))]
        runs.append(replace(run, name=next(name for name in names if name not in taken)))
    return runs


def read_run(folder: Path) -> Run:
    """Read one run.

    Its name is that of the folder; of ``evaluation`` and ``eval``, which every bundle has, that of the folder above.

    Raises:
        MixedFilesError: files of several evaluations, or files that were changed since.
        ReportError: as in `read_runs`.
    """
    if not (folder / "metrics.csv").is_file():
        raise ReportError(_no_run(folder))
    files = own_files(folder)
    scores = read_columns(
        files["metrics.csv"], SCORE_TEXTS, SCORE_NUMBERS, ("image_id", "patient", "existence", "uncertainty")
    )
    scores = {"image_id": scores["name"], **scores}  # files of older versions lack it
    probes = None
    if "probes.csv" in files:
        probes = read_columns(files["probes.csv"], PROBE_TEXTS, PROBE_NUMBERS, ("existence",))
    volumes = read_columns(files["cases.csv"], VOLUME_TEXTS, VOLUME_NUMBERS) if "cases.csv" in files else None
    for columns, file in ((scores, "metrics.csv"), (probes or {}, "probes.csv"), (volumes or {}, "cases.csv")):
        _check_tags(folder / file, columns)
        require_ranges(folder / file, columns, RANGES)
    path = folder.resolve()
    units = _units(scores)
    return Run(
        name=clean(path.parent.name if path.name in _OF_BUNDLES and path.parent.name else path.name),
        scores={**scores, "unit": np.array([units[key] for key in _images(scores)], dtype=object)},
        volumes=volumes and {**volumes, "unit": _volume_units(volumes)},
        probes=probes and {**probes, "unit": np.array([units.get(k, f"image {k[0]}/{k[1]}") for k in _images(probes)])},
        calibration=_calibration(folder / "calibration.json"),
        facts=_to_send({name: value for name, value in (_json(folder / RECORD) or {}).items() if name != "files"}),
        images={path.stem: path for name, path in files.items() if name.startswith(f"{OVERLAYS}/")},
    )


def _images(columns: Columns) -> list[tuple[str, str]]:
    return list(zip(columns["dataset"], columns["name"], strict=True))


def _units(scores: Columns) -> dict[tuple[str, str], str]:
    """Dataset and name of a record to the patient, if the scores tell, else to the image."""
    patients = scores.get("patient", np.full(len(scores["name"]), "", dtype=object))
    return {
        (dataset, name): f"patient {dataset}/{patient}" if patient.strip() else f"image {dataset}/{image}"
        for (dataset, name), image, patient in zip(_images(scores), scores["image_id"], patients, strict=True)
    }


def _volume_units(volumes: Columns) -> np.ndarray:
    rows = zip(volumes["dataset"], volumes["patient"], volumes["case"], strict=True)
    units = [f"patient {dataset}/{who}" if who.strip() else f"volume {dataset}/{case}" for dataset, who, case in rows]
    return np.array(units, dtype=object)


def _check_tags(path: Path, columns: Columns) -> None:
    unknown = sorted(set(columns.get("tag", ())) - set(TAGS))
    if unknown:
        raise ReportError(f"{path} has the unknown tag {unknown[0]!r}; tags are {', '.join(TAGS)}")


def _to_send(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts without the folders of this machine: reports are sent to others."""
    sent = {key: without_folders(value) if isinstance(value, str) else value for key, value in facts.items()}
    sent |= {key: _to_send(value) for key, value in facts.items() if isinstance(value, dict)}
    if isinstance(facts.get("command"), str):
        sent["command"] = " ".join(map(without_folders, facts["command"].split(" ")))
    return sent


def _no_run(folder: Path) -> str:
    if not folder.exists():
        return f"{folder} does not exist; give the folder that an evaluation wrote: {EVALUATE} --output_dir FOLDER"
    if not folder.is_dir():
        return f"{folder} is a file; give the folder that holds it"
    return f"{folder} has no metrics.csv, so no evaluation wrote it. {_looks_like(folder)}"


def _looks_like(folder: Path) -> str:
    found = [file.parent for file in folder.glob("*/metrics.csv")]
    inner = min(found, key=lambda path: (not (path / "calibration.json").is_file(), path), default=None)
    if inner:
        return f"Perhaps you mean {inner}"
    if (folder / "configs").is_dir():
        return (
            f"It looks like a bundle that has not been evaluated: {EVALUATE.replace('bundles/vlsm_dense', str(folder))}"
        )
    if any((folder / name).is_file() for name in TRAINING_FILES):
        return f"It looks like a training; evaluate its model first: {EVALUATE}"
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        return f"It looks like a dataset; evaluate a model on it first: {EVALUATE.replace('DATA', str(folder))}"
    return f"Run an evaluation first: {EVALUATE} --output_dir {folder}"


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ReportError(f"cannot read {path}: {error}; run the evaluation again") from error
    if not isinstance(content, dict):
        raise ReportError(f"{path}: expected a table of names and values, got {type(content).__name__}")
    return content


def _calibration(path: Path) -> dict[str, Any] | None:
    content = _json(path)
    if content is None:
        return None
    try:
        tags = {tag: content["by_tag"][tag] for tag in TAGS if tag in content["by_tag"]}
        return {tag: _calibrated(found) for tag, found in tags.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ReportError(
            f"{path}: expected by_tag, with ece and bins for each tag, numbers such as they can be: {error!r}. Run the "
            "evaluation again"
        ) from error


def _calibrated(found: Mapping[str, Any]) -> dict[str, Any]:
    """Errors and bins, and those behind a temperature where there is one; older files have no error of single masks."""
    errors = {name: _within(found[name], 1) for name in ("ece", "ece_masks") if name in found or name == "ece"}
    scaled = found.get("scaled")
    after = {"scaled": {**_calibrated(scaled), "temperature": _within(scaled["temperature"], np.inf)}} if scaled else {}
    return {**errors, "bins": _bins(found["bins"]), **after}


def _bins(bins: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The bins that hold pixels, as numbers."""
    names = ("low", "high", "pixels", "confidence", "frequency")
    return [
        {name: _within(found[name], np.inf if name == "pixels" else 1) for name in names}
        for found in bins
        if found["pixels"]
    ]


def _within(value: Any, highest: float) -> float:
    number = float(value)
    if not 0 <= number <= highest:
        raise ValueError(f"expected a number from 0 to {highest:g}, got {number:g}")
    return number
