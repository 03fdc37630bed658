# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write the embedded sample dataset from the ICBM 152 volumes that the package nilearn carries.

    pip download --no-deps nilearn && python -m zipfile -e nilearn-*.whl nilearn_wheel
    python tools/make_sample.py --nilearn nilearn_wheel/nilearn

Without ``--nilearn`` an installed nilearn is used. The same volumes give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

OUT = Path(__file__).parents[1] / "monai_vlsm" / "samples" / "brain"
VOLUMES = {kind: f"datasets/data/mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz" for kind in ("t1", "gm", "wm")}
SIZE = 160  # pixels
FIELD = 192  # mm, holds the 180 mm from forehead to occiput
STEP = 6  # mm between slices
VAL_EVERY, VAL_FIRST = 4, 2  # every fourth slice validates, so training is always STEP away from it
SMALLEST = 0.01  # share of the image below which a structure is left out
RANGES = {  # mm; the atlas is symmetric, so the slices right of the middle are those left of it again
    "sagittal": (-62, -8),
    "coronal": (-88, 56),
    "axial": (-46, 62),
}
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


@dataclass(frozen=True)
class Atlas:
    """Volumes ``(x, y, z)`` in RAS+ of 1 mm.

    Args:
        t1: the image, float32 in 0..1.
        structures: each structure by name, bool or probability in 0..1. The hemispheres are the patient's own sides.
        zero: index of the millimetre 0.
        centre: middle of the brain's bounding box, in voxels counted from the edge of the first.
    """

    t1: np.ndarray
    structures: dict[str, np.ndarray]
    zero: tuple[int, ...]
    centre: tuple[float, ...]


def load_atlas(folder: Path) -> Atlas:
    """Read the volumes of nilearn; refuse other axes or voxels than 1 mm RAS+, which slicing relies on."""
    arrays, affine = {}, np.eye(4)
    for kind, name in VOLUMES.items():
        image = nib.nifti1.load(folder / name)
        affine = image.affine
        if not np.allclose(affine[:3, :3], np.eye(3)):
            raise ValueError(f"{name}: expected voxels of 1 mm in RAS+, found the affine {affine.tolist()}")
        array = np.asarray(image.dataobj, dtype=np.float32)
        arrays[kind] = array / array.max()
    brain = arrays["t1"] > 0  # the T1 volume of nilearn is cut to the brain
    zero = tuple(int(-offset) for offset in affine[:3, 3])
    inside = np.argwhere(brain)
    x = np.arange(brain.shape[0])[:, None, None] - zero[0]
    structures = {
        "brain": brain,
        "left hemisphere": brain & (x < 0),
        "right hemisphere": brain & (x > 0),
        "grey matter": arrays["gm"],
        "white matter": arrays["wm"],
    }
    return Atlas(arrays["t1"], structures, zero, tuple((inside.min(0) + inside.max(0) + 1) / 2))


def image(volume: np.ndarray, plane: str, index: int, centre: tuple[float, ...]) -> np.ndarray:
    """One slice as a clinician sees it, ``(SIZE, SIZE)`` float32.

    Axial and coronal: the patient's right on the left, front or top above. Sagittal: front on the left, top above.
    """
    axis = AXES[plane]
    upright = volume.take(index, axis)[::-1, ::-1].T.astype(np.float32)  # rows fall along the later axis
    middle = [centre[a] for a in range(3) if a != axis]
    left, top = (n - c + FIELD / 2 for n, c in zip(upright.shape[::-1], middle, strict=True))  # in the padded image
    padded = Image.fromarray(np.pad(upright, FIELD))
    box = (left, top, left + FIELD, top + FIELD)
    return np.asarray(padded.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box))


def slices() -> Iterator[tuple[str, int, str]]:
    """Plane, position in mm and split of every image."""
    for plane, (first, last) in RANGES.items():
        for number, position in enumerate(range(first, last + 1, STEP)):
            yield plane, position, "val" if number % VAL_EVERY == VAL_FIRST else "train"


def save(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, optimize=True)


def write_slice(atlas: Atlas, plane: str, position: int, out: Path) -> dict[str, object]:
    """Write the image and the masks of one slice and return its entry for the list."""
    index = position + atlas.zero[AXES[plane]]
    name = f"{plane}_{position:+03d}"
    save(
        np.rint(image(atlas.t1, plane, index, atlas.centre) * 255).clip(0, 255).astype(np.uint8),
        out / f"images/{name}.png",
    )
    structures = []
    for structure, volume in atlas.structures.items():
        if plane == "sagittal" and "hemisphere" in structure:
            continue  # one slice from the side does not show which hemisphere it is
        mask = image(volume, plane, index, atlas.centre) > 0.5
        if mask.mean() < SMALLEST:
            continue
        file = f"masks/{name}_{structure.replace(' ', '_')}.png"
        save(mask.astype(np.uint8) * 255, out / file)
        structures.append({"name": structure, "mask": file, "prompt": structure})
    return {"image": f"images/{name}.png", "structures": structures}


def write_volume(atlas: Atlas, path: Path) -> None:
    """The T1 volume cut to the brain, at 2 mm, uint8, with its affine."""
    inside = np.argwhere(atlas.structures["brain"])
    low = np.maximum(inside.min(0) - 4, 0)
    nx, ny, nz = (np.minimum(inside.max(0) + 5, atlas.t1.shape) - low) // 2
    fine = atlas.t1[low[0] : low[0] + 2 * nx, low[1] : low[1] + 2 * ny, low[2] : low[2] + 2 * nz]
    coarse = fine.reshape(nx, 2, ny, 2, nz, 2).mean((1, 3, 5))
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = low - np.array(atlas.zero) + 0.5  # the centre of the first two voxels
    nib.save(nib.Nifti1Image(np.rint(coarse * 255).astype(np.uint8), affine), path)


def make_sample(atlas: Atlas, out: Path) -> dict[str, int]:
    """Write images, masks, lists and volume to ``out``, in place of those there; return the images of each split."""
    for folder in ("images", "masks"):
        shutil.rmtree(out / folder, ignore_errors=True)
    lists: dict[str, list[dict[str, object]]] = {"train": [], "val": []}
    for plane, position, split in slices():
        lists[split].append(write_slice(atlas, plane, position, out))
    for split, entries in lists.items():
        (out / f"{split}.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    write_volume(atlas, out / "volume.nii.gz")
    return {split: len(entries) for split, entries in lists.items()}


def installed_nilearn() -> Path:
    spec = find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("nilearn is not installed: pip install nilearn, or give its unpacked wheel with --nilearn")
    return Path(spec.submodule_search_locations[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nilearn", type=Path, help="folder nilearn/ of an unpacked wheel; default: the installed one")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write (default: %(default)s)")
    options = parser.parse_args()
    counts = make_sample(load_atlas(options.nilearn or installed_nilearn()), options.out)
    print(f"{options.out}: {counts['train']} training and {counts['val']} validation images")


if __name__ == "__main__":
    main()
