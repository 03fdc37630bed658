# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From a folder of images and masks to lists that training reads."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_vlsm.commands.data_prompts import add
from monai_vlsm.commands.prompt_lists import make_prompts
from monai_vlsm.data import DatasetProblems, load_datalist
from monai_vlsm.data.sources import list_names
from monai_vlsm.errors import UserError
from monai_vlsm.prompts import RecipeError, load_recipe
from tests.data.files import save, save_dicom

ALL = "class: polyp\ndescriptions: [a bump]\nsplits: {train: 1}\n"
RED, BACK = (200, 20, 20), (90, 90, 90)


def image(folder: Path, name: str, box: tuple[int, int, int, int] | None = (10, 10, 40, 40), mask: str = "") -> None:
    """A red rectangle (top, left, bottom, right) on grey, 60 x 80, and its mask as PNG."""
    filled = np.zeros((60, 80), bool)
    if box:
        filled[box[0] : box[2], box[1] : box[3]] = True
    save(np.where(filled[..., None], RED, BACK).astype(np.uint8), folder / "images" / name)
    save(filled.astype(np.uint8) * 255, folder / "masks" / mask / f"{Path(name).stem}.png")


def recipe(folder: Path, text: str = ALL) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def run(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    args = parser.parse_args(["prompts", *map(str, words)])
    return int(args.run(args))


def read(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))
    return entries


def test_one_structure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(tmp_path, "a.bmp")
    image(tmp_path, "b.png", box=None)
    assert run(tmp_path, "--recipe", recipe(tmp_path)) == 0
    first, second = read(tmp_path)
    assert (first["image"], first["mask"]) == ("images/a.bmp", "masks/a.png")
    full = "one medium red square polyp"
    assert first["prompt"]["p6"] == f"{full}, located in left of the image"
    assert first["prompt"]["p9"] == f"{full} which is a bump located in left of the image"
    assert (second["prompt"]["p1"], second["prompt"]["p5"]) == ("polyp", "no polyp")
    assert ("empty" in first, second["empty"]) == (False, True)
    tags = {
        **dict.fromkeys([f"p{index}" for index in range(10)], "mask-derived"),
        "p0": "class",
        "p1": "class",
        "p7": "class",
    }
    assert first["tags"] == second["tags"] == tags
    records = load_datalist(tmp_path, "train")
    assert [record["name"] for record in records] == ["a", "b"]
    assert records[0]["prompt"] == first["prompt"]
    out = capsys.readouterr()
    assert "train.json: 2 images" in out.out
    assert "2 images, 2 masks, 1 of them empty" in out.out
    assert "class: p0, p1, p7\nmask-derived: p2, p3, p4, p5, p6, p8, p9" in out.out
    assert out.err == ""  # no bar, since there is no terminal
    assert out.out.endswith(f"done: train.json in {tmp_path}; train with --dataset_dir {tmp_path}\n")


def test_several_structures(tmp_path: Path) -> None:
    text = "structures:\n  left: {class: left part}\n  far right: {class: right part}\nsplits: {test: 1}"
    for name in ("a.png", "b.png"):
        image(tmp_path, name, mask="left")
        image(tmp_path, name, box=(20, 62, 50, 79), mask="far right")
    make_prompts(tmp_path, load_recipe(recipe(tmp_path, text)))
    assert [one["mask"] for one in read(tmp_path, "test")[1]["structures"]] == [
        "masks/left/b.png",
        "masks/far right/b.png",
    ]
    separate = load_datalist(tmp_path, "test")
    assert [record["name"] for record in separate] == ["a_left", "a_far_right", "b_left", "b_far_right"]
    together = load_datalist(tmp_path, "test", multi_prompt=True)
    assert [table["p5"] for table in together[0]["prompt"]] == [
        "one medium gray square left part",  # the second image was saved over the first
        "one medium red rectangular right part",
    ]


def test_structures_may_be_missing_in_some_images(tmp_path: Path) -> None:
    image(tmp_path, "a.png", mask="x")
    image(tmp_path, "a.png", mask="y")
    image(tmp_path, "b.png", mask="y")
    text = "structures: {x: {class: x}, y: {class: y}}\nsplits: {train: 1}"
    make_prompts(tmp_path, load_recipe(recipe(tmp_path, text)))
    assert [[one["name"] for one in entry["structures"]] for entry in read(tmp_path)] == [["x", "y"], ["y"]]


