# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists as files: JSON and YAML of a folder, and the paths in them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from monai_vlsm.counts import counted
from monai_vlsm.data.entries import read_json
from monai_vlsm.data.formats import image_stem
from monai_vlsm.data.paths import PathNotFoundError, find_file
from monai_vlsm.data.problems import DatasetProblems, Problem

__all__ = ["PathError", "apple_note", "case_names", "is_apple_double", "listed_file", "read_table"]

HEAD = 64  # bytes in which the first character of a JSON file is


class PathError(ValueError):
    """A path of a list that cannot be taken: what was expected, and what came."""


def read_table(file: Path) -> dict[str, Any]:
    """The table that a JSON or YAML file holds; an empty one for files that hold something else, such as a list.

    Raises:
        DatasetProblems: a file that begins like a table and cannot be read.
    """
    if file.suffix.lower() == ".json":
        with file.open("rb") as raw:
            if not raw.read(HEAD).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                return {}
        content = read_json(file)
    else:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            found = " ".join(str(error).split())
            raise DatasetProblems([Problem(str(file), "YAML in UTF-8", found)]) from error
    return content if isinstance(content, dict) else {}


def listed_file(root: Path, text: Any, what: str) -> str:
    """The file that a list names, which lies in a folder or below it.

    Args:
        root: the folder.
        text: the path in the list, such as ``./imagesTr/liver_3.nii.gz``.
        what: it is, for messages.

    Raises:
        PathError: no text, a path that leaves the folder, or several files that fit.
    """
    if not isinstance(text, str) or not text.strip():
        raise PathError(f"{what} to be a path", repr(text))
    plain = os.path.normpath(text.strip().replace("\\", "/"))
    whole = Path(os.path.normpath(root / plain))
    if not whole.is_relative_to(os.path.normpath(root)) or whole == Path(os.path.normpath(root)):
        raise PathError(f"{what} to lie in {root}", repr(text))
    try:
        return str(find_file(root, str(whole.relative_to(os.path.normpath(root)))))
    except PathNotFoundError as error:
        raise PathError(f"{what} to be a file", f"{text!r}: {error}") from error


def is_apple_double(text: Any) -> bool:
    """Whether a path is one of the files ``._NAME`` that macOS puts beside NAME in archives."""
    return isinstance(text, str) and Path(text.replace("\\", "/")).name.startswith("._")


def apple_note(where: Path, count: int) -> list[str]:
    """A line on files ``._*`` that were left out."""
    return [f"{where}: left out {counted(count, 'file')} ._*, which macOS wrote into the archive"] if count else []


def case_names(images: Sequence[str], root: Path) -> list[str]:
    """A name for each image: that of its file; those that would be equal get their folders in front.

    Args:
        images: different files.
        root: folder of the dataset.
    """
    stems = [image_stem(image) for image in images]
    count = Counter(stems)
    return [
        stem if count[stem] == 1 else _with_folders(Path(image), root, stem)
        for image, stem in zip(images, stems, strict=True)
    ]


def _with_folders(image: Path, root: Path, stem: str) -> str:
    folders = image.relative_to(root).parent.parts if image.is_relative_to(root) else image.parent.parts[-2:]
    return "_".join([*folders, stem])
