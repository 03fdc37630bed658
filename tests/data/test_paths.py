# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_vlsm.data import DatasetProblems, load_datalist, load_images
from monai_vlsm.data.paths import PathNotFoundError, find_file
from monai_vlsm.data.sources import list_names

COMPOSED, APART = (unicodedata.normalize(form, "fêmur é.png") for form in ("NFC", "NFD"))
CASES = {  # as written in the list, as on the disk
    "as it is": ("images/a.png", "images/a.png"),
    "composed in the list": (f"images/{COMPOSED}", f"images/{APART}"),
    "apart in the list": (f"images/{APART}", f"images/{COMPOSED}"),
    "backslash": (r"images\a.png", "images/a.png"),
    "letter case of the file": ("images/A.PNG", "images/a.png"),
    "letter case of the folder": ("Images/a.png", "images/a.png"),
    "all at once": (rf".\IMAGES\{COMPOSED.upper()}", f"images/{APART}"),
    "ß": ("images/GROSS.png", "images/groß.png"),
    "a backslash in a name": ("images\\a.png", "images\\a.png"),
}


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(("text", "name"), CASES.values(), ids=CASES)
def test_one_file_fits(text: str, name: str, tmp_path: Path) -> None:
    file = touch(tmp_path / name)
    touch(tmp_path / "images" / "other.png")
    assert find_file(tmp_path, text) == file
    assert find_file(tmp_path, str(tmp_path / text)) == file


def test_the_exact_name_goes_first(tmp_path: Path) -> None:
    lower, upper = touch(tmp_path / "a.png"), touch(tmp_path / "A.PNG")
    assert find_file(tmp_path, "a.png") == lower
    assert find_file(tmp_path, "A.PNG") == upper
    with pytest.raises(PathNotFoundError, match=r"several that differ in letter case or accents: A\.PNG, a\.png"):
        find_file(tmp_path, "A.png")


def test_a_file_that_comes_later_is_found(tmp_path: Path) -> None:
    assert find_file(tmp_path, "A.png") == tmp_path / "A.png"
    file = touch(tmp_path / "a.png")
    assert find_file(tmp_path, "A.png") == file


@pytest.mark.parametrize("text", [r"C:\data\a.png", "D:/a.png", r"\\server\share\a.png"])
def test_another_computers_path(text: str, tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match="a path of Windows"):
        find_file(tmp_path, text)


@pytest.mark.parametrize("text", ["x" * 300, "a\0b.png", "nothing/at/all.png"])
def test_what_is_nowhere_comes_back(text: str, tmp_path: Path) -> None:
    assert find_file(tmp_path, text) == tmp_path / text


def dataset(folder: Path, name: str = "train") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((64, 64), np.uint8)
    mask[5:20, 5:20] = 255
    Image.fromarray(mask // 2 + 9).save(folder / "a.png")
    Image.fromarray(mask).save(folder / "m.png")
    (folder / f"{name}.json").write_text(json.dumps([{"image": ".\\A.png", "mask": "m.PNG", "prompt": "x"}]))
    return folder


def test_lists_are_read(tmp_path: Path) -> None:
    (record,) = load_datalist(dataset(tmp_path), "train")
    assert (Path(record["image"]), Path(record["label"])) == (tmp_path / "a.png", tmp_path / "m.png")


def test_the_record_is_named(tmp_path: Path) -> None:
    dataset(tmp_path)
    (tmp_path / "A.PNG").write_bytes((tmp_path / "a.png").read_bytes())
    with pytest.raises(DatasetProblems, match=r"record 1 .*image to be a file.*several that differ"):
        load_datalist(tmp_path, "train")


@pytest.mark.parametrize(("name", "split"), [(2018, "train"), ("2018", "train"), (2018, 1)])
def test_names_that_are_numbers(name: int | str, split: int | str, tmp_path: Path) -> None:
    dataset(dataset(tmp_path / "2018"), "1")
    assert load_datalist(tmp_path, split, name)[0]["dataset"] == "2018"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("1e3", 1000.0), ("0x10", 16), ("1_000", 1000), ("True", True), ("007", "007"), ("2018.10", 2018.1), ("-1", -1)],
)
def test_names_that_a_command_line_takes_for_another_number(folder: str, name: float | str, tmp_path: Path) -> None:
    dataset(tmp_path / folder)
    dataset(tmp_path / "other")
    assert load_datalist(tmp_path, "train", name)[0]["dataset"] == folder  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [7, 1, "7", "1e3 "])
def test_another_number_is_another_name(name: int | str, tmp_path: Path) -> None:
    for folder in ("007", "True", "1e3"):
        dataset(tmp_path / folder)
    with pytest.raises(ValueError, match=f"unknown dataset '{name}' in .*, found: 007, 1e3, True"):
        load_datalist(tmp_path, "train", name)


def test_two_names_of_one_number(tmp_path: Path) -> None:
    dataset(tmp_path / "1e3")
    dataset(tmp_path / "1000.0")
    assert load_datalist(tmp_path, "train", 1000.0)[0]["dataset"] == "1000.0"  # type: ignore[arg-type]
    (tmp_path / "1000.0").rename(tmp_path / "1000.00")
    with pytest.raises(ValueError, match=r"unknown dataset '1000\.0' in .*, found: 1000\.00, 1e3"):
        load_datalist(tmp_path, "train", 1000.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Train.json", "TRAIN.JSON", "train.JSON"])
def test_names_of_lists_in_any_case(name: str, tmp_path: Path) -> None:
    dataset(tmp_path)
    (tmp_path / "train.json").rename(tmp_path / name)
    assert len(load_datalist(tmp_path, "train")) == 1
    assert list_names(tmp_path) == ["train"]
    with pytest.raises(ValueError, match=r"unknown split 'val' in .*, found: train"):
        load_datalist(tmp_path, "val")


def test_folders_of_the_official_layout_in_any_case(tmp_path: Path) -> None:
    dataset(tmp_path / "Images").joinpath("train.json").unlink()
    dataset(tmp_path / "MASKS").joinpath("train.json").unlink()
    (tmp_path / "Anns").mkdir()
    entry = {"img_name": "A.png", "mask_name": "m.PNG", "prompts": {"p1": "x"}}
    (tmp_path / "Anns" / "train.json").write_text(json.dumps([entry]))
    (record,) = load_datalist(tmp_path, "train")
    assert (Path(record["image"]), Path(record["label"])) == (tmp_path / "Images/a.png", tmp_path / "MASKS/m.png")
    (tmp_path / "ANNS").mkdir()
    with pytest.raises(ValueError, match=r"folder anns.*: ANNS, Anns"):
        load_datalist(tmp_path, "train")


def test_a_folder_that_is_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(tmp_path / "2018")
    monkeypatch.chdir(tmp_path)
    assert len(load_datalist(2018, "train")) == 1  # type: ignore[arg-type]
    assert len(load_images(2018, "polyp")) == 2  # type: ignore[arg-type]
