# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a user sees in a folder."""

from __future__ import annotations

from pathlib import Path


def visible(folder: Path) -> set[str]:
    """Names of what is in a folder and is not hidden."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too, and what is in them."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
