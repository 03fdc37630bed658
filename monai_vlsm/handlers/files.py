# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Writing a file so that a reader never meets half of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

__all__ = ["replacing", "save_atomically"]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that takes its place when the block ends without an error.

    Folders that are missing are made. After an error, Ctrl-C included, the old file is untouched and the temporary one
    is removed.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def save_atomically(obj: Any, path: str | os.PathLike[str]) -> None:
    """``torch.save`` to ``path``, all or nothing."""
    with replacing(path) as temporary:
        torch.save(obj, temporary)
