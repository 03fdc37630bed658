# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Files that a list names as another system writes their paths."""

from __future__ import annotations

import os
import re
import unicodedata
from functools import lru_cache
from pathlib import Path

__all__ = ["PathNotFoundError", "find_file"]

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # C:\ or \\server
_NAMED = 3  # names that a message shows


class PathNotFoundError(ValueError):
    """A path of a list names no file here, for a reason that can be told; or several."""


def find_file(folder: Path, text: str) -> Path:
    r"""The file that a list names.

    A path that exists is taken as it is. Else each part of it may differ from the name on the disk in how accents are
    composed (macOS), in upper and lower case and in slashes (Windows), as long as one file only fits.

    Args:
        folder: what relative paths are relative to.
        text: the path in the list, such as ``images\A.PNG``.

    Returns:
        the path of the file; ``folder / text`` if nothing fits, for whoever checks files.

    Raises:
        PathNotFoundError: several files fit, or the path belongs to another computer.
    """
    exact = folder / text
    if os.path.lexists(exact):  # unlike Path.exists, no error for names that no system takes
        return exact
    if _DRIVE.match(text):
        raise PathNotFoundError("a path of Windows, and this computer has none; write it relative to the list")
    found = [folder]
    for part in Path(text.replace("\\", "/")).parts:
        found = [entry for parent in found for entry in _entries(parent, part)]
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found[:_NAMED])
        raise PathNotFoundError(f"no such file, and several that differ in letter case or accents: {names}")
    return found[0] if found else exact


def _entries(folder: Path, name: str) -> list[Path]:
    """What in a folder has the name, exactly if possible."""
    if name == Path(name).anchor:
        return [Path(name)]
    if os.path.lexists(folder / name):
        return [folder / name]
    return [folder / found for found in _listing(folder, _changed(folder)).get(_plain(name), ())]


def _changed(folder: Path) -> int:
    return folder.stat().st_mtime_ns if folder.is_dir() else 0


@lru_cache(maxsize=64)
def _listing(folder: Path, changed: int) -> dict[str, list[str]]:
    """Names of a folder by how they read without case and composition; kept, as a list has thousands of them."""
    names: dict[str, list[str]] = {}
    for entry in sorted(folder.iterdir()) if changed else ():
        names.setdefault(_plain(entry.name), []).append(entry.name)
    return names


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
