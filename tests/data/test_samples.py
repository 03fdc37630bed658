# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The sample that ships, and the script that makes it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_vlsm.data import load_datalist, load_images
from monai_vlsm.samples import sample_dir
from tools import make_sample

STRUCTURES = {"brain", "left hemisphere", "right hemisphere", "grey matter", "white matter"}


def mask_of(records: list[dict], name: str, structure: str) -> np.ndarray:
    label = next(r["label"] for r in records if r["name"] == f"{name}_{structure}")
    return np.asarray(Image.open(label)) > 0


@pytest.mark.parametrize(("split", "images", "structures"), [("train", 41, 189), ("val", 13, 61)])
def test_sample_passes_the_check(split: str, images: int, structures: int) -> None:
    records = load_datalist(sample_dir(), split)
    assert (len({r["image"] for r in records}), len(records)) == (images, structures)
    assert {record["prompt"]["p1"] for record in records} == STRUCTURES
    assert {Image.open(record["image"]).size for record in records} == {(160, 160)}


def test_splits_are_apart() -> None:
    places: dict[str, dict[str, list[int]]] = {"train": {}, "val": {}}
    for split, planes in places.items():
        for record in load_datalist(sample_dir(), split, check=False):
            plane, position = Path(record["image"]).stem.split("_")
            planes.setdefault(plane, []).append(int(position))
    for plane in ("axial", "coronal", "sagittal"):
        gaps = [abs(abs(a) - abs(b)) if plane == "sagittal" else abs(a - b)
                for a in places["train"][plane] for b in places["val"][plane]]  # fmt: skip
        assert min(gaps) >= 4


def test_left_is_the_patients() -> None:
    records = load_datalist(sample_dir(), "val", check=False)
    left, right = (mask_of(records, "axial_+14", f"{side}_hemisphere") for side in ("left", "right"))
    assert left[:, 80:].sum() == left.sum() > 1000
    np.testing.assert_array_equal(left, right[:, ::-1])
    assert not any("sagittal" in r["name"] and "hemisphere" in r["name"] for r in records)


def test_volume_loads_for_inference() -> None:
    record = load_images(sample_dir() / "volume.nii.gz", ["brain", "white matter"])[0]
    image = nib.nifti1.load(record["image"])
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.header.get_zooms() == (2, 2, 2)
    middle = np.linalg.inv(image.affine) @ [0, 0, 0, 1]
    inside = np.argwhere(np.asarray(image.dataobj) > 0)
    assert abs((inside.min(0) + inside.max(0))[0] / 2 - middle[0]) < 0.51  # the atlas is symmetric about x = 0


def test_sample_is_small_and_carries_its_rights() -> None:
    files = [file for file in sample_dir().rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 4_000_000
    notice = (sample_dir() / "LICENSE.txt").read_text()
    assert "Louis Collins, McConnell Brain Imaging Centre" in notice
    assert "The nilearn developers" in notice


def test_unknown_sample() -> None:
    with pytest.raises(ValueError, match="unknown sample 'heart', known: brain"):
        sample_dir("heart")


@pytest.fixture(scope="module")
def nilearn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up atlas: a block of brain, bright to the left, front and top; right grey, left white."""
    folder = tmp_path_factory.mktemp("nilearn")
    (folder / "datasets/data").mkdir(parents=True)
    x, y, z = np.ogrid[-70:71, -110:81, -60:76]
    brain = (abs(x) < 66) & (abs(y + 12) < 80) & (abs(z - 8) < 60)
    t1 = np.where(brain, 100 + 40 * (x < 0) + 40 * (y > -12) + 40 * (z > 8), 0)
    affine = np.eye(4)
    affine[:3, 3] = -70, -110, -60
    for kind, array in {"t1": t1, "gm": (brain & (x >= 0)) * 255, "wm": (brain & (x < 0)) * 255}.items():
        nib.save(nib.Nifti1Image(array.astype(np.uint8), affine), folder / make_sample.VOLUMES[kind])
    return folder


@pytest.fixture(scope="module")
def made(nilearn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    make_sample.make_sample(make_sample.load_atlas(nilearn), out)
    return out


def digests(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_script_is_deterministic(nilearn: Path, made: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/old.png").write_bytes(b"of an earlier run")
    make_sample.make_sample(make_sample.load_atlas(nilearn), tmp_path)
    assert digests(tmp_path) == digests(made)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bright"),
    [("axial_+02", "upper right"), ("coronal_+02", "upper right"), ("sagittal_-20", "upper left")],
)
def test_script_draws_as_a_clinician_sees_it(name: str, bright: str, made: Path) -> None:
    image = np.asarray(Image.open(made / "images" / f"{name}.png")).astype(float)
    quarters = {
        "upper left": image[:80, :80],
        "upper right": image[:80, 80:],
        "lower left": image[80:, :80],
        "lower right": image[80:, 80:],
    }
    brightest = {quarter: pixels[pixels > 0].mean() for quarter, pixels in quarters.items()}
    assert max(brightest, key=brightest.__getitem__) == bright


@pytest.mark.slow
def test_script_masks_agree_with_the_atlas(made: Path) -> None:
    load_datalist(made, "train")
    masks = {s: np.asarray(Image.open(made / f"masks/axial_+02_{s.replace(' ', '_')}.png")) > 0 for s in STRUCTURES}
    overlap = {
        (a, b): (masks[a] & masks[b]).sum() / masks[b].sum()
        for a, b in [("left hemisphere", "white matter"), ("right hemisphere", "grey matter"), ("brain", "grey matter")]
    }
    assert min(overlap.values()) > 0.97
    assert not (masks["left hemisphere"] & masks["right hemisphere"]).any()
    entries = json.loads((made / "train.json").read_text())
    assert {len(e["structures"]) for e in entries if "sagittal" in e["image"]} == {2}  # brain and white matter


@pytest.mark.slow
def test_script_volume_matches_the_atlas(nilearn: Path, made: Path) -> None:
    fine = nib.nifti1.load(nilearn / make_sample.VOLUMES["t1"])
    coarse = nib.nifti1.load(made / "volume.nii.gz")
    voxel = np.array([10, 20, 30, 1])
    x, y, z = np.rint(np.linalg.inv(fine.affine) @ coarse.affine @ voxel).astype(int)[:3]
    same = np.asarray(fine.dataobj)[x, y, z] / np.asarray(fine.dataobj).max()
    assert np.asarray(coarse.dataobj)[10, 20, 30] == pytest.approx(same * 255, abs=1)


def test_script_refuses_other_voxels(nilearn: Path, tmp_path: Path) -> None:
    (tmp_path / "datasets/data").mkdir(parents=True)
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4) * 2), tmp_path / make_sample.VOLUMES["t1"])
    with pytest.raises(ValueError, match=r"expected voxels of 1 mm in RAS\+"):
        make_sample.load_atlas(tmp_path)