def test_patients_stay_together(tmp_path: Path) -> None:
    for patient in range(6):
        for slice_ in range(3):
            image(tmp_path, f"p{patient}_s{slice_}.png")
    make_prompts(tmp_path, load_recipe(recipe(tmp_path, "class: polyp\npatient: '^(p\\d+)_'")))
    lists = {split: {entry["patient"] for entry in read(tmp_path, split)} for split in ("train", "val", "test")}
    assert {split: len(patients) for split, patients in lists.items()} == {"train": 4, "val": 1, "test": 1}
    assert len(set.union(*lists.values())) == 6
    assert len(read(tmp_path, "val")) == 3


def test_images_of_other_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """DICOM named by UID, of which only the last part differs, with a mask in transparency; the rest is named."""
    for name, level in (("1.2.840.1", 100), ("1.2.840.2", 3000)):
        image(tmp_path, f"{name}.png")
        (tmp_path / "images" / f"{name}.png").unlink()
        mask = np.zeros((60, 80, 4), np.uint8)
        mask[10:40, 10:40, 3] = 255
        save(mask, tmp_path / "masks" / f"{name}.png")
        save_dicom(np.full((60, 80), level, np.uint16) + (mask[..., 3] > 0), tmp_path / "images" / name)
    (tmp_path / "images" / "notes.txt").write_text("Not an image.")
    assert run(tmp_path, "--recipe", recipe(tmp_path)) == 0
    assert [entry["image"] for entry in read(tmp_path)] == ["images/1.2.840.1", "images/1.2.840.2"]
    assert all("one medium white square polyp" in entry["prompt"]["p6"] for entry in read(tmp_path))
    assert "left out, of no format that is read: notes.txt" in capsys.readouterr().err


def test_metadata(tmp_path: Path) -> None:
    image(tmp_path, "a.png")
    image(tmp_path, "b.png")
    image(tmp_path, "c.png")
    (tmp_path / "facts.csv").write_text("image,patient,kind\na.png,7,benign\nb,7,\n", encoding="utf-8")
    text = "template: breast_ultrasound\nclass: mass\nmetadata: facts.csv\nsplits: {train: 1}"
    lines = make_prompts(tmp_path, load_recipe(recipe(tmp_path, text)))
    a, b, c = read(tmp_path)
    assert (a["patient"], b["patient"], "patient" in c) == ("7", "7", False)
    place = "mass in the breast ultrasound image."
    assert a["prompt"]["p2"] == [f"Benign {place}", f"Regular-shaped {place}"]
    assert b["prompt"]["p2"] == c["prompt"]["p2"] == f"Regular-shaped {place}"
    assert lines[-2] == "mask-derived: p2, p3, p4, p5, p6"


def test_plural_only_of_several(tmp_path: Path) -> None:
    image(tmp_path, "a.png")
    text = "template: breast_ultrasound\nclass: mass\nplural: masses\nsplits: {train: 1}"
    make_prompts(tmp_path, load_recipe(recipe(tmp_path, text)))
    assert read(tmp_path)[0]["prompt"]["p3"] == "One regular-shaped mass in the breast ultrasound image."


def test_styles_that_some_records_lack_are_counted(tmp_path: Path) -> None:
    image(tmp_path, "a.png")
    image(tmp_path, "b.png")
    (tmp_path / "facts.csv").write_text("image,view\na.png,frontal\n", encoding="utf-8")
    text = "class: rib\ntemplate: chest_xray\nmetadata: facts.csv\nsplits: {train: 1}"
    assert "metadata: p2 (1 of 2)" in make_prompts(tmp_path, load_recipe(recipe(tmp_path, text)))


@pytest.mark.parametrize(("parity", "place"), [("false", "left"), ("true", "center")])
def test_parity(tmp_path: Path, parity: str, place: str) -> None:
    image(tmp_path, "a.png", box=(22, 18, 38, 34))
    make_prompts(tmp_path, load_recipe(recipe(tmp_path, ALL + f"parity: {parity}")))
    assert read(tmp_path)[0]["prompt"]["p6"].endswith(f"located in {place} of the image")


