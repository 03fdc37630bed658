# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the list of a split lies on disk: the official annotation layout or a plain list of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monai.config import PathLike

__all__ = ["Source", "find_source"]

ANNOTATIONS = "anns"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Source:
    """The list of one split.

    Args:
        file: the JSON or CSV file.
        official: True for the official annotation layout, with ``images/`` and ``masks/`` beside ``anns/``.
        dataset: name of the dataset, which is the name of its folder.
    """

    file: Path
    official: bool
    dataset: str


def find_source(dataset_dir: PathLike, split: str, dataset: str | None = None) -> Source:
    """Find the list of a split.

    Args:
        dataset_dir: folder of the dataset; with ``dataset``, folder of several datasets.
        split: train, val, test, or the stem of another list in the folder.
        dataset: name of one dataset below ``dataset_dir``.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: unknown dataset or split (the message lists those on disk), no list at all, or two lists for one
            split.
    """
    root = _dataset_root(Path(dataset_dir).expanduser(), dataset)
    lists = _lists(root)
    files = [file for file in lists if file.stem == split]
    if not files:
        raise ValueError(f"unknown split {split!r} in {root}, found: {', '.join(sorted({f.stem for f in lists}))}")
    if len(files) > 1:
        raise ValueError(f"{root} has two lists of the split {split!r}, {_names(files)}: keep one of them")
    return Source(files[0], files[0].parent != root, root.resolve().name)


def _dataset_root(folder: Path, dataset: str | None) -> Path:
    if not folder.is_dir():
        raise FileNotFoundError(f"no such dataset folder: {folder}")
    if dataset is None and _lists(folder):
        return folder
    known = sorted(child.name for child in folder.iterdir() if child.is_dir() and _lists(child))
    if dataset in known and dataset is not None:
        return folder / dataset
    if dataset is not None:
        raise ValueError(f"unknown dataset {dataset!r} in {folder}, found: {', '.join(known) or 'none'}")
    if known:
        raise ValueError(f"{folder} holds several datasets: name one with dataset=, found: {', '.join(known)}")
    raise ValueError(
        f"{folder} holds no dataset: expected {ANNOTATIONS}/train.json with images/ and masks/, "
        "or train.json or train.csv (see docs/data.md)"
    )


def _lists(root: Path) -> list[Path]:
    """All lists of a dataset folder; the official layout goes before plain lists beside it."""
    official = sorted((root / ANNOTATIONS).glob("*.json"))
    if official:
        return official
    plain = sorted(file for file in root.iterdir() if file.suffix in (".json", ".csv") and file.is_file())
    return plain if any(file.stem in SPLITS for file in plain) else []


def _names(files: list[Path]) -> str:
    return " and ".join(file.name for file in files)
