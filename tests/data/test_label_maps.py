# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Label maps of two axes: every class comes as it is, to the pixel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from monai_vlsm.data import DatasetProblems, ImageFileReader, KnownFiles, check_records
from monai_vlsm.data.label_maps import read_label_map
from monai_vlsm.data.lists.counting import image_counts
from monai_vlsm.data.problems import MissingFileError
from monai_vlsm.transforms import BinarizeMaskd
from tests.data.files import save, save_nifti

ROWS, COLUMNS = 30, 40
LABELS = np.zeros((ROWS, COLUMNS), np.uint8)
LABELS[5:15, 5:20] = 1
LABELS[8, 9] = 2  # a lesion of one pixel within the organ
LABELS[20:23, 20:22] = 17
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[[1, 2, 17]] = [(255, 0, 0), (0, 255, 0), (10, 20, 30)]


def grey(path: Path) -> Path:
    return save(LABELS, path)


def sixteen_bits(path: Path) -> Path:
    return save(LABELS.astype(np.uint16), path)


def palette(path: Path) -> Path:
    image = Image.fromarray(LABELS, "P")
    image.putpalette(PALETTE.ravel().tolist())
    image.save(path)
    return path


def colours(path: Path) -> Path:
    return save(PALETTE[LABELS], path)


def nifti(path: Path) -> Path:
    """Of one slice, as its own axes have it; turned when it is read."""
    return save_nifti(np.ascontiguousarray(LABELS.T[:, ::-1, None]), path.with_suffix(".nii.gz"))


def mask_of(*names: str) -> np.ndarray:
    """What a training gets, ``(K, rows, columns)``."""
    load = Compose(
        [
            LoadImaged("label", reader=ImageFileReader("mask", flat=True)),
            EnsureChannelFirstd("label"),
            BinarizeMaskd("label"),
        ]
    )
    mask: np.ndarray = load({"label": list(names) if len(names) > 1 else names[0]})["label"].numpy()
    return mask


@pytest.mark.parametrize("write", [grey, sixteen_bits, palette, nifti])
def test_numbers(write: Callable[[Path], Path], tmp_path: Path) -> None:
    file = write(tmp_path / "a.png")
    for labels in ((1,), (2,), (17,), (1, 2), (3,)):
        expected = np.isin(LABELS, labels)
        text = f"{file}::label={','.join(map(str, labels))}"
        np.testing.assert_array_equal(mask_of(text)[0], expected)
        assert KnownFiles().empty_masks([text]) == (set() if expected.any() else {text})
    several = mask_of(*[f"{file}::label={number}" for number in (2, 1, 17)])
    np.testing.assert_array_equal(several, np.stack([number == LABELS for number in (2, 1, 17)]))
    assert image_counts(str(file)) == ({1: 149, 2: 1, 17: 6}, {})


@pytest.mark.parametrize("write", [palette, colours])
def test_colours(write: Callable[[Path], Path], tmp_path: Path) -> None:
    file = write(tmp_path / "a.png")
    for number, colour in ((1, "ff0000"), (2, "00ff00"), (17, "0a141e"), (3, "0000ff")):
        text = f"{file}::colour={colour}"
        np.testing.assert_array_equal(mask_of(text)[0], number == LABELS)
        assert KnownFiles().empty_masks([text]) == (set() if number != 3 else {text})
    assert image_counts(str(file), colours=True) == ({}, {"0a141e": 6, "ff0000": 149, "00ff00": 1})


def test_one_bit_and_grey_as_colour(tmp_path: Path) -> None:
    Image.fromarray(LABELS == 2).save(tmp_path / "a.png")
    assert mask_of(f"{tmp_path}/a.png::label=1").sum() == 1
    assert mask_of(f"{tmp_path}/a.png::colour=ffffff").sum() == 1


def test_turned_and_transparent(tmp_path: Path) -> None:
    """Orientation is applied; what is transparent is nothing."""
    exif = Image.Exif()
    exif[274] = 6  # a quarter to the right
    Image.fromarray(LABELS).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(mask_of(f"{tmp_path}/a.png::label=2")[0], np.rot90(LABELS == 2, -1))
    rgba = np.dstack([PALETTE[LABELS], np.where(LABELS > 0, 255, 0)]).astype(np.uint8)
    rgba[LABELS == 0, :3] = 255
    np.testing.assert_array_equal(mask_of(str(save(rgba, tmp_path / "b.png")) + "::colour=ff0000")[0], LABELS == 1)


FAULTS = {
    "colours": (lambda path: colours(path), "label=1", "a label map of numbers", "name them in the table of labels"),
    "JPEG": (lambda path: save(LABELS * 100, path.with_suffix(".jpg")), "label=1", "a readable label map", "as PNG"),
    "text": (lambda path: path.write_text("no image") and path, "label=1", "a readable label map", "cannot identify"),
    "fractions": (
        lambda path: save(LABELS.astype(np.float32) / 2, path.with_suffix(".tif")),
        "label=1",
        "a readable label map",
        "0.5",
    ),
    "another size": (lambda path: save(LABELS[:20], path), "label=1", "the size of its image i.png", "20 rows"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_told(name: str, tmp_path: Path) -> None:
    write, part, expected, found = FAULTS[name]
    file, image = write(tmp_path / "a.png"), save(LABELS, tmp_path / "i.png")
    problems = check_records([{"image": str(image), "label": f"{file}::{part}"}] * 3)
    assert len(problems) == 1 and problems[0].file == str(file)
    assert expected in problems[0].expected and found in problems[0].found


def test_a_class_is_no_binary_mask_to_be_judged(tmp_path: Path) -> None:
    """Without an address a label map stays refused, and the message says what to write."""
    file, image = grey(tmp_path / "a.png"), save(LABELS, tmp_path / "i.png")
    assert check_records([{"image": str(image), "label": [f"{file}::label=1", f"{file}::label=2"]}]) == []
    (problem,) = check_records([{"image": str(image), "label": str(file)}])
    assert 'labels.json beside the list, {"1": "NAME", "2": "NAME", "17": "NAME"}' in problem.found
    (problem,) = check_records([{"image": str(image), "label": str(colours(tmp_path / "c.png"))}])
    assert 'labels.json beside the list, {"#ff0000": "NAME"}' in problem.found


def test_each_file_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, image = grey(tmp_path / "a.png"), save(LABELS, tmp_path / "i.png")
    seen = []
    monkeypatch.setattr(
        "monai_vlsm.data.part_facts.read_label_map", lambda one: seen.append(one) or read_label_map(one)
    )
    masks = [f"{file}::label={number}" for number in (1, 2, 17, 5)]
    files = KnownFiles()
    assert check_records([{"image": str(image), "label": mask} for mask in masks], files) == []
    assert files.empty_masks(masks) == {masks[-1]}
    assert len(seen) == 1


def test_errors_while_reading(tmp_path: Path) -> None:
    reader = ImageFileReader("mask")
    with pytest.raises(MissingFileError, match=r"a\.png"):
        reader.get_data(reader.read(f"{tmp_path}/a.png::label=1"))
    with pytest.raises(DatasetProblems, match=r"a\.png: expected a readable mask, found colours, expected numbers"):
        reader.get_data(reader.read(f"{colours(tmp_path / 'a.png')}::label=1"))
