# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What is special about each archive: unions, colours, tags, label maps, run lengths, patients."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_vlsm.data.foreground import foreground
from monai_vlsm.data.prepare import PrepareReport, prepare_dataset
from monai_vlsm.data.prepare.camus_info import in_words
from monai_vlsm.data.prepare.pixels import jpeg_mask
from monai_vlsm.prompts import read_metadata
from tests.data.files import save
from tests.data.prepare.downloads import (
    BKAI,
    KVASIR,
    SQUARE,
    blob,
    camus_patient,
    camus_record,
    download,
    labels,
    mask_at,
    photo,
    write_lists,
)


def prepare(folder: Path, name: str) -> PrepareReport:
    return prepare_dataset(name, folder / "download", folder / "annotations", folder / "out")


def test_busi_unites_masks_and_changes_names(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "busi")
    prepare(tmp_path, "busi")
    np.testing.assert_array_equal(mask_at(tmp_path / "out/busi/masks/1_benign.png"), blob() | blob(20))
    assert not mask_at(tmp_path / "out/busi/masks/1_normal.png").any()
    image = tmp_path / "out/busi/images/1_benign.png"
    assert image.read_bytes() == (source / "Dataset_BUSI_with_GT/benign/benign (1).png").read_bytes()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_busi_masks_of_any_colour_mode(mode: str, tmp_path: Path) -> None:
    source, _ = download(tmp_path, "busi")
    Image.fromarray(blob(7)).convert(mode).save(source / "Dataset_BUSI_with_GT/malignant/malignant (1)_mask.png")
    assert prepare(tmp_path, "busi").status == 0
    with Image.open(tmp_path / "out/busi/masks/1_malignant.png") as mask:
        assert mask.mode == "L"
        np.testing.assert_array_equal(np.asarray(mask), blob(7))


def test_busi_masks_of_different_sizes(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "busi")
    save(blob(size=(21, 30)), source / "Dataset_BUSI_with_GT/benign/benign (1)_mask_1.png")
    ((name, reason),) = prepare(tmp_path, "busi").faulty
    assert name == "masks/1_benign.png"
    assert "_mask_1.png: expected the size (20, 30) of Dataset_BUSI_with_GT/benign/benign (1)_mask.png" in reason


def test_busi_from_real_masks(shared: Path, tmp_path: Path) -> None:
    """Real images in the archive's names, with masks taken apart into two files where they have two tumours."""
    busi = shared / "data" / "busi"
    entries = json.loads((busi / "anns/val.json").read_text())
    folder = tmp_path / "download/Dataset_BUSI_with_GT"
    for entry in entries:
        number, kind = entry["img_name"].removesuffix(".png").split("_")
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / f"{kind} ({number}).png").write_bytes((busi / "images" / entry["img_name"]).read_bytes())
        mask = mask_at(busi / "masks" / entry["mask_name"])
        half = mask.shape[1] // 2
        save(np.where(np.arange(mask.shape[1]) < half, mask, 0), folder / kind / f"{kind} ({number})_mask.png")
        save(np.where(np.arange(mask.shape[1]) < half, 0, mask), folder / kind / f"{kind} ({number})_mask_1.png")
    report = prepare_dataset("busi", tmp_path / "download", shared / "data/annotations", tmp_path / "out")
    missing = [len(split.missing) for split in report.splits]
    assert (report.status, missing, report.faulty) == (1, [1248, 0, 156], ())  # only val was in the download
    for entry in entries:
        for part, key in (("images", "img_name"), ("masks", "mask_name")):
            made = mask_at(tmp_path / "out/busi" / part / entry[key])
            np.testing.assert_array_equal(made, mask_at(busi / part / entry[key]))


def test_kvasir_keeps_jpeg_files_as_they_are(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "kvasir_polyp")
    prepare(tmp_path, "kvasir_polyp")
    for part in ("images", "masks"):
        name = f"{KVASIR[1]}.jpg"
        made = tmp_path / "out/kvasir_polyp" / part / name
        assert made.read_bytes() == (source / "Kvasir-SEG" / part / name).read_bytes()


