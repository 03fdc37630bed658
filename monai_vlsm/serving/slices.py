# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes that are segmented slice by slice, so that no more of them is in memory than their masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from monai_vlsm.data import DatasetProblems
from monai_vlsm.data.formats import file_kind
from monai_vlsm.data.volumes import Address, open_stack
from monai_vlsm.data.volumes.formats import is_there
from monai_vlsm.data.volumes.nifti import volumes_in
from monai_vlsm.data.volumes.store import borrowed_slices
from monai_vlsm.errors import UserError

__all__ = ["SLICE_BATCH", "ChannelNumberError", "channel_number", "in_channel", "sliced"]

SLICE_BATCH = 8
"""Slices that go through the network at a time."""


class ChannelNumberError(UserError, ValueError):
    """What was to be the number of a volume of 4D files is none."""


def channel_number(channel: int | str | None) -> int | None:
    """The number of a volume of 4D files, from 0.

    Raises:
        ChannelNumberError: it is none, such as a name, which only lists know.
    """
    if channel is None or str(channel).strip().isdecimal():
        return None if channel is None else int(channel)
    raise ChannelNumberError(f"channel must be the number of a volume of 4D files, from 0, got {channel!r}")


def in_channel(record: Mapping[str, Any], channel: int | None) -> dict[str, Any]:
    """The record, with a volume of its file in place of a file of several; any other as it is.

    Args:
        record: ``{"image": path, "prompt", "name"}``.
        channel: which volume; None where nobody says, and reading the file asks for it.
    """
    file = str(record["image"])
    if channel is None or Address.of(file) != Address(file) or volumes_in(file) == 1:
        return dict(record)
    return {**record, "image": str(Address(file, channel=channel))}


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
    whole = Address.of(file)
    with borrowed_slices(whole.file, plane, whole.channel):
        yield _slice_records(record, replace(whole, plane=plane, context=context))


def _slice_records(record: Mapping[str, Any], whole: Address) -> list[dict[str, Any]]:
    try:
        stack = open_stack(whole.file, str(whole.plane), whole.channel)
    except (DatasetProblems, ValueError, OSError):
        return [dict(record)]
    if 1 in stack.file_shape:  # its one plane is what there is to see
        return [dict(record)]
    return [{**record, "image": str(replace(whole, index=index))} for index in range(len(stack.slices))]
