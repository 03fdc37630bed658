# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Both layouts, one or several structures, and every mistake that a list can hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.data import DatasetProblems, load_datalist, load_images
from monai_vlsm.errors import UserError
from tests.data.files import ramp, save, save_dicom, save_nifti, square

TABLE = {"p0": "", "p1": "polyp", "p7": ["one", "another"]}
Folder = Path


def plain(folder: Path, content: Any, name: str = "train.json") -> Path:
    """A list with ``content`` (text or bytes as they are, else JSON) beside images a, b and masks."""
    for image in ("a", "b"):
        save(square(value=200), folder / f"images/{image}.png")
        for structure in ("left", "right"):
            save(square(), folder / f"masks/{image}_{structure}.png")
    data = (
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    (folder / name).write_bytes(data)
    return folder


def official(folder: Path, prompts: Any = TABLE, **changes: Any) -> Path:
    for image in ("a.png", "b.jpeg"):
        save(square(value=200), folder / "images" / image)
        save(square(), folder / "masks" / image)
    (folder / "anns").mkdir()
    entries = [{"img_name": n, "mask_name": n, "prompts": prompts, "bbox": [1], **changes} for n in ("a.png", "b.jpeg")]
    (folder / "anns/train.json").write_text(json.dumps(entries))
    return folder


def structures(*names: str, image: str = "a") -> dict[str, Any]:
    entries = [{"mask": f"masks/{image}_{n}.png", "prompt": f"{n} lung", "name": f"{n} lung"} for n in names]
    return {"image": f"images/{image}.png", "structures": entries}


def single(prompt: Any = "polyp", **changes: Any) -> dict[str, Any]:
    return {"image": "images/a.png", "mask": "masks/a_left.png", "prompt": prompt, **changes}


def test_official_layout_keeps_prompts(tmp_path: Path) -> None:
    root = official(tmp_path / "busi")
    expected = {
        "image": str(root / "images/a.png"),
        "label": str(root / "masks/a.png"),
        "prompt": TABLE,
        "tags": {"p0": "class", "p1": "class", "p7": "mask-derived"},
        "dataset": "busi",
        "name": "a",
        "image_id": "a",
        "patient": "",
        "case": "",
        "structure": "",
    }
    for records in (load_datalist(root, "train"), load_datalist(tmp_path, "train", dataset="busi")):
        assert records[0] == expected
        assert [record["name"] for record in records] == ["a", "b"]


@pytest.mark.parametrize(
    ("prompt", "table"),
    [
        ("polyp", {"p1": "polyp"}),
        (["polyp", "a polyp"], {"p1": ["polyp", "a polyp"]}),
        ({"p0": "", "p9": ["x"]}, {"p0": "", "p9": ["x"]}),
    ],
)
def test_prompt_forms(prompt: Any, table: dict[str, Any], tmp_path: Path) -> None:
    assert load_datalist(plain(tmp_path, [single(prompt)]), "train")[0]["prompt"] == table


CSV = 'image,mask,prompt\nimages/a.png,masks/a_left.png,left lung\nimages/a.png,masks/a_right.png,"right, lung"\n'
SEMICOLONS = CSV.replace('"right, lung"', "right# lung").replace(",", ";").replace("#", ",")


@pytest.mark.parametrize(
    "content",
    [
        CSV,
        "\ufeff" + CSV,
        CSV.replace("\n", "\r\n"),
        CSV + "\n,,\n",
        CSV.replace(",masks", " , masks").replace("\n", "  \n"),
        SEMICOLONS,
        "\ufeff" + SEMICOLONS.replace("\n", "\r\n"),
        SEMICOLONS.replace(";", "\t"),
    ],
    ids=["plain", "byte-order-mark", "windows", "empty-rows", "spaces", "semicolons", "spreadsheet", "tabs"],
)
def test_csv(content: str, tmp_path: Path) -> None:
    records = load_datalist(plain(tmp_path, content, "val.csv"), "val", check=False)
    assert [(r["name"], r["prompt"]["p1"]) for r in records] == [
        ("a_left", "left lung"),
        ("a_right", "right, lung"),
    ]


def test_json_with_byte_order_mark(tmp_path: Path) -> None:
    assert len(load_datalist(plain(tmp_path, "\ufeff" + json.dumps([single()])), "train")) == 1


def test_one_or_several_structures_in_a_record(tmp_path: Path) -> None:
    root = plain(tmp_path, [structures("left", "right"), structures("left", "right", image="b")])
    separate = load_datalist(root, "train")
    assert [record["name"] for record in separate] == ["a_left_lung", "a_right_lung", "b_left_lung", "b_right_lung"]
    assert separate[1]["label"] == str(root / "masks/a_right.png")
    together = load_datalist(root, "train", multi_prompt=True)
    assert [record["name"] for record in together] == ["a", "b"]
    assert together[1]["label"] == [str(root / "masks/b_left.png"), str(root / "masks/b_right.png")]
    assert together[1]["prompt"] == [{"p1": "left lung"}, {"p1": "right lung"}]


def test_together_each_image_has_its_own_number(tmp_path: Path) -> None:
    root = plain(tmp_path, [structures("left", "right"), structures("left", image="b")])
    records = load_datalist(root, "train", multi_prompt=True)
    assert [len(record["label"]) for record in records] == [2, 1]
    assert [record["prompt"] for record in records] == [
        [{"p1": "left lung"}, {"p1": "right lung"}],
        [{"p1": "left lung"}],
    ]
    assert len(load_datalist(root, "train")) == 3


def test_names_are_unique(tmp_path: Path) -> None:
    root = plain(tmp_path, [single(), single(), single(image="other/a.png")])
    names = [record["name"] for record in load_datalist(root, "train", check=False)]
    assert names == ["a_left", "a_left-2", "a-2"]


EXPECTED_KEYS = "expected the keys image, mask, prompt, found no mask among image, label, prompt"


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("train.json", "", r"train\.json: expected a list of records, found an empty file"),
        ("train.json", "[]", "expected at least one record, found an empty list"),
        ("train.json", '[{"image": "a"},]', r"train\.json: expected valid JSON, found line 1, column 1\d"),
        ("train.json", {"training": []}, "expected a JSON list of records, found dict"),
        ("train.json", '["a"]'.encode("utf-16-le"), "expected valid JSON"),
        ("train.json", b'\xff\xfe["a', "expected text in UTF-8, found byte"),
        ("train.json", "[" * 100_000, "found lists within lists without end|expected valid JSON"),
        ("train.json", ["a.png"], r"record 1: expected a table with image, mask, prompt, found str 'a\.png'"),
        (
            "train.json",
            [single(), {"image": "x.png", "label": 1, "prompt": 1}],
            rf"record 2 \(x\.png\): {EXPECTED_KEYS}",
        ),
        ("train.json", [single(7)], r"record 1 \(images/a\.png\): expected prompt p1 to be text, found 7 \(int\)"),
        ("train.json", [single(["x", None])], r"expected prompt p1 to be text, found None \(NoneType\)"),
        ("train.json", [single([])], "expected prompt p1 to be a text or a list of texts, found an empty list"),
        ("train.json", [single(" ")], "expected prompt p1 to have words"),
        ("train.json", [single({"p1": "x", "class": "y"})], "expected prompt styles p0 to p9, found class"),
        ("train.json", [single({})], "expected prompt styles p0 to p9, found an empty table"),
        ("train.json", [single(image=3)], "expected image to be a path, found 3"),
        ("train.json", [single(mask="")], "expected mask to be a path, found ''"),
        ("train.json", [{"image": "a.png", "structures": []}], "expected structures to be a list of .*, found \\[\\]"),
        (
            "train.json",
            [{"image": "a.png", "structures": [{"mask": "m"}]}],
            "expected the keys mask, prompt, found no prompt",
        ),
        (
            "train.csv",
            "image;mask\n",
            r"train\.csv, line 1: expected the columns .* commas, semicolons or tabs, found image;mask",
        ),
        ("train.csv", "image,mask,prompt\n", "expected at least one record"),
        (
            "train.csv",
            "image,mask,prompt\na.png,b.png,one, two\n",
            r"line 2: expected a table .*, found list \['a\.png'",
        ),
        ("train.csv", "image,mask,prompt\na.png,b.png,\n", r"line 2 \(a\.png\): expected prompt p1 to have words"),
        ("train.csv", "image,mask,prompt\na.png,b.png,caf\xe9\n".encode("latin-1"), "expected text in UTF-8"),
    ],
)
def test_faulty_list(name: str, content: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetProblems, match=match) as caught:
        load_datalist(plain(tmp_path, content, name), "train", check=False)
    assert str(tmp_path / name) in caught.value.problems[0].file


