# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Errors of decoders, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_vlsm.data.problems import DatasetProblems, MissingFileError, Problem
from monai_vlsm.data.volumes.formats import is_there
from monai_vlsm.errors import UserError

__all__ = ["explained"]


@contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Any error while a file is decoded as one that names it.

    Args:
        path: the file, or the folder of a series.
        what: what it should be, "image", "mask" or "volume".

    Raises:
        MissingFileError: no such file.
        DatasetProblems: a file that cannot be read.
    """
    if not is_there(path):
        raise MissingFileError(f"no such {what} file: {path}; was it moved, renamed or deleted?")
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise ValueError("an empty file (0 bytes)")
        yield
    except UserError:
        raise
    except Exception as error:  # the decoders raise nearly every type, from SyntaxError to struct.error
        found = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise DatasetProblems([Problem(str(path), f"a readable {what}", found[0])]) from error