def test_bkai_unites_red_and_green(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "bkai_polyp")
    prepare(tmp_path, "bkai_polyp")
    for name in BKAI:
        truth = mask_at(source / "train_gt/train_gt" / f"{name}.jpeg").max(axis=-1) > 127
        with Image.open(tmp_path / "out/bkai_polyp/masks" / f"{name}.jpeg") as mask:
            assert (mask.format, mask.mode) == ("JPEG", "L")
            np.testing.assert_array_equal(foreground(np.asarray(mask)), truth)
        assert truth[10, 10]
        assert truth[30, 40]


@pytest.mark.parametrize("seed", range(5))
def test_bkai_jpeg_keeps_every_pixel(seed: int) -> None:
    """The border at half of the range gives back even masks of single pixels."""
    mask = np.random.default_rng(seed).random((64, 80)) < 0.5
    with Image.open(BytesIO(jpeg_mask(mask))) as image:
        np.testing.assert_array_equal(foreground(np.asarray(image)), mask)


def test_clinicdb_tiff_to_png(tmp_path: Path) -> None:
    download(tmp_path, "clinicdb_polyp")
    prepare(tmp_path, "clinicdb_polyp")
    for number in (1, 2, 3):  # the colour tag of 2 is odd
        with Image.open(tmp_path / f"out/clinicdb_polyp/images/{number}.png") as image:
            assert image.format == "PNG"
            np.testing.assert_array_equal(np.asarray(image), photo(number))
        np.testing.assert_array_equal(mask_at(tmp_path / f"out/clinicdb_polyp/masks/{number}.png"), blob(4 + number))


def test_camus_structures_and_collision(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "camus")
    prepare(tmp_path, "camus")
    root = tmp_path / "out/camus"
    for folder in ("", "testing/"):  # patient0001 of val is someone else than that of test
        for label in (1, 2, 3):
            mask = mask_at(root / f"masks/{folder}mask_{label}/patient0001_2CH_ED_gt.png")
            np.testing.assert_array_equal(mask, (labels() == label) * np.uint8(255))
    val, test = (mask_at(root / f"images/{folder}patient0001_2CH_ED.png") for folder in ("", "testing/"))
    assert (val != test).any()
    expected = photo(sum(str(source / "training/patient0001").encode()))[..., 0]
    np.testing.assert_array_equal(val, expected)
    names = [entry["img_name"] for entry in json.loads((root / "anns/test.json").read_text())]
    assert names == ["testing/patient0001_2CH_ED.png"] * 3
    official = (tmp_path / "annotations/camus/val.json").read_bytes()
    assert (root / "anns/val.json").read_bytes() == official


def test_camus_metadata(tmp_path: Path) -> None:
    download(tmp_path, "camus")
    prepare(tmp_path, "camus")
    table = read_metadata(tmp_path / "out/camus/metadata.csv")
    assert list(table) == [
        "patient0051_2CH_ED.png",
        "patient0001_2CH_ED.png",
        "testing/patient0001_2CH_ED.png",
    ]
    row = table["testing/patient0001_2CH_ED.png"]
    assert {key: value for key, value in row.items() if value} == {
        "patient": "testing/patient0001",
        "view": "two-chamber",
        "cycle": "diastole",
        "gender": "female",
        "age": "fifty-six",
        "quality": "good",
    }


def camus_lists(folder: Path, person: str) -> None:
    prompts = {"p0": "", "p6": [f"Myocardium at end of the diastole cycle of a {person} with good image quality."]}
    write_lists(folder / "annotations", "camus", {"test": camus_record("patient0007")}, prompts)


@pytest.mark.parametrize(
    ("person", "info", "status"),
    [
        ("fifty-six-year-old female", ("F", 56, "Good"), 0),
        ("fifty-six-year-old female", ("F", 56, "Poor"), 0),
        ("fifty-six-year-old male", ("F", 56, "Good"), None),
        ("fifty-six-year-old female", ("F", 5, "Good"), None),
        ("fifty-six-year-old female", (), None),
    ],
)
def test_camus_release_without_testing(
    person: str, info: tuple[object, ...], status: int | None, tmp_path: Path
) -> None:
    """It numbers the 50 test patients after the 450 others; only their data can confirm it."""
    camus_patient(tmp_path / "download/database_nifti", "patient0007")
    camus_patient(tmp_path / "download/database_nifti", "patient0457", info=info)
    camus_lists(tmp_path, person)
    if status is None:
        with pytest.raises(ValueError, match=r"1 patients .* testing/patient0007"):
            prepare(tmp_path, "camus")
        return
    assert prepare(tmp_path, "camus").status == status
    made = mask_at(tmp_path / "out/camus/images/testing/patient0007_2CH_ED.png")
    seed = sum(str(tmp_path / "download/database_nifti/patient0457").encode())
    np.testing.assert_array_equal(made, photo(seed)[..., 0])


