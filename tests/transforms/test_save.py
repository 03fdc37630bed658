# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImaged
from PIL import Image

from monai_vlsm.drawing import prompt_colours
from monai_vlsm.drawing.colours import rgb
from monai_vlsm.outputs import NotOursError
from monai_vlsm.transforms import SavePromptMasksd
from monai_vlsm.transforms.save import distinct_names, file_stem, label_map, mask_files, mask_stems
from tests.folders import contents, visible

AFFINE = np.array([[-2.0, 0, 0, 9], [0, 3, 0, 1], [0, 0, 4, 2], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("white matter", "white_matter"),
        ("../../etc/passwd", "etc_passwd"),
        ("a/b\\c:*?", "a_b_c"),
        ("größe 3,5", "größe_3_5"),
        ("$@%", "prompt"),
        ("", "prompt"),
        ("x" * 60, "x" * 60),
        ("x" * 500, "x" * 51 + "_c38c2bf3"),
    ],
)
def test_file_stem(text: str, stem: str) -> None:
    assert file_stem(text) == stem


@pytest.mark.parametrize("letter", ["x", "ö", "脑", "🧠"])
def test_any_text_fits_into_a_file_name(letter: str, tmp_path: Path) -> None:
    """A name has two parts and an ending, and file systems take 255 bytes."""
    longest = file_stem(letter * 5000)
    assert len(longest.encode()) <= 100
    (tmp_path / f"{longest}_{longest}.nii.gz").touch()


def test_texts_with_one_beginning_get_two_names() -> None:
    assert len({file_stem("1.2.840." * 10 + end) for end in ("1", "2", "11")}) == 3
    assert file_stem("one\ud800" * 50) != file_stem("one\ud801" * 50)


@pytest.mark.parametrize(
    ("prompts", "stems"),
    [
        (["brain"], ["s_brain"]),
        (["labels"], ["s_labels"]),
        (["brain", "labels"], ["s_brain", "s_labels_2", "s_labels"]),
        (["a", "a"], ["s_a_1", "s_a_2", "s_labels"]),
        (["a_2", "a", "a"], ["s_a_2", "s_a_2_", "s_a_3", "s_labels"]),
        (["?", "!"], ["s_prompt_1", "s_prompt_2", "s_labels"]),
    ],
)
def test_each_prompt_has_a_file_of_its_own(prompts: list[str], stems: list[str]) -> None:
    assert mask_stems("s", prompts) == stems


def test_label_map() -> None:
    probabilities = torch.tensor([[0.9, 0.6, 0.2, 0.5], [0.1, 0.7, 0.4, 0.5]])[:, None]
    assert label_map(probabilities).tolist() == [[[1, 2, 0, 1]]]


def image(name: str, shape: tuple[int, ...]) -> MetaTensor:
    return MetaTensor(torch.zeros(3, *shape), meta={"filename_or_obj": name, "original_affine": AFFINE})


def test_image(tmp_path: Path) -> None:
    probabilities = torch.zeros(1, 4, 6)
    probabilities[0, 1, 5] = 0.9
    data = {"image": image("in/scan.jpg", (4, 6)), "pred": probabilities, "prompt": "one polyp", "name": "scan"}
    result = SavePromptMasksd("pred", tmp_path)(data)
    assert visible(tmp_path) == {"scan_one_polyp.png"}
    pixels = np.asarray(Image.open(tmp_path / "scan_one_polyp.png"))
    assert pixels.shape == (4, 6)
    assert (pixels[1, 5], pixels.sum()) == (255, 255)
    assert result["pred"].sum() == 1


def test_volume_with_two_prompts(tmp_path: Path) -> None:
    probabilities = torch.zeros(2, 3, 4, 5)
    probabilities[0, 0, 1, 2], probabilities[1, 2, 3, 4] = 0.8, 0.7
    data = {"image": image("v.nii.gz", (3, 4, 5)), "pred": probabilities, "prompt": ["brain", "brain"], "name": "v"}
    SavePromptMasksd("pred", tmp_path)(data)
    assert visible(tmp_path) == {"v_brain_1.nii.gz", "v_brain_2.nii.gz", "v_labels.nii.gz"}
    labels = nibabel.load(tmp_path / "v_labels.nii.gz")
    assert np.array_equal(labels.affine, AFFINE)
    values = np.asarray(labels.dataobj)
    assert (values[0, 1, 2], values[2, 3, 4], values.sum(), values.dtype) == (1, 2, 3, np.uint8)


@pytest.mark.parametrize("name", ["v.NII.GZ", "v.Nii", "v.nii.gz"])
def test_the_format_follows_the_image_in_any_case(name: str, tmp_path: Path) -> None:
    data = {"image": image(name, (3, 4, 5)), "pred": torch.zeros(1, 3, 4, 5), "prompt": "brain", "name": "v"}
    SavePromptMasksd("pred", tmp_path)(data)
    assert visible(tmp_path) == {"v_brain.nii.gz"}
    assert mask_files({"name": "v", "image": name, "prompt": "brain"}) == ["v_brain.nii.gz"]


def test_label_map_holds_numbers_and_shows_colours(tmp_path: Path) -> None:
    probabilities = torch.zeros(3, 4, 6)
    probabilities[0, 0], probabilities[1, 1], probabilities[2, 2] = 0.9, 0.9, 0.9
    data = {"image": image("a.png", (4, 6)), "pred": probabilities, "prompt": ["a", "b", "c"], "name": "s"}
    SavePromptMasksd("pred", tmp_path)(data)
    with Image.open(tmp_path / "s_labels.png") as file:
        assert np.asarray(file)[:, 0].tolist() == [1, 2, 3, 0]
        shown = np.asarray(file.convert("RGB"))[:, 0]
    expected = [rgb(colour) for colour in prompt_colours(3)]
    assert [tuple(colour) for colour in shown.tolist()] == [*expected, (0, 0, 0)]


def test_more_prompts_than_a_byte_holds(tmp_path: Path) -> None:
    probabilities = torch.zeros(300, 1, 300)
    probabilities[torch.arange(300), 0, torch.arange(300)] = 0.9
    prompts = [f"p{index}" for index in range(300)]
    SavePromptMasksd("pred", tmp_path)(
        {"image": image("a.png", (1, 300)), "pred": probabilities, "prompt": prompts, "name": "s"}
    )
    assert np.asarray(Image.open(tmp_path / "s_labels.png"))[0].tolist() == list(range(1, 301))


def test_a_file_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "s_brain.png").write_bytes(b"of the user")
    data = {"image": image("a.png", (4, 6)), "pred": torch.zeros(1, 4, 6), "prompt": "brain", "name": "s"}
    with pytest.raises(NotOursError, match=r"s_brain\.png"):
        SavePromptMasksd("pred", tmp_path)(data)
    assert contents(tmp_path) == {"s_brain.png": b"of the user"}


@pytest.mark.parametrize(
    "names", [["scan 1", "scan_1", "scan(1)"], ["A", "a"], ["x" * 300] * 3, ["a", "a-2", "a"], ["?", "!", "image"]]
)
def test_names_whose_files_would_be_one(names: list[str]) -> None:
    records = distinct_names([{"name": name, "prompt": "brain"} for name in names])
    stems = [mask_stems(record["name"], [record["prompt"]])[0].casefold() for record in records]
    assert len(set(stems)) == len(names)


def test_programs_that_leave_out_savers_find_it(tmp_path: Path) -> None:
    """MONAI Label removes ``SaveImaged`` from the postprocessing of a bundle."""
    assert isinstance(SavePromptMasksd("pred", tmp_path), SaveImaged)
