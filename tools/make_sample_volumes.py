# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write the embedded sample of volumes, a Decathlon folder, from the ICBM 152 volumes of the package nilearn.

    python tools/make_sample_volumes.py --nilearn nilearn_wheel/nilearn

See ``make_sample.py``, which reads the same volumes. The same volumes give the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
from make_sample import OUT, Atlas, installed_nilearn, load_atlas

FOLDER = OUT.with_name("brain_volumes")
VOXEL = 2  # mm within a slice, and its thickness
BETWEEN = 8  # mm from a slice to the next; the slices of one case lie in the gaps of the other
CASES = {"train": 0, "validation": BETWEEN // 2}  # mm from the lowest slice
LABELS = {"0": "background", "1": "grey_matter", "2": "white_matter"}
MARGIN = 4  # mm around the brain
TOP = 1000  # value of the brightest voxel, as arbitrary as those of a scanner


def box(atlas: Atlas) -> tuple[np.ndarray, np.ndarray]:
    """First voxel of a box around the brain, and its size; a whole number of slabs high."""
    inside = np.argwhere(atlas.structures["brain"])
    low = np.maximum(inside.min(0) - MARGIN, 0)
    size = np.minimum(inside.max(0) + MARGIN + 1, atlas.t1.shape) - low
    return low, size - size % (VOXEL, VOXEL, BETWEEN)


def slabs(volume: np.ndarray, low: np.ndarray, size: np.ndarray, first: int) -> np.ndarray:
    """Mean values of voxels of ``VOXEL`` mm in each slab that a case holds, ``(x, y, slices)``."""
    x, y, z = (slice(a, a + n) for a, n in zip(low, size, strict=True))
    fine = np.asarray(volume[x, y, z], np.float32)
    nx, ny, nz = (n // VOXEL for n in size)
    coarse = fine.reshape(nx, VOXEL, ny, VOXEL, nz, VOXEL).mean((1, 3, 5))
    return coarse[:, :, first // VOXEL :: BETWEEN // VOXEL]


def save(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """As NIfTI, without a time in the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as file:
        image.to_stream(file)


def write_case(atlas: Atlas, name: str, first: int, out: Path) -> dict[str, str]:
    """Image and label map of one case; its entry for the list."""
    low, size = box(atlas)
    affine = np.diag([VOXEL, VOXEL, BETWEEN, 1.0])
    affine[:3, 3] = low - np.array(atlas.zero) + (0.5, 0.5, 0.5 + first)  # centre of the first voxel
    matter = np.stack([slabs(atlas.structures[f"{one} matter"], low, size, first) for one in ("grey", "white")])
    labels = np.where(matter.max(0) > 0.5, matter.argmax(0) + 1, 0).astype(np.uint8)
    image = np.rint(slabs(atlas.t1, low, size, first) * TOP).astype(np.int16)
    entry = {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
    save(image, affine, out / entry["image"])
    save(labels, affine, out / entry["label"])
    return entry


def make_sample(atlas: Atlas, out: Path) -> None:
    """Write the folder, in place of what is there."""
    for folder in ("imagesTr", "labelsTr"):
        shutil.rmtree(out / folder, ignore_errors=True)
    cases = {split: [write_case(atlas, f"brain_{split}", first, out)] for split, first in CASES.items()}
    dataset = {
        "name": "brain_volumes",
        "description": "one averaged brain (ICBM 152), in two sets of slices",
        "tensorImageSize": "3D",
        "modality": {"0": "MRI"},
        "labels": LABELS,
        "numTraining": 1,
        "training": cases["train"],
        "validation": cases["validation"],
    }
    (out / "dataset.json").write_text(json.dumps(dataset, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nilearn", type=Path, help="folder nilearn/ of an unpacked wheel; default: the installed one")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write (default: %(default)s)")
    options = parser.parse_args()
    make_sample(load_atlas(options.nilearn or installed_nilearn()), options.out)
    for path in sorted(options.out.rglob("*.nii.gz")):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
