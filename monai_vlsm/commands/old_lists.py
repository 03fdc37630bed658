# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists that lie in a folder already, beside those that are made: no image may come into two of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from monai_vlsm.data.rows import find_rows
from monai_vlsm.data.sources import SPLITS, Source

__all__ = ["overlapping_lists", "set_aside"]

_SUFFIXES = (".json", ".csv")


def overlapping_lists(folder: Path, made: Iterable[Path], images: Iterable[Path]) -> list[Path]:
    """Lists of train, val or test in a folder that hold images of the lists to be made.

    Args:
        folder: of the dataset.
        made: the lists to be made, which take the place of those with the same name.
        images: all images of these.
    """
    new, known = set(made), {image.resolve() for image in images}
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in _SUFFIXES and file.is_file()]
    lists = [file for file in files if file.stem.lower() in SPLITS and not any(_is_same(file, path) for path in new)]
    return [file for file in lists if _overlaps(file, known)]


def _is_same(file: Path, path: Path) -> bool:
    return file == path or (path.exists() and file.samefile(path))


def _overlaps(file: Path, images: set[Path]) -> bool:
    rows, _ = find_rows(Source(file, False, file.parent.name))  # a faulty list is refused by whoever uses it
    return any(row.image.resolve() in images for row in rows)


def set_aside(files: Sequence[Path]) -> list[Path]:
    """Rename lists so that nothing reads them: ``test.json`` becomes ``test.json.old``, or ``.old-2`` and so on."""
    return [file.rename(_free(file)) for file in files]


def _free(file: Path) -> Path:
    number, path = 1, file.with_name(f"{file.name}.old")
    while path.exists():
        number += 1
        path = file.with_name(f"{file.name}.old-{number}")
    return path
