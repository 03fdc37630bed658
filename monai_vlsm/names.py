# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""File names for any text, and names of which no two mean one file."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path

__all__ = [
    "OverlayNames",
    "distinct",
    "file_key",
    "file_stem",
    "folder_name",
    "split_name",
    "user_path",
    "without_folders",
]

_CHARACTERS, _BYTES = 60, 100  # of a part of a name; a name has two parts, and 255 bytes is what file systems take
# from a root (/, ~/, C:\\) at the start, behind = or in quotes and lists, to the end of what it stands in
_ABSOLUTE = re.compile(r"""(?<![^'"\[,=(])(?:/|~[\w-]*/|[A-Za-z]:[/\\])[^'"\[\],)]*""")
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
_SPLITS = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}
_MARK = 8  # digits of the hash that ends a name that was cut


def split_name(text: str) -> str:
    """The name of a split of cases as it is called here: ``val`` for "Validation"; another name in small letters."""
    return _SPLITS.get(text.lower(), text.lower())


def file_stem(text: str, default: str = "prompt") -> str:
    """A part of a file name for any text: letters, digits, dots, dashes; at most 60 characters and 100 bytes.

    A longer text ends in a hash of itself, so that two texts with the same beginning (the UIDs of DICOM files, say) get
    two names. Names that mean devices on Windows, such as con and nul, get an underscore before them. Letters that come
    as a letter and an accent become one, so that a name is the same on all file systems.

    Args:
        text: any text.
        default: what a text without letters and digits becomes.
    """
    kept = [letter if _allowed(letter) else " " for letter in unicodedata.normalize("NFC", text)]
    stem = "_".join("".join(kept).split()).strip("._") or default
    if stem.partition(".")[0].upper() in _DEVICES:
        stem = f"_{stem}"
    if len(stem) <= _CHARACTERS and len(stem.encode()) <= _BYTES:
        return stem
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    start = stem[: _CHARACTERS - _MARK - 1].encode()[: _BYTES - _MARK - 1].decode(errors="ignore")
    return f"{start}_{mark}"


def _allowed(letter: str) -> bool:
    return letter.isalnum() or letter in "._-" or unicodedata.category(letter).startswith("M")


def file_key(name: str) -> str:
    """The same text for all names that mean one file on some file system: macOS and Windows ignore the case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def distinct(names: Sequence[str], files: Callable[[str, int], Iterable[str]] | None = None) -> list[str]:
    """The names, with -2, -3, ... behind those whose files would take the place of another's.

    Args:
        names: any texts, in the order in which they take their files.
        files: the files of a name, given the name and its place in ``names``; by default one, named as the text is.

    Returns:
        as many names.
    """
    taken: set[str] = set()
    last: dict[str, int] = {}  # where to go on counting, else the cost grows with the square of equal names
    found = []
    for place, name in enumerate(names):
        number, free = last.get(file_key(name), 1), name
        while taken & (keys := {file_key(file) for file in (files(free, place) if files else (free,))}):
            number += 1
            free = f"{name}-{number}"
        taken |= keys
        last[file_key(name)] = number
        found.append(free)
    return found


def without_folders(text: str) -> str:
    """A value that may be sent to others: of each absolute path in it only the last part is left.

    Args:
        text: a path, an option with one, or a list of them: ``['/home/anna/a.json','/b.json']`` becomes
            ``['a.json','b.json']``. Of a command line give the words, one at a time.
    """
    return _ABSOLUTE.sub(lambda match: re.split(r"[/\\]", match[0].rstrip("/\\"))[-1], text)


def user_path(path: str | PathLike[str]) -> Path:
    """A path as it was typed, `~` at its beginning as the home of a user; a user whom nobody knows has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def folder_name(path: str | PathLike[str]) -> str:
    """The name of a folder as it was given: that of a link, not of what it leads to; for ``.`` that of the folder."""
    given = Path(path).absolute()
    return (given.resolve() if ".." in given.parts else given).name


class OverlayNames:
    """Names for overlays of an evaluation, in the order of its rows: who reads them later finds each by the same rule.

    Of an image that comes in several prompt styles, the first is ``NAME`` and further ones ``NAME_STYLE``; a number
    follows names that are taken.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, Iterator[int]] = {}  # where to go on counting, else the cost grows with the square

    def stem(self, name: str, style: str = "") -> str:
        """The next file name, without suffix.

        Args:
            name: of the image.
            style: of the prompt, if there are several.
        """
        base = file_stem(name, "image")
        styled = [f"{base}_{file_stem(style)}"] if style else []
        numbers = self._numbers.setdefault(file_key(base), itertools.count(1))
        wanted = itertools.chain([base, *styled], (f"{base}_{number}" for number in numbers))
        stem = next(stem for stem in wanted if file_key(stem) not in self._taken)
        self._taken.add(file_key(stem))
        return stem