def test_camus_leaves_other_people_out(tmp_path: Path) -> None:
    camus_patient(tmp_path / "download/training", "patient0001", info=("M", 40, "Good"))
    camus_patient(tmp_path / "download/testing", "patient0007")
    camus_lists(tmp_path, "fifty-six-year-old female")
    write_lists(
        tmp_path / "annotations", "camus", {"val": camus_record("patient0001")}, {"p6": ["of a sixty-year-old male"]}
    )
    report = prepare(tmp_path, "camus")
    assert report.status == 1
    assert [len(split.missing) for split in report.splits] == [0, 4, 0]
    assert "the list does not say 'forty-year-old male'" in report.notes[0]


def test_camus_faulty_label_map(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "camus")
    truth = source / "testing/patient0001/patient0001_2CH_ED_gt.nii.gz"
    truth.write_bytes((source / "testing/patient0001/patient0001_2CH_ED.nii.gz").read_bytes())
    (source / "training/patient0051/patient0051_2CH_ED.nii.gz").write_bytes(b"broken")
    reasons = dict(prepare(tmp_path, "camus").faulty)
    assert "expected a readable image" in reasons.pop("images/patient0051_2CH_ED.png")
    assert len(reasons) == 3
    assert all("expected the labels 0 to 3, found [" in reason for reason in reasons.values())


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (12, "twelve"), (18, "eighteen"), (20, "twenty"), (56, "fifty-six"), (101, "one hundred and one")],
)
def test_ages_in_words(number: int, words: str) -> None:
    assert in_words(number) == words


def test_ages_of_the_official_prompts(shared: Path) -> None:
    known = {in_words(number) for number in range(120)}
    for split in ("val", "test"):
        for entry in json.loads((shared / f"data/annotations/camus/{split}.json").read_text()):
            words = entry["prompts"]["p6"][0].partition("cycle of a ")[2].partition("-year-old")[0]
            assert words in known


def test_chexlocalize_runs_and_copies(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "chexlocalize")
    prepare(tmp_path, "chexlocalize")
    root = tmp_path / "out/chexlocalize"
    mask = mask_at(root / "masks/patient64741_study1_view1_frontal_airspace_opacity.png")
    expected = np.zeros((7, 9), np.uint8)
    expected[2:5, 3:7] = 255
    np.testing.assert_array_equal(mask, expected)
    image = root / "images/patient64741_study1_view1_frontal.jpg"
    assert image.read_bytes() == (source / "CheXpert/test/patient64741/study1/view1_frontal.jpg").read_bytes()


def test_chexlocalize_other_names_and_sizes(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "chexlocalize")
    runs = source / "CheXlocalize/gt_segmentations_val.json"
    runs.write_text(runs.read_text().replace("Airspace Opacity", "Lung Opacity"))
    small = source / "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg"
    save(photo(5, (3, 4)), small)
    assert prepare(tmp_path, "chexlocalize").status == 0
    made = mask_at(tmp_path / "out/chexlocalize/images/patient64541_study1_view1_frontal.jpg")
    assert made.shape == (7, 9, 3)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", r"gt_segmentations_val\.json: expected JSON, found"),
        ("[]", "expected a table of images, each a table of findings"),
        ('{"a": 1}', "expected a table of images, each a table of findings"),
    ],
)
def test_chexlocalize_broken_json(content: str, match: str, tmp_path: Path) -> None:
    source, _ = download(tmp_path, "chexlocalize")
    (source / "CheXlocalize/gt_segmentations_val.json").write_text(content)
    with pytest.raises(ValueError, match=match):
        prepare(tmp_path, "chexlocalize")


def test_chexlocalize_broken_runs(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "chexlocalize")
    name = "patient64541_study1_view1_frontal"
    table = {name: {"Airspace Opacity": {**SQUARE, "size": [7, 10]}}}
    (source / "CheXlocalize/gt_segmentations_val.json").write_text(json.dumps(table))
    ((file, reason),) = prepare(tmp_path, "chexlocalize").faulty
    assert file == f"masks/{name}_airspace_opacity.png"
    assert "expected run lengths for 7 x 10 pixels, found 63 pixels" in reason
