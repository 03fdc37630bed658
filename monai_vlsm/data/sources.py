# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the list of a split lies on disk: the official annotation layout or a plain list of one's own."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from monai.config import PathLike

from monai_vlsm.data.catalogue import recognise, recognise_archive
from monai_vlsm.data.entries import LABELS_FILE
from monai_vlsm.data.lists.lacking import what_is_lacking
from monai_vlsm.data.lists.reading import FoundList, find_list
from monai_vlsm.data.paths import PathNotFoundError, find_file
from monai_vlsm.errors import UserError
from monai_vlsm.names import folder_name, user_path

__all__ = [
    "DatasetFolderError",
    "MissingFolderError",
    "Source",
    "dataset_place",
    "files_below",
    "find_cases",
    "find_source",
    "list_names",
]

ANNOTATIONS = "anns"
SPLITS = ("train", "val", "test")
GLANCE = 2000  # files of a folder that are looked at to say which dataset it is


class DatasetFolderError(UserError, ValueError):
    """A folder that holds no dataset, another one, several, or no such list."""


class MissingFolderError(UserError, FileNotFoundError):
    """No such folder."""


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


def find_source(dataset_dir: PathLike, split: str | int, dataset: str | int | None = None) -> Source:
    """Find the list of a split. Names that are numbers, such as ``dataset=2018``, may come as numbers.

    Args:
        dataset_dir: folder of the dataset; with ``dataset``, folder of several datasets.
        split: train, val, test, or the stem of another list in the folder.
        dataset: name of one dataset below ``dataset_dir``.

    Raises:
        MissingFolderError: (a FileNotFoundError) no such folder.
        DatasetFolderError: (a ValueError) unknown dataset or split (the message lists those on disk), no list at all
            (the message says which dataset's download it looks like), or two lists for one split.
    """
    root = _dataset_root(_folder(dataset_dir), dataset)
    lists = _lists(root)
    files = [file for file in lists if file.stem == str(split)] or [f for f in lists if _split(f) == str(split).lower()]
    if not files:
        found = ", ".join(sorted({_split(file) for file in lists}))
        raise DatasetFolderError(f"unknown split {str(split)!r} in {root}, found: {found}")
    if len(files) > 1:
        raise DatasetFolderError(f"{root} has two lists of the split {str(split)!r}, {_names(files)}: keep one of them")
    return Source(files[0], files[0].parent != root, folder_name(root))


def dataset_place(dataset_dir: PathLike, dataset: str | int | None = None) -> Path:
    """The folder of one dataset, or the file of a list of cases; errors as in :func:`find_source`."""
    place = _folder(dataset_dir)
    return place if place.is_file() else _dataset_root(place, dataset)


def find_cases(dataset_dir: PathLike, dataset: str | int | None = None) -> FoundList | None:
    """The list of cases of a dataset; None where it has lists of images, which go before. Errors as `find_source`."""
    place = dataset_place(dataset_dir, dataset)
    return find_list(place) if place.is_file() or not _has_image_lists(place) else None


def _has_image_lists(folder: Path) -> bool:
    """Whether a folder has lists of images, and not only one of cases by their name."""
    lists = _lists(folder)
    return bool(lists) and any(file.parent != folder or find_list(file) is None for file in lists if _is_split(file))


def _is_split(file: Path) -> bool:
    return _split(file) in SPLITS


def _folder(dataset_dir: PathLike | int) -> Path:
    return user_path(str(dataset_dir))


def list_names(dataset_dir: PathLike, dataset: str | int | None = None) -> list[str]:
    """Names of all lists of a dataset (``train``, ``val``, ...), sorted; errors as in :func:`find_source`."""
    return sorted({_split(file) for file in _lists(_dataset_root(_folder(dataset_dir), dataset))})


def _split(file: Path) -> str:
    """The name of a list; train, val and test in any case of letters."""
    return file.stem.lower() if file.stem.lower() in SPLITS else file.stem


def _resembles(folder: Path) -> str:
    """Half a sentence on which dataset of the catalogue a folder looks like; empty if like none."""
    paths = list(islice(files_below(folder), GLANCE))
    images = [path.removeprefix("images/") for path in paths if path.startswith("images/")]
    card = recognise_archive(paths) or (recognise(images) if images else None)
    return f"it looks like {card.name} ({card.title})" if card else ""


def files_below(folder: Path) -> Iterator[str]:
    """Paths of the files below a folder, relative to it, with slashes; without hidden files and folders."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(root, name).relative_to(folder).as_posix()


def _dataset_root(folder: Path, name: str | int | None) -> Path:
    if not folder.is_dir():
        lacking = what_is_lacking(folder) if folder.is_file() else ""
        raise DatasetFolderError(lacking) if lacking else MissingFolderError(f"no such dataset folder: {folder}")
    if name is None and _holds_dataset(folder):
        return folder
    known = sorted(child.name for child in folder.iterdir() if child.is_dir() and _holds_dataset(child))
    if name is not None:
        return folder / _dataset_name(name, known, folder)
    if known:
        raise DatasetFolderError(f"{folder} holds several datasets: name one with dataset=, found: {', '.join(known)}")
    raise DatasetFolderError(what_is_lacking(folder) or _no_dataset(folder))


def _no_dataset(folder: Path) -> str:
    """That nothing in a folder is like a list, and what is expected."""
    hint = _resembles(folder)
    return (
        f"{folder} holds no dataset: expected {ANNOTATIONS}/train.json with images/ and masks/, train.json or "
        "train.csv, or dataset.json of the Decathlon or nnU-Net (see docs/data.md); for a folder of images and masks, "
        f"python -m monai_vlsm data prompts {folder} --class WORD makes lists{'; ' if hint else ''}{hint}"
    )


def _dataset_name(name: str | int, known: list[str], folder: Path) -> str:
    """The folder of a dataset; a name that the command line took for a number is found by that number."""
    if str(name) in known:
        return str(name)
    typed = [one for one in known if type(name) is type(_as_typed(one)) and name == _as_typed(one)]
    if len(typed) == 1:
        return typed[0]
    unknown = f"unknown dataset {str(name)!r} in {folder}, found: {', '.join(known) or 'none'}"
    raise DatasetFolderError(what_is_lacking(folder / str(name)) or what_is_lacking(folder) or unknown)


def _as_typed(name: str) -> Any:
    """What a command line makes of a name: 1e3 becomes 1000.0, and 007 stays as it is."""
    try:
        return ast.literal_eval(name)
    except (ValueError, SyntaxError):
        return name


def _holds_dataset(folder: Path) -> bool:
    return bool(_lists(folder)) or find_list(folder) is not None


def _lists(root: Path) -> list[Path]:
    """All lists of a dataset folder; the official layout goes before plain lists beside it."""
    try:
        annotations = find_file(root, ANNOTATIONS)
    except PathNotFoundError as error:
        raise DatasetFolderError(f"{root}: expected one folder {ANNOTATIONS}, found {error}") from error
    official = _files(annotations, ".json") if annotations.is_dir() else []
    plain = [] if official else [file for file in _files(root, ".json", ".csv") if file.name != LABELS_FILE]
    return official or (plain if any(map(_is_split, plain)) else [])


def _files(folder: Path, *suffixes: str) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.is_file())


def _names(files: list[Path]) -> str:
    return " and ".join(file.name for file in files)