ODD = "a b_\u00fc\u4e2d_50%25_#1.png"


@pytest.mark.parametrize("kind", ["json", "csv", "official"])
def test_spaces_unicode_and_percent_signs_in_names(kind: str, tmp_path: Path) -> None:
    save(square(value=200), tmp_path / "images" / ODD)
    save(square(), tmp_path / "masks" / ODD)
    if kind == "official":
        (tmp_path / "anns").mkdir()
        entry = {"img_name": ODD, "mask_name": ODD, "prompts": TABLE}
        (tmp_path / "anns/train.json").write_text(json.dumps([entry]))
    elif kind == "json":
        (tmp_path / "train.json").write_text(json.dumps([single(image=f"images/{ODD}", mask=f"masks/{ODD}")]))
    else:
        rows = f"image,mask,prompt\nimages/{ODD},masks/{ODD},polyp\n"
        (tmp_path / "train.csv").write_text(rows, encoding="utf-8")
    (record,) = load_datalist(tmp_path, "train")
    assert (record["image"], record["name"]) == (str(tmp_path / "images" / ODD), ODD.removesuffix(".png"))


@pytest.mark.parametrize("path", ["../a.png", "images/../../a.png", "..", "images\\..\\a.png"])
def test_paths_that_climb_are_refused(path: str, tmp_path: Path) -> None:
    match = r"record 1 .*: expected mask to be a path without '\.\.' \(write the whole path instead\), found "
    with pytest.raises(DatasetProblems, match=match):
        load_datalist(plain(tmp_path, [single(mask=path)]), "train", check=False)
    with pytest.raises(DatasetProblems, match=r"expected mask_name to be a path without '\.\.'"):
        load_datalist(official(tmp_path / "busi", mask_name=path), "train", check=False)


