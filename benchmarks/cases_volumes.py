# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Cases on volumes: slices in random order from unpacked files, and in the two plain ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

import nibabel as nib
import numpy as np
import torch
from bundle import caches_in_scratch, scratch
from cases import MEMORY, SPEED, Case
from conditions import Conditions
from measure import Side
from monai.data import CacheDataset, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from scipy import ndimage
from torch import Tensor

from monai_vlsm.data import ImageFileReader, KnownFiles, check_records
from monai_vlsm.data.volumes import Address

VOLUMES = 4
SHAPE = (256, 256, 120)
FEW = 8  # slices that are decompressed one by one in a repetition
KEYS = ("image", "label")

Place = tuple[int, int]  # number of a volume, number of a slice


@lru_cache(maxsize=2)
def volume_files(quick: bool) -> tuple[dict[str, str], ...]:
    """Volumes and label maps as ``.nii.gz``, written once: smooth tissue with noise, as large as a CT's file is."""
    shape = tuple(side // 8 for side in SHAPE) if quick else SHAPE
    folder, generator = scratch() / f"volumes_{shape[0]}", np.random.default_rng(0)
    folder.mkdir()
    records = []
    for number in range(VOLUMES):
        tissue = ndimage.zoom(generator.normal(size=(8, 8, 6)), np.array(shape) / (8, 8, 6))
        image = (400 * tissue + generator.normal(scale=15, size=shape)).astype(np.int16)
        record = {}
        for key, array in (("image", image), ("label", np.digitize(tissue, (0.5, 1)).astype(np.uint8))):
            record[key] = str(folder / f"{key}_{number}.nii.gz")
            nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1.0, 1.0, 1.0])), record[key])
        records.append(record)
    return tuple(records)


def places(conditions: Conditions) -> list[Place]:
    """All slices of all volumes in random order."""
    slices = SHAPE[2] // 8 if conditions.quick else SHAPE[2]
    order = np.random.default_rng(1).permutation(VOLUMES * slices)
    return [(int(place) // slices, int(place) % slices) for place in order]


def _side(read: Callable[[Place], dict[str, Tensor]], chosen: Sequence[Place], compared: Sequence[Place]) -> Side:
    """Reads the chosen slices; what is compared are images and label maps of some of them."""

    def run() -> None:
        for place in chosen:
            read(place)

    def values() -> Tensor:
        return torch.stack([torch.stack([read(place)[key].float() for key in KEYS]) for place in compared])

    return Side(run, values, len(chosen))


def ours(conditions: Conditions) -> Side:
    """Slices as a training reads them, after the check that unpacks each volume once."""
    caches_in_scratch()
    images, masks = (cast(Any, ImageFileReader(mode)) for mode in ("image", "mask"))  # MONAI's hint names classes only
    load = Compose(
        [
            LoadImaged("image", images, None),
            LoadImaged("label", masks, None),
            EnsureChannelFirstd(KEYS),
        ]
    )
    order = places(conditions)
    records = [_addresses(volume_files(conditions.quick)[volume], index) for volume, index in order]
    problems = check_records(records, KnownFiles())
    if problems:
        raise RuntimeError(str(problems[0]))
    dataset, at = Dataset(records, load), {place: number for number, place in enumerate(order)}

    def read(place: Place) -> dict[str, Tensor]:
        item: Any = dataset[at[place]]
        return {key: item[key][0] for key in KEYS}

    return _side(read, order, order[:FEW])


def _addresses(record: dict[str, str], index: int) -> dict[str, Any]:
    label = Address(record["label"], "axial", index, labels=(1,))
    return {"image": str(Address(record["image"], "axial", index)), "label": str(label)}


def _whole(**options: Any) -> Compose:
    return Compose([LoadImaged(KEYS, **options), EnsureChannelFirstd(KEYS)])


def _slice_of(item: Any, index: int) -> dict[str, Tensor]:
    """A slice of whole volumes as `ours` has it."""
    image, label = (item[key].as_tensor()[0, :, :, index].T for key in KEYS)
    return {"image": image, "label": (label == 1).to(label.dtype)}


def each_time(conditions: Conditions) -> Side:
    """The volume is decompressed for each slice."""
    dataset, order = Dataset(volume_files(conditions.quick), _whole()), places(conditions)
    return _side(lambda place: _slice_of(dataset[place[0]], place[1]), order[:FEW], order[:FEW])


def all_kept(conditions: Conditions) -> Side:
    """MONAI's ``CacheDataset`` keeps whole volumes in memory."""
    dataset = CacheDataset(volume_files(conditions.quick), _whole(), progress=False)
    order = places(conditions)
    return _side(lambda place: _slice_of(dataset[place[0]], place[1]), order, order[:FEW])


_TITLE = f"slices of {VOLUMES} .nii.gz of {' x '.join(map(str, SHAPE))} in random order"

CASES = (
    Case(
        "volume_slices",
        f"{_TITLE}, against decompressing for each",
        10,
        SPEED,
        {"plain": each_time, "ours": ours},
        "data",
        120,
        counted=False,
    ),
    Case(
        "volume_memory",
        f"{_TITLE}, memory against CacheDataset of whole volumes",
        0.2,
        MEMORY,
        {"plain": all_kept, "ours": ours},
        "memory",
        120,
    ),
)
