# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where an image or a mask lies when it is not a whole file: a slice of a volume, some classes of a label map.

An address is text, so that it stands where records hold paths, and whatever treats paths as names (caches, facts of
files, messages) treats slices alike. Behind the path of the file comes what of it is meant::

    liver_3.nii.gz::axial=12                      slice 12 of the axial plane, counted from 0
    liver_3.nii.gz::axial=12::context=1           that slice between its neighbours
    brats_1.nii.gz::channel=2                     the third volume of a 4D file
    brats_1.nii.gz::axial=12::channel=2           slice 12 of it
    labels/liver_3.nii.gz::axial=12::label=1,2    where the label map has 1 or 2
    scan_mask.png::label=2                        a label map of two axes
    scan_mask.png::colour=ff0000                  one colour of a coloured mask
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from os import PathLike, fspath
from typing import Any

__all__ = ["Address"]

_TAIL = re.compile(
    r"(?s)(?P<file>.+?)"
    r"(?:::(?P<plane>axial|coronal|sagittal)=(?P<index>\d+))?"
    r"(?:::context=(?P<context>\d+))?"
    r"(?:::channel=(?P<channel>\d+))?"
    r"(?:::label=(?P<labels>\d+(?:,\d+)*))?"
    r"(?:::colour=(?P<colour>[0-9a-f]{6}))?"
)


@dataclass(frozen=True)
class Address:
    """A part of a file; with the path alone the whole of it.

    Args:
        file: the path; of a DICOM series the folder.
        plane: axial, coronal or sagittal (`monai_vlsm.data.volumes.planes`).
        index: number of the slice in that plane, from 0.
        context: how far the neighbours on either side are that come with the slice; 0 is the slice alone.
        channel: which volume of a 4D file, from 0.
        labels: of a label map, the numbers that make the mask; none means a mask as it is.
        colour: of a coloured mask, six hexadecimal digits.
    """

    file: str
    plane: str | None = None
    index: int | None = None
    context: int = 0
    channel: int | None = None
    labels: tuple[int, ...] = ()
    colour: str | None = None

    @classmethod
    def of(cls, text: str | PathLike[str]) -> Address:
        """Read an address; a path that is none is a whole file."""
        found: Any = _TAIL.fullmatch(fspath(text))
        parts = found.groupdict() if found else {"file": fspath(text)}
        number = {key: int(parts[key]) for key in ("index", "context", "channel") if parts.get(key)}
        labels = tuple(int(one) for one in parts["labels"].split(",")) if parts.get("labels") else ()
        return cls(parts["file"], parts.get("plane"), labels=labels, colour=parts.get("colour"), **number)

    @property
    def whole(self) -> bool:
        """Whether it is a whole file, or a whole volume of a 4D file."""
        return self == Address(self.file, channel=self.channel)

    def without_labels(self) -> Address:
        """The same pixels, with all classes."""
        return replace(self, labels=(), colour=None)

    def __str__(self) -> str:
        parts = [
            f"{self.plane}={self.index}" if self.plane else "",
            f"context={self.context}" if self.context else "",
            f"channel={self.channel}" if self.channel is not None else "",
            f"label={','.join(map(str, self.labels))}" if self.labels else "",
            f"colour={self.colour}" if self.colour else "",
        ]
        return "::".join([self.file, *filter(None, parts)])