def test_absolute_paths(tmp_path: Path) -> None:
    """They work in lists of one's own; official lists name files below images/ and masks/."""
    elsewhere = save(square(), tmp_path / "elsewhere" / "mask.png")
    (record,) = load_datalist(plain(tmp_path, [single(mask=str(elsewhere))]), "train")
    assert record["label"] == str(elsewhere)
    with pytest.raises(DatasetProblems, match="expected img_name to be a name below images/, found '/etc/passwd'"):
        load_datalist(official(tmp_path / "busi", img_name="/etc/passwd"), "train", check=False)


def test_dots_within_names_work(tmp_path: Path) -> None:
    save(square(), tmp_path / "masks" / "a..b.png")
    assert len(load_datalist(plain(tmp_path, [single(mask="masks/a..b.png")]), "train")) == 1


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (["Dataset_BUSI_with_GT/benign/benign (1).png"], r"busi \(BUSI\)"),
        (["images/1_benign.png", "images/2_normal.png", "notes.txt"], r"busi \(BUSI\)"),
        (["training/patient0001/patient0001_2CH_ED_gt.nii.gz"], r"camus \(CAMUS\)"),
        (["train_gt/train_gt/" + "0a" * 16 + ".jpeg"], r"bkai_polyp \(BKAI-IGH NeoPolyp\)"),
    ],
)
def test_a_folder_that_is_no_dataset_says_what_it_looks_like(files: list[str], hint: str, tmp_path: Path) -> None:
    for name in files:
        save(square(), (tmp_path / name).with_suffix(".png")).rename(tmp_path / name)
    with pytest.raises(ValueError, match=rf"holds no dataset: .*; it looks like {hint}$") as caught:
        load_datalist(tmp_path, "train")
    assert isinstance(caught.value, UserError)


