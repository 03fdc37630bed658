# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Made-up downloads in the layout of each dataset, with lists in the official form."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
from PIL import Image

from tests.data.files import save

PROMPTS = {"p0": "", "p1": "polyp"}
Pairs = Mapping[str, Sequence[tuple[str, str]]]

KVASIR = tuple("cju" + letter * 22 for letter in "abc")
BKAI = tuple(letter * 32 for letter in "abc")
SPLITS = ("train", "val", "test")
INFO = "ED: 1\nES: 18\nNbFrame: 18\nSex: {}\nAge: {}\nImageQuality: {}\nEF: 56\n"


def photo(seed: int = 0, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    """A colour image, another one for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def blob(left: int = 4, size: tuple[int, int] = (20, 30), value: int = 255) -> np.ndarray:
    """A mask with a rectangle from column ``left`` on."""
    mask = np.zeros(size, np.uint8)
    mask[5:12, left : left + 8] = value
    return mask


def write_lists(folder: Path, name: str, pairs: Pairs, prompts: Mapping[str, object] = PROMPTS) -> Path:
    """Official lists in ``<folder>/<name>``, as in the authors' repository; returns ``folder``."""
    for split, names in pairs.items():
        entries = [{"img_name": image, "mask_name": mask, "prompts": prompts} for image, mask in names]
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{split}.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


def same(names: Sequence[str], suffix: str = "") -> Pairs:
    """One record for each split, image and mask of one name."""
    return {split: [(name + suffix, name + suffix)] for split, name in zip(SPLITS, names, strict=True)}


def kvasir(source: Path) -> Pairs:
    for seed, name in enumerate(KVASIR):
        save(photo(seed), source / "Kvasir-SEG" / "images" / f"{name}.jpg")
        save(blob(4 + seed), source / "Kvasir-SEG" / "masks" / f"{name}.jpg", quality=90)
    (source / "Kvasir-SEG" / "kavsir_bboxes.json").write_text("{}")
    return same(KVASIR, ".jpg")


def clinicdb(source: Path) -> Pairs:
    for number in (1, 2, 3):
        image = save(photo(number), source / "CVC-ClinicDB" / "Original" / f"{number}.tif")
        if number == 2:
            image.write_bytes(with_colour_tag(image.read_bytes(), 1))
        save(blob(4 + number), source / "CVC-ClinicDB" / "Ground Truth" / f"{number}.tif")
    return same(("1", "2", "3"), ".png")


def with_colour_tag(content: bytes, value: int) -> bytes:
    """A TIFF file with another PhotometricInterpretation."""
    (start,) = struct.unpack_from("<I", content, 4)
    (number,) = struct.unpack_from("<H", content, start)
    changed = bytearray(content)
    for entry in range(start + 2, start + 2 + 12 * number, 12):
        if struct.unpack_from("<H", content, entry) == (262,):
            struct.pack_into("<H", changed, entry + 8, value)
    assert bytes(changed) != content
    return bytes(changed)


def bkai(source: Path) -> Pairs:
    for seed, name in enumerate(BKAI):
        truth = np.zeros((40, 60, 3), np.uint8)
        truth[5:20, 5:20, 0] = 255
        truth[20:36, 30:50, 1 if seed else 0] = 255
        save(photo(seed, (40, 60)), source / "train" / "train" / f"{name}.jpeg")
        save(truth, source / "train_gt" / "train_gt" / f"{name}.jpeg", quality=90)
    return same(BKAI, ".jpeg")


def isic(source: Path) -> Pairs:
    names = ("ISIC_0000001", "ISIC_0000002", "ISIC_0000003")
    for seed, (name, part) in enumerate(zip(names, ("Training", "Training", "Test"), strict=True)):
        save(photo(seed), source / f"ISBI2016_ISIC_Part1_{part}_Data" / f"{name}.jpg")
        save(blob(4 + seed), source / f"ISBI2016_ISIC_Part1_{part}_GroundTruth" / f"{name}_Segmentation.png")
    return {split: [(f"{name}.jpg", f"{name}_Segmentation.png")] for split, name in zip(SPLITS, names, strict=True)}


def dfu(source: Path) -> Pairs:
    names = ("100001", "100002", "100003")
    for seed, name in enumerate(names):
        save(photo(seed), source / "DFUC2022_train_release" / "DFUC2022_train_images" / f"{name}.jpg")
        save(blob(4 + seed), source / "DFUC2022_train_release" / "DFUC2022_train_masks" / f"{name}.png")
    return {split: [(f"{name}.jpg", f"{name}.png")] for split, name in zip(SPLITS, names, strict=True)}


def busi(source: Path) -> Pairs:
    for seed, kind in enumerate(("benign", "malignant", "normal")):
        folder = source / "Dataset_BUSI_with_GT" / kind
        save(photo(seed), folder / f"{kind} (1).png")
        save(blob() if kind != "normal" else blob(value=0), folder / f"{kind} (1)_mask.png")
    save(blob(20), source / "Dataset_BUSI_with_GT" / "benign" / "benign (1)_mask_1.png")
    return same(("1_benign", "1_malignant", "1_normal"), ".png")


def labels() -> np.ndarray:
    """Three structures as 1, 2 and 3."""
    return (blob(2) // 255 + blob(12) // 255 * 2 + blob(21) // 255 * 3).astype(np.uint8)


def camus_patient(folder: Path, patient: str, kind: str = "nii.gz", info: Sequence[object] = ("F", 56, "Good")) -> None:
    """One view and cycle of a patient; the image differs with the patient and the folder."""
    folder = folder / patient
    folder.mkdir(parents=True)
    seed = sum(str(folder).encode())
    for ending, array in (("", photo(seed)[..., 0]), ("_gt", labels())):
        path = folder / f"{patient}_2CH_ED{ending}.{kind}"
        if kind == "mhd":
            itk.imwrite(itk.image_from_array(np.ascontiguousarray(array)), str(path))
        else:  # NIfTI has columns first
            nib.save(nib.Nifti1Image(array.T, np.diag([0.3, 0.15, 1, 1])), path)
    if info:
        (folder / "Info_2CH.cfg").write_text(INFO.format(*info))


def camus_record(patient: str) -> list[tuple[str, str]]:
    return [(f"{patient}_2CH_ED.png", f"mask_{label}/{patient}_2CH_ED_gt.png") for label in (1, 2, 3)]


def camus(source: Path) -> Pairs:
    camus_patient(source / "training", "patient0051")
    camus_patient(source / "training", "patient0001", "mhd")
    camus_patient(source / "testing", "patient0001")
    return {
        split: camus_record(p) for split, p in zip(SPLITS, ("patient0051", "patient0001", "patient0001"), strict=True)
    }


SQUARE = {"size": [7, 9], "counts": "g03400000<"}  # pycocotools wrote it: rows 2 to 4, columns 3 to 6
NOTHING = {"size": [7, 9], "counts": "o1"}


def chexlocalize(source: Path) -> Pairs:
    images = (
        "patient64541_study1_view1_frontal",
        "patient64741_study1_view1_frontal",
        "patient64742_study1_view2_lateral",
    )
    for seed, (image, part) in enumerate(zip(images, ("val", "test", "test"), strict=True)):
        patient, study, view = image.split("_", 2)
        save(photo(seed, (7, 9)), source / "CheXpert" / part / patient / study / f"{view}.jpg")
    findings = {"Airspace Opacity": SQUARE, "Cardiomegaly": NOTHING}
    (source / "CheXlocalize").mkdir()
    for part, names in (("val", images[:1]), ("test", images[1:])):
        table = dict.fromkeys(names, findings)
        (source / "CheXlocalize" / f"gt_segmentations_{part}.json").write_text(json.dumps(table))
    return {s: [(f"{i}.jpg", f"{i}_airspace_opacity.png")] for s, i in zip(SPLITS, images, strict=True)}


MAKERS: dict[str, Callable[[Path], Pairs]] = {
    "bkai_polyp": bkai,
    "busi": busi,
    "camus": camus,
    "chexlocalize": chexlocalize,
    "clinicdb_polyp": clinicdb,
    "dfu": dfu,
    "isic": isic,
    "kvasir_polyp": kvasir,
}


def download(folder: Path, name: str) -> tuple[Path, Path]:
    """Write the download and the lists of a dataset; their folders."""
    source = folder / "download"
    source.mkdir(parents=True)
    return source, write_lists(folder / "annotations", name, MAKERS[name](source))


def zipped(source: Path) -> Path:
    """The download as one .zip file."""
    return Path(shutil.make_archive(str(source), "zip", source))


def mask_at(path: Path) -> np.ndarray:
    """Values of a mask file."""
    with Image.open(path) as image:
        return np.asarray(image)