@pytest.mark.parametrize("name", ["two words.png", "Läsion.png", "100%_a.png", "a.b.png"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    image(tmp_path, name)
    make_prompts(tmp_path, load_recipe(recipe(tmp_path)))
    assert Path(load_datalist(tmp_path, "train")[0]["image"]).name == name


def test_answers_of_a_model(tmp_path: Path) -> None:
    image(tmp_path, "a.png")
    make_prompts(
        tmp_path, load_recipe(recipe(tmp_path)), lambda _, question: "A Star." if "shape" in question else "Grey"
    )
    assert read(tmp_path)[0]["prompt"]["p3"] == "grey a star polyp"


def test_lists_that_differ_are_kept(tmp_path: Path) -> None:
    image(tmp_path, "a.png")
    assert run(tmp_path, "--recipe", recipe(tmp_path)) == 0
    old = (tmp_path / "train.json").read_bytes()
    lines = make_prompts(tmp_path, load_recipe(recipe(tmp_path)))
    assert lines[0] == f"{tmp_path / 'train.json'}: unchanged"
    recipe(tmp_path, ALL.replace("polyp", "wart"))
    with pytest.raises(UserError, match=r"would replace .*train\.json, which differ; add --overwrite"):
        run(tmp_path, "--recipe", tmp_path / "recipe.yaml")
    assert (tmp_path / "train.json").read_bytes() == old
    assert run(tmp_path, "--recipe", tmp_path / "recipe.yaml", "--overwrite") == 0
    assert read(tmp_path)[0]["prompt"]["p1"] == "wart"
    assert not list(tmp_path.glob(".*"))


def test_older_lists_are_named(tmp_path: Path) -> None:
    image(tmp_path, "a.png")
    (tmp_path / "test.json").write_text("[]")
    lines = make_prompts(tmp_path, load_recipe(recipe(tmp_path)))
    assert f"{tmp_path / 'test.json'}: from before, left as it is" in lines


SPLIT = ALL.replace("splits: {train: 1}", "splits: {train: 1, test: 1}")


@pytest.mark.parametrize("name", ["test.json", "Test.JSON", "test.csv"])
def test_no_image_is_in_a_new_list_and_in_one_of_before(tmp_path: Path, name: str) -> None:
    for index in range(6):
        image(tmp_path, f"{index}.png")
    make_prompts(tmp_path, load_recipe(recipe(tmp_path, SPLIT)))
    if name.endswith(".csv"):
        rows = [f"{entry['image']},{entry['mask']},polyp" for entry in read(tmp_path, "test")]
        (tmp_path / name).write_text("\n".join(["image,mask,prompt", *rows]))
        (tmp_path / "test.json").unlink()
    else:
        (tmp_path / "test.json").rename(tmp_path / name)
    (tmp_path / "test.json.old").write_text("of the user")
    old, before = (tmp_path / name).read_bytes(), (tmp_path / "train.json").read_bytes()
    recipe(tmp_path)
    with pytest.raises(UserError, match=rf"{name} would stay beside the new lists .* add --overwrite"):
        run(tmp_path, "--recipe", tmp_path / "recipe.yaml")
    assert (tmp_path / "train.json").read_bytes() == before
    assert run(tmp_path, "--recipe", tmp_path / "recipe.yaml", "--overwrite") == 0
    assert list_names(tmp_path) == ["train"]
    assert len(load_datalist(tmp_path, "train")) == 6
    aside = next(path for path in tmp_path.glob(f"{name}.old*") if path.name.endswith("-2") or name != "test.json")
    assert aside.read_bytes() == old
    assert (tmp_path / "test.json.old").read_text() == "of the user"


def test_lists_of_other_images_stay(tmp_path: Path) -> None:
    image(tmp_path, "a.png")
    image(tmp_path / "more", "b.png")
    entry = {"image": "more/images/b.png", "mask": "more/masks/b.png", "prompt": "polyp"}
    (tmp_path / "test.json").write_text(json.dumps([entry]))
    assert run(tmp_path, "--recipe", recipe(tmp_path), "--overwrite") == 0
    assert [record["name"] for record in load_datalist(tmp_path, "test")] == ["b"]


def test_official_lists_would_be_read_instead(tmp_path: Path) -> None:
    image(tmp_path, "a.png")
    (tmp_path / "anns").mkdir()
    (tmp_path / "anns" / "train.json").write_text("[]")
    with pytest.raises(UserError, match="anns holds lists, which are read instead"):
        make_prompts(tmp_path, load_recipe(recipe(tmp_path)))


def test_one_class_needs_no_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        image(tmp_path, f"{number}.png")
    assert run(tmp_path, "--class", "skin lesion") == 0
    assert read(tmp_path)[0]["prompt"]["p1"] == "skin lesion"
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1
    assert "val.json has 1 image and test.json has 1 image; scores of fewer than 10" in warnings[0]
    for words in ([], ["--class", "a", "--recipe", "polyp"]):
        with pytest.raises(SystemExit):
            run(tmp_path, *words)
    with pytest.raises(RecipeError, match="--class: class of the recipe must be a text"):
        run(tmp_path, "--class", " ")


def _two_files(folder: Path) -> None:
    image(folder, "a.bmp")


def _no_mask(folder: Path) -> None:
    save(np.zeros((60, 80), np.uint8), folder / "images" / "b.png")


def _no_image(folder: Path) -> None:
    save(np.zeros((60, 80), np.uint8), folder / "masks" / "c.png")


def _size(folder: Path) -> None:
    save(np.zeros((30, 80), np.uint8), folder / "masks" / "a.png")


def _label_map(folder: Path) -> None:
    save(np.arange(60 * 80, dtype=np.uint8).reshape(60, 80) % 4, folder / "masks" / "a.png")


def _two_colours(folder: Path) -> None:
    mask = np.zeros((60, 80, 3), np.uint8)
    mask[5:25, 5:25], mask[30:55, 30:75] = (255, 0, 0), (0, 255, 0)
    save(mask, folder / "masks" / "a.png")


def _broken(folder: Path) -> None:
    (folder / "images" / "a.png").write_bytes(b"\x89PNG not really")


def _two_broken(folder: Path) -> None:
    _broken(folder)
    image(folder, "b.png")
    (folder / "masks" / "b.png").write_bytes(b"")


def _no_masks_folder(folder: Path) -> None:
    (folder / "masks" / "a.png").unlink()
    (folder / "masks").rmdir()


def _nothing(folder: Path) -> None:
    (folder / "images" / "a.png").unlink()
    (folder / "images" / "a.txt").write_text("no image")


FAULTS = [
    (_two_files, r"1 problem.*images/a\.png: expected one file for each name, found a\.bmp as well"),
    (_no_mask, r"images/b\.png: expected a mask b in .*masks, found none"),
    (_no_image, r"masks/c\.png: expected an image c in .*images, found none"),
    (_size, r"masks/a\.png: expected the size of its image a\.png, 60 rows x 80 columns, found 30 rows x 80 columns"),
    (_label_map, r"masks/a\.png: expected a binary mask .*found a label map|more than two values"),
    (_two_colours, r"masks/a\.png: expected a binary mask .*found structures of several colours"),
    (_broken, r"images/a\.png: expected a readable image"),
    (_two_broken, r"(?s)2 problems.*images/a\.png.*masks/b\.png: expected a readable mask, found an empty file"),
    (_no_masks_folder, r"images: expected masks in masks/, or beside the images as NAME_mask, found neither"),
    (_nothing, r"images: expected images, found none among 1 file$"),
]


@pytest.mark.parametrize(("spoil", "message"), FAULTS, ids=[spoil.__name__ for spoil, _ in FAULTS])
def test_faults_are_listed_and_nothing_is_written(tmp_path: Path, spoil: Any, message: str) -> None:
    image(tmp_path, "a.png")
    spoil(tmp_path)
    with pytest.raises(DatasetProblems, match=f"(?s){message.removeprefix('(?s)')}"):
        make_prompts(tmp_path, load_recipe(recipe(tmp_path)))
    assert not list(tmp_path.glob("*.json"))


def test_authors_rules_cannot_describe_every_mask(tmp_path: Path) -> None:
    image(tmp_path, "a.png", box=(0, 0, 60, 80))
    with pytest.raises(DatasetProblems, match=r"masks/a\.png: .*fills the image"):
        make_prompts(tmp_path, load_recipe(recipe(tmp_path, ALL + "parity: true")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient: '^(p\\d+)_'", r"a\.png: the pattern of patient, '\^\(p\\\\d\+\)_', does not occur in this name"),
        ("metadata: facts.csv", r"facts\.csv: no row is about an image of the folder; the first is about 'other\.png'"),
        ("metadata: nothing.csv", r"no such metadata file: .*nothing\.csv"),
    ],
)
def test_recipes_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    image(tmp_path, "a.png")
    (tmp_path / "facts.csv").write_text("image,view\nother.png,frontal\n")
    with pytest.raises(RecipeError, match=message):
        make_prompts(tmp_path, load_recipe(recipe(tmp_path, ALL + text)))


def test_recipe_comes_before_the_model(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe file"):
        run(tmp_path, "--recipe", "nothing.yaml", "--vqa", "no-such-model")
