# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The catalogue against the official lists, and how names tell a dataset."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.data.catalogue import (
    DatasetCard,
    UnknownDatasetError,
    dataset_card,
    known_datasets,
    recognise,
    recognise_archive,
)
from monai_vlsm.errors import UserError

NAMES = [
    "bkai_polyp",
    "busi",
    "camus",
    "chexlocalize",
    "clinicdb_polyp",
    "dfu",
    "isic",
    "kvasir_polyp",
]
SUFFIXES = (".jpg", ".jpeg", ".png")


def lists_of(shared: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    folder = shared / "data" / "annotations" / name
    files = [folder / f"{split}.json" for split in ("train", "val", "test")]
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()}


def test_the_eight() -> None:
    assert known_datasets() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_cards_are_filled_and_fixed(name: str) -> None:
    card = dataset_card(name)
    assert card.name == name
    for field in fields(DatasetCard):
        if field.name not in ("patient_pattern", "boxes"):
            assert getattr(card, field.name), field.name
    assert list(card.splits) == ["train", "val", "test"]
    assert all(isinstance(value, str) for value in (*card.targets, *card.defects))
    assert card.images_from.startswith("https://")
    with pytest.raises(FrozenInstanceError):
        card.name = "other"  # type: ignore[misc]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownDatasetError, match=rf"^unknown dataset 'BUSI', known: {', '.join(NAMES)}$") as caught:
        dataset_card("BUSI")
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize("name", NAMES)
def test_official_lists(name: str, shared: Path) -> None:
    """Sizes, styles and names of the cards are those of the lists; CAMUS' train list is not at hand."""
    card, lists = dataset_card(name), lists_of(shared, name)
    assert set(lists) == ({"val", "test"} if name == "camus" else set(card.splits))
    assert {split: len(entries) for split, entries in lists.items()} == {split: card.splits[split] for split in lists}
    images = [entry["img_name"] for entries in lists.values() for entry in entries]
    assert {len(entry["prompts"]) for entries in lists.values() for entry in entries} <= {card.styles, 1, 2}
    assert recognise(images) == card
    others = [dataset_card(other) for other in NAMES if other != name]
    for image in images[::50]:
        assert recognise([image]) == card
        assert not any(recognise([image]) == other for other in others)
    assert any("bbox" in entry for entry in lists["val"]) or not card.boxes


@pytest.mark.parametrize(
    ("name", "train_test", "train_val", "val_test", "repeated"),
    [
        ("bkai_polyp", 1, 2, 0, 1),
        ("busi", 0, 0, 0, 0),
        ("clinicdb_polyp", 0, 0, 0, 0),
        ("dfu", 0, 0, 0, 0),
        ("isic", 3, 0, 0, 1),
        ("kvasir_polyp", 0, 0, 0, 0),
        ("chexlocalize", 0, 0, 0, 0),
    ],
)
def test_overlaps_that_the_cards_state(
    name: str, train_test: int, train_val: int, val_test: int, repeated: int, shared: Path
) -> None:
    lists = lists_of(shared, name)
    images = {split: {entry["img_name"] for entry in entries} for split, entries in lists.items()}
    pairs = (("train", "test"), ("train", "val"), ("val", "test"))
    assert [len(images[a] & images[b]) for a, b in pairs] == [train_test, train_val, val_test]
    masks = Counter(entry["mask_name"] for entry in lists["train"])
    assert sum(count - 1 for count in masks.values()) == repeated
    stated = " ".join(dataset_card(name).defects)
    assert ("in train twice" in stated) == bool(repeated)
    assert ("in train and test" in stated) == bool(train_test)


def test_defects_of_camus_and_kvasir(shared: Path) -> None:
    camus = lists_of(shared, "camus")
    people = {split: {e["img_name"]: e["prompts"]["p5"][0] for e in entries} for split, entries in camus.items()}
    assert people["val"].keys() == people["test"].keys()
    differing = {name[:11] for name, text in people["val"].items() if text != people["test"][name]}
    assert len(differing) == 46  # of 50 pairs of namesakes have another age or sex, and 4 happen to agree
    folder = shared / "data/annotations/kvasir_polyp"
    assert (folder / "test.json").read_bytes() == (folder / "testB.json").read_bytes()


def test_patients(shared: Path) -> None:
    card = dataset_card("camus")
    assert card.patient("patient0001_2CH_ED.png") == "patient0001"
    assert card.patient("testing/patient0001_2CH_ED.png") == "testing/patient0001"
    assert dataset_card("busi").patient("1_benign.png") is None
    chexlocalize = dataset_card("chexlocalize")
    lists = lists_of(shared, "chexlocalize")
    patients = {chexlocalize.patient(entry["img_name"]) for entries in lists.values() for entry in entries}
    assert len(patients) == 573
    assert "573 patients" in chexlocalize.defects[0]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], None),
        (["photo.jpg"], None),
        (["1_benign.png", "photo.jpg"], "busi"),
        (["1_benign.png", "photo.jpg", "other.jpg"], None),
    ],
)
def test_half_of_the_names_must_fit(names: list[str], expected: str | None) -> None:
    found = recognise(names)
    assert (found.name if found else None) == expected


def test_one_file_of_a_download_is_enough() -> None:
    paths = ["readme.txt", "license", "a/benign (12)_mask_1.png"]
    found = recognise_archive(paths)
    assert found is not None
    assert found.name == "busi"
    assert recognise_archive(paths[:2]) is None
