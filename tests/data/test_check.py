# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Every fault of the files is found, all together, and each file is decoded once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_vlsm.data import DatasetProblems, Problem, check_records
from monai_vlsm.data.reader import ImageFileReader
from tests.data.files import save, save_nifti, square


def record(image: Path, *masks: Path) -> dict[str, Any]:
    label = [str(mask) for mask in masks]
    return {"image": str(image), "label": label[0] if len(label) == 1 else label}


def turned(array: np.ndarray, path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    return save(array, path, exif=exif)


def test_good_records(tmp_path: Path) -> None:
    image, mask = save(square(value=99), tmp_path / "a.png"), save(square(), tmp_path / "m.png")
    empty = save(square() * 0, tmp_path / "e.png")
    turned_image = turned(np.rot90(square()), tmp_path / "t.jpg")
    volume = save_nifti(np.zeros((4, 5, 6), np.uint8), tmp_path / "v.nii.gz")
    records = [record(image, mask, empty), record(turned_image, mask), {"image": str(volume), "prompt": "brain"}]
    assert check_records(records) == []


FAULTS = {
    "none.png": ("a file", "nothing at this path"),
    "folder": ("a readable image", "a folder without a DICOM series"),
    "empty.png": ("a readable image", "an empty file (0 bytes)"),
    "text.png": ("a readable image", "cannot identify image file"),
    "channels.nii": ("1 (grey) or 3 (colour) channels", "4 channels"),
    "volume.nii": ("a 2D image, since it has masks", "a volume of 4 rows x 5 columns x 6 slices"),
    "label_map.png": (
        "a binary mask (0 and 1, or 0 and 255)",
        "a label map, 3 values: 0 (80.0%), 1 (10.0%), 2 (10.0%)",
    ),
    "small.png": ("the size of its image a.png, 40 rows x 60 columns", "20 rows x 30 columns"),
    "turned.png": ("the size of its image a.png, 40 rows x 60 columns", "60 rows x 40 columns"),
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    save(square(value=99), tmp_path / "a.png")
    save(square(), tmp_path / "m.png")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    save_nifti(np.zeros((4, 5, 1, 1, 4), np.uint8), tmp_path / "channels.nii")
    save_nifti(np.zeros((4, 5, 6), np.uint8), tmp_path / "volume.nii")
    labels = np.repeat([0] * 8 + [1, 2], 6)[None].repeat(40, 0).astype(np.uint8)
    save(labels, tmp_path / "label_map.png")
    save(square((20, 30)), tmp_path / "small.png")
    turned(square(), tmp_path / "turned.png")
    return {name: tmp_path / name for name in ("a.png", "m.png", *FAULTS)}


def as_records(files: dict[str, Path]) -> list[dict[str, Any]]:
    image, mask = files["a.png"], files["m.png"]
    images = ("none.png", "folder", "empty.png", "text.png", "volume.nii")
    masks = ("label_map.png", "small.png", "turned.png")
    return [
        *(record(files[name], mask) for name in images),
        {"image": str(files["channels.nii"]), "prompt": "brain"},
        record(image, *(files[name] for name in masks)),
    ]


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault(name: str, files: dict[str, Path]) -> None:
    found = [problem for problem in check_records(as_records(files)) if problem.file == str(files[name])]
    expected, detail = FAULTS[name]
    assert [(problem.expected, problem.found[: len(detail)]) for problem in found] == [(expected, detail)]


def test_all_together_and_once(files: dict[str, Path]) -> None:
    problems = check_records(as_records(files) * 2)
    # the mask of the volume is 2D and so disagrees with it too
    assert Counter(Path(p.file).name for p in problems) == Counter([*FAULTS, "m.png"])
    lines = str(DatasetProblems(problems)).splitlines()
    assert lines[0] == "10 problems in the data:"
    assert lines[1] == f"  {files['none.png']}: expected a file, found nothing at this path"
    assert len(lines) == 11


def test_a_mask_that_cannot_be_read_is_reported_once(files: dict[str, Path]) -> None:
    records = [record(files["a.png"], files["empty.png"]), record(files["a.png"], files["none.png"])]
    assert [Path(problem.file).name for problem in check_records(records)] == ["empty.png", "none.png"]


def test_each_file_is_decoded_once(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    original = ImageFileReader.get_data

    def counting(self: ImageFileReader, img: Any) -> Any:
        decoded.extend(Path(path).name for path in img)
        return original(self, img)

    monkeypatch.setattr(ImageFileReader, "get_data", counting)
    check_records([record(files["a.png"], files["m.png"]), record(files["a.png"], files["m.png"], files["a.png"])])
    assert sorted(decoded) == ["a.png", "m.png"]


def test_problem_is_one_line_and_fixed() -> None:
    problem = Problem("a.png", "this", "that")
    assert str(problem) == "a.png: expected this, found that"
    with pytest.raises(AttributeError):
        problem.file = "b.png"  # type: ignore[misc]
