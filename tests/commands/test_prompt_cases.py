# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder belong together, and what is said of those that do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from monai_vlsm.commands.prompt_lists import make_prompts
from monai_vlsm.data import DatasetProblems, load_datalist
from monai_vlsm.prompts import load_recipe
from tests.commands.test_data_prompts import image, read, recipe, run
from tests.data.files import save


@pytest.mark.parametrize("home", ["", "images"])
def test_masks_beside_their_images(tmp_path: Path, home: str, capsys: pytest.CaptureFixture[str]) -> None:
    image(tmp_path / "made", "a.png")
    (tmp_path / "data" / home).mkdir(parents=True)
    for name in ("a", "b"):
        shutil.copy(tmp_path / "made" / "images" / "a.png", tmp_path / "data" / home / f"{name}.png")
        shutil.copy(tmp_path / "made" / "masks" / "a.png", tmp_path / "data" / home / f"{name}_Mask.png")
    for _ in range(2):  # the second time there are lists
        assert run(tmp_path / "data", "--recipe", recipe(tmp_path)) == 0
    start = f"{home}/" if home else ""
    pairs = [(entry["image"], entry["mask"]) for entry in read(tmp_path / "data")]
    assert pairs == [(f"{start}a.png", f"{start}a_Mask.png"), (f"{start}b.png", f"{start}b_Mask.png")]
    assert len(load_datalist(tmp_path / "data", "train")) == 2
    assert capsys.readouterr().err == ""
    (tmp_path / "data" / home / "b_Mask.png").unlink()
    with pytest.raises(DatasetProblems, match=r"(?s)1 problem.*b\.png: expected a mask b_mask beside it, found none"):
        run(tmp_path / "data", "--recipe", recipe(tmp_path), "--overwrite")


def test_marked_masks_in_their_folder(tmp_path: Path) -> None:
    image(tmp_path, "a.png")
    (tmp_path / "masks" / "a.png").rename(tmp_path / "masks" / "a_mask.png")
    make_prompts(tmp_path, load_recipe(recipe(tmp_path)))
    assert read(tmp_path)[0]["mask"] == "masks/a_mask.png"


def test_all_faulty_masks_are_listed(tmp_path: Path) -> None:
    text = "structures: {x: {class: x}, y: {class: y}}\nsplits: {train: 1}"
    for name in ("a.png", "b.png", "c.png"):
        for structure in ("x", "y"):
            image(tmp_path, name, mask=structure)
    save(np.zeros((30, 80), np.uint8), tmp_path / "masks" / "x" / "a.png")
    save(np.arange(60 * 80, dtype=np.uint8).reshape(60, 80) % 4, tmp_path / "masks" / "y" / "a.png")
    (tmp_path / "masks" / "y" / "b.png").write_bytes(b"")
    save(np.zeros((60, 80), np.uint8), tmp_path / "masks" / "x" / "d.png")
    with pytest.raises(DatasetProblems) as error:
        make_prompts(tmp_path, load_recipe(recipe(tmp_path, text)))
    faulty = [Path(problem.file).relative_to(tmp_path).as_posix() for problem in error.value.problems]
    assert faulty == ["masks/x/d.png", "masks/x/a.png", "masks/y/a.png", "masks/y/b.png"]