def test_many_equal_names(tmp_path: Path) -> None:
    entries = [single(image=f"{i}/image.png", mask=f"{i}/mask.png") for i in range(4_000)]
    records = load_datalist(plain(tmp_path, entries), "train", check=False)
    assert records[-1]["name"] == "image-4000"


def test_all_faulty_records_are_listed(tmp_path: Path) -> None:
    root = plain(tmp_path, [single(1), single(), single(""), single(mask=None)])
    with pytest.raises(DatasetProblems, match=r"^3 problems in the data:\n.*record 1.*\n.*record 3.*\n.*record 4.*$"):
        load_datalist(root, "train")


def test_all_faults_of_a_record_are_listed(tmp_path: Path) -> None:
    root = plain(tmp_path, [single(1, image="../a.png", mask=""), structures("left") | {"image": 3}, single()])
    with pytest.raises(DatasetProblems) as caught:
        load_datalist(root, "train")
    expected = ["image to be a path without", "mask to be a path", "prompt p1 to be text", "image to be a path"]
    assert [
        problem.expected[: len(text)] for problem, text in zip(caught.value.problems, expected, strict=True)
    ] == expected


def test_a_list_of_another_layout_gives_one_line(tmp_path: Path) -> None:
    root = plain(tmp_path, [{"image": "x.png", "label": "y.png"}] * 5)
    with pytest.raises(DatasetProblems, match=r"^1 problem in the data:\n.*all 5 records: expected the keys"):
        load_datalist(root, "train")


@pytest.mark.parametrize(
    ("prompts", "changes", "match"),
    [
        ({"p1": 5}, {}, r"all 2 records: expected prompt p1 to be text, found 5 \(int\)"),
        ("polyp", {}, "expected prompts to be a table of styles, found str"),
        ({"p1": "x"}, {"mask_name": None}, "expected mask_name to be a path, found None"),
    ],
)
def test_faulty_official_list(prompts: Any, changes: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetProblems, match=match):
        load_datalist(official(tmp_path / "busi", prompts, **changes), "train")


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    official(tmp_path / "busi")
    plain(tmp_path / "kvasir", [single()])
    (tmp_path / "empty").mkdir()
    cases = [
        (tmp_path, "train", "isic", "unknown dataset 'isic' in .*, found: busi, kvasir$"),
        (tmp_path, "train", None, "holds several datasets: name one with dataset=, found: busi, kvasir$"),
        (tmp_path / "busi", "test", None, "unknown split 'test' in .*busi, found: train$"),
        (tmp_path / "empty", "train", None, r"holds no dataset: expected anns/train\.json .* train\.csv"),
        (tmp_path / "empty", "train", "busi", "unknown dataset 'busi' .* found: none$"),
    ]
    for folder, split, dataset, match in cases:
        with pytest.raises(ValueError, match=match):
            load_datalist(folder, split, dataset)
    with pytest.raises(FileNotFoundError, match=r"no such dataset folder: .*nowhere"):
        load_datalist(tmp_path / "nowhere", "train")


def test_two_lists_of_one_split(tmp_path: Path) -> None:
    plain(tmp_path, [single()])
    with pytest.raises(ValueError, match=r"two lists of the split 'train', train\.csv and train\.json"):
        load_datalist(plain(tmp_path, CSV, "train.csv"), "train")


