# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CVC-ClinicDB: ``Original/*.tif`` and ``Ground Truth/*.tif`` (or .png), to PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from monai_vlsm.data.prepare.archive import Archive
from monai_vlsm.data.prepare.pairs import pair_plan
from monai_vlsm.data.prepare.pixels import image, png, structure
from monai_vlsm.data.prepare.plan import Family, Plan, Wanted
from monai_vlsm.data.prepare.tiff import mended

__all__ = ["FAMILY"]


@contextmanager
def _readable(archive: Archive, member: str) -> Iterator[Path]:
    """A file that Pillow can read: the member itself, or a copy with a colour tag that fits."""
    content = archive.read(member)
    with TemporaryDirectory() as folder:
        path = Path(folder, Path(member).name)
        path.write_bytes(mended(content))
        yield path


def _image(archive: Archive, member: str) -> bytes:
    with _readable(archive, member) as path:
        return png(image(path, member))


def _mask(archive: Archive, member: str) -> bytes:
    with _readable(archive, member) as path:
        return png(structure(path, member))


def _plan(archive: Archive, wanted: Sequence[Wanted]) -> Plan:
    files = r"(^|/){}/(?P<key>\d+)\.(tiff?|png)$"
    return pair_plan(archive, wanted, (files.format("Original"), _image), (files.format("Ground Truth"), _mask))


FAMILY = Family(_plan)
