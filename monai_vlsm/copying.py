# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Copies of files and folders that a reader never meets half made."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from monai_vlsm.errors import UserError
from monai_vlsm.io import PART, WriteError

__all__ = ["copy_whole"]


def copy_whole(source: Path, target: Path, without: Collection[str] = ()) -> None:
    """Copy a file or a folder, then put it in the place of what is at ``target``.

    The copies belong to whoever makes them, and can be changed: those of an installed package may be read-only.

    Args:
        source: the file or folder; links are followed.
        target: where the copy goes; folders above it are made if needed.
        without: names of files and folders that are left out, wherever they are.

    Raises:
        WriteError: something cannot be read or written; nothing of the copy is left then.
    """
    copy = target.with_name(f".{target.name}.{secrets.token_hex(6)}{PART}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, copy, without)
        if target.is_dir():
            shutil.rmtree(target)
        copy.replace(target)
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise WriteError(
            f"cannot copy {source.name} to {target.parent}: {error.strerror or error}. Make room or get permission "
            "there, or give another folder"
        ) from error
    finally:
        _remove(copy)


def _copy(source: Path, copy: Path, without: Collection[str]) -> None:
    if not source.is_dir():
        shutil.copyfile(source, copy)
        return
    copy.mkdir()
    for entry in source.iterdir():
        if entry.name not in without:
            _copy(entry, copy / entry.name, without)


def _remove(path: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