def test_faults_of_one_kind_are_told_together(tmp_path: Path) -> None:
    """Whatever differs from file to file; with others in between."""
    masks = tmp_path / "masks"
    for name in "abcdefghijklmnop":
        image(tmp_path, f"{name}.png")
    for number, name in enumerate("abcde", 2):
        save((np.arange(60 * 80) % (number + 1)).astype(np.uint8).reshape(60, 80), masks / f"{name}.png")
    for number, name in enumerate("fghi"):
        save(np.zeros((30 + number, 80), np.uint8), masks / f"{name}.png")
    for name in "jk":
        (masks / f"{name}.png").write_bytes(b"")
    (masks / "l.png").write_bytes(b"no image")
    with pytest.raises(DatasetProblems) as error:
        run(tmp_path, "--class", "polyp")
    head, *lines = str(error.value).replace(f"{masks}/", "").split("\n  ")
    assert head == "12 problems in the data:" and len(error.value.problems) == 12
    assert [line.partition(", found")[0] for line in lines[::2]] == [
        "a.png: expected a binary mask (0 and 1, or 0 and 255)",
        "f.png: expected the size of its image f.png, 60 rows x 80 columns",
        "j.png: expected a readable mask",
        "l.png: expected a readable mask",
    ]
    assert lines[1::2] == [
        "  likewise b.png, c.png and 2 more",
        "  likewise g.png, h.png and 1 more",
        "  likewise k.png",
    ]
    assert "a label map, 3 values: 0 (33.3%), 1 (33.3%), 2 (33.3%); write one mask for each value, or name" in lines[0]


@pytest.mark.parametrize(
    ("names", "more", "message"),
    [
        (
            ("images/{}.png",),
            5,
            "1.png: expected a mask 1 in .*/masks, found none\n    likewise .*/2.png, .*/3.png and 2 more$",
        ),
        (
            ("masks/{}.png",),
            4,
            "1.png: expected an image 1 in .*, found none\n    likewise .*/2.png, .*/3.png and 1 more$",
        ),
        (
            ("images/{}.png", "images/{}.bmp", "masks/{}.png"),
            3,
            r"1.png: expected one file for each name, found 1.bmp as well\n    likewise .*/2.png, .*/3.png$",
        ),
    ],
)
def test_files_that_do_not_pair_are_told_together(
    names: tuple[str, ...], more: int, message: str, tmp_path: Path
) -> None:
    image(tmp_path, "a.png")
    for name in names:
        for number in range(1, more + 1):
            save(np.zeros((60, 80), np.uint8), tmp_path / name.format(number))
    with pytest.raises(DatasetProblems, match=rf"{more} problems in the data:\n  .*{message}"):
        run(tmp_path, "--class", "polyp")


@pytest.mark.parametrize("beside", [False, True])
def test_label_maps_need_a_table_and_no_words(beside: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(tmp_path, "a.png")
    image(tmp_path, "b.png")
    labels = np.zeros((60, 80), np.uint8)
    labels[5:20], labels[30:40], labels[50:] = 1, 2, 7
    file = save(labels, tmp_path / ("images/b_mask.png" if beside else "masks/b.png"))
    if beside:
        shutil.rmtree(tmp_path / "masks")
    with pytest.raises(SystemExit):
        run(tmp_path)
    table = f'{tmp_path / "labels.json"}, {{"1": "NAME", "2": "NAME", "7": "NAME"}}'
    hint = f"{file} is a label map: name its values in {table}"
    assert f"{tmp_path} has no list of cases; {hint}, beside a list train.csv" in capsys.readouterr().err
    (tmp_path / "labels.json").write_text('{"1": "liver", "2": "cyst", "7": "nerve"}')
    (tmp_path / "train.csv").write_text(f"image,mask\nimages/b.png,{file.relative_to(tmp_path)}\n")
    assert [record["structure"] for record in load_datalist(tmp_path, "train")] == ["liver", "cyst", "nerve"]


def test_masks_and_folders_that_are_no_label_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(tmp_path, "a.png")
    mask = np.zeros((60, 80, 3), np.uint8)
    mask[5:25, 5:25], mask[30:55, 30:75] = (255, 0, 0), (0, 255, 0)
    for content, end in ((None, "has no list of cases"), (mask, '{"#00ff00": "NAME", "#ff0000": "NAME"}')):
        if content is not None:
            save(content, tmp_path / "masks/a.png")
        with pytest.raises(SystemExit):
            run(tmp_path)
        err = capsys.readouterr().err
        assert end in err and ("labels.json" in err) is (content is not None)
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(SystemExit):
        run(tmp_path)
    assert "dataset.json is there, but lacks labels and training" in capsys.readouterr().err
