# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes that are segmented slice by slice, so that no more of them is in memory than their masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from monai_vlsm.data import DatasetProblems
from monai_vlsm.data.formats import file_kind
from monai_vlsm.data.volumes import Address, open_stack
from monai_vlsm.data.volumes.formats import is_there
from monai_vlsm.data.volumes.store import borrowed_slices

__all__ = ["SLICE_BATCH", "sliced"]

SLICE_BATCH = 8
"""Slices that go through the network at a time."""


@contextmanager
def sliced(record: Mapping[str, Any], plane: str = "axial", context: int = 0) -> Iterator[list[dict[str, Any]]]:
    """A record for each slice of a volume; for an image, or a volume of colours or of one slice, the record itself.

    Args:
        record: ``{"image": path, "prompt", "name"}``.
        plane: axial, coronal or sagittal.
        context: how far the neighbours on either side are that come with a slice.

    Yields:
        the same records with a `monai_vlsm.data.volumes.Address` in place of the path. What cannot be read comes back
        as it is: reading it says what is wrong. Slices that were unpacked to the disk for them are gone behind it.
    """
    file = str(record["image"])
    if file_kind(file) != "volume" or not is_there(file):
        yield [dict(record)]
        return
    with borrowed_slices(file, plane):
        yield _slice_records(record, file, plane, context)


def _slice_records(record: Mapping[str, Any], file: str, plane: str, context: int) -> list[dict[str, Any]]:
    try:
        stack = open_stack(file, plane)
    except (DatasetProblems, ValueError, OSError):
        return [dict(record)]
    if 1 in stack.file_shape:  # its one plane is what there is to see
        return [dict(record)]
    return [{**record, "image": str(Address(file, plane, index, context))} for index in range(len(stack.slices))]