def test_faulty_files_stop_the_list(tmp_path: Path) -> None:
    root = plain(tmp_path, [single(), single(mask="masks/none.png"), single(image="images/none.png")])
    with pytest.raises(DatasetProblems, match=r"^2 problems in the data:\n.*masks/none\.png.*\n.*images/none\.png"):
        load_datalist(root, "train")
    assert len(load_datalist(root, "train", check=False)) == 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(ramp(), tmp_path / "b.png")
    save(ramp(), tmp_path / ".hidden.png")
    save_dicom(ramp(), tmp_path / "a")
    save_nifti(ramp(), tmp_path / "b.nii.gz")
    (tmp_path / "notes.txt").write_text("no image")
    save(ramp(), tmp_path / "inner" / "c.png")
    return tmp_path


@pytest.mark.parametrize("prompt", ["polyp", ["brain", "white matter"]])
def test_images_of_a_folder(folder: Path, prompt: str | list[str]) -> None:
    records = load_images(folder, prompt)
    assert [(Path(r["image"]).name, r["name"]) for r in records] == [("a", "a"), ("b.nii.gz", "b"), ("b.png", "b-2")]
    assert all(set(record) == {"image", "prompt", "name"} and record["prompt"] == prompt for record in records)
    assert load_images(folder / "b.png", prompt) == [{"image": str(folder / "b.png"), "prompt": prompt, "name": "b"}]


def test_no_images(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "inner/c.png").write_text("no image")
    (tmp_path / "inner/c.png").rename(tmp_path / "inner/c.mov")
    with pytest.raises(ValueError, match=r"no image in .*inner\nleft out, of no format that is read: c\.mov\nread are"):
        load_images(tmp_path / "inner", "polyp")
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*nowhere"):
        load_images(tmp_path / "nowhere", "polyp")
    with pytest.raises(DatasetProblems, match=r"notes\.txt: expected a readable image"):
        load_images(folder / "notes.txt", "polyp")


@pytest.mark.parametrize("prompt", ["", " ", [], ["brain", ""], ["brain", 3], None, 3])
def test_bad_prompt(folder: Path, prompt: Any) -> None:
    with pytest.raises(ValueError, match="prompt must be a text or a list of texts, got"):
        load_images(folder, prompt)


@pytest.mark.parametrize(("split", "number"), [("train", 624), ("val", 78), ("test", 78)])
def test_busi(shared: Path, split: str, number: int) -> None:
    records = load_datalist(shared / "data" / "busi", split, check=split == "val")
    assert len(records) == len({record["name"] for record in records}) == number
    assert all(record["prompt"]["p0"] == "" for record in records)


DOCS = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```(csv|json)\n(.*?)```", DOCS, re.DOTALL)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_of_the_docs_load(kind: str, text: str, tmp_path: Path) -> None:
    folder = tmp_path / "anns" if "img_name" in text else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / f"train.{kind}").write_text(text, encoding="utf-8")
    if '"labels"' in text:  # what is in a label map decides
        save(square(value=1), tmp_path / "masks/case1.png")
    assert load_datalist(tmp_path, "train", check=False)


def test_docs_have_an_example_of_each_form() -> None:
    assert [kind for kind, _ in EXAMPLES] == ["csv", "json", "json", "json", "json"]


@pytest.mark.parametrize("make", [official, lambda folder: plain(folder, [single()])], ids=["official", "plain"])
def test_a_dataset_is_called_as_its_folder_was_given(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "disk7")
    (tmp_path / "camus").symlink_to(tmp_path / "disk7")
    assert load_datalist(tmp_path / "camus", "train")[0]["dataset"] == "camus"
    monkeypatch.chdir(tmp_path / "disk7")
    assert load_datalist(".", "train")[0]["dataset"] == "disk7"
