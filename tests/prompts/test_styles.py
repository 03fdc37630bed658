# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Sentences from words."""

from __future__ import annotations

from typing import Any

import pytest

from monai_vlsm.prompts import FIELDS, TEMPLATES, Template, compose, table_tags
from monai_vlsm.prompts.templates import fields_of

PHOTO = {
    "class": "polyp",
    "number": "two",
    "size": "small, medium",
    "colour": "pink",
    "shape": "round",
    "location": "left, center",
    "description": ["a bump", "a lump"],
}
BREAST = {"class": "mass", "number": "one", "size": "small", "location": "top", "shape": "oval", "outline": "regular"}
HEART = {"class": "left atrium", "view": "two-chamber", "cycle": "systole", "gender": "male", "age": "73"}
CHEST = {"class": "Edema", "view": "frontal", "shape": "oval", "location": "left", "labels": "Edema, Fracture"}


def test_photo() -> None:
    full = "two small, medium pink round polyp"
    assert compose(TEMPLATES["photo"], PHOTO) == {
        "p0": "",
        "p1": "polyp",
        "p2": "round polyp",
        "p3": "pink round polyp",
        "p4": "small, medium pink round polyp",
        "p5": full,
        "p6": f"{full}, located in left, center of the image",
        "p7": ["polyp which is a bump", "polyp which is a lump"],
        "p8": [f"{full} which is a bump", f"{full} which is a lump"],
        "p9": [f"{full} which is {one} located in left, center of the image" for one in ("a bump", "a lump")],
    }


@pytest.mark.parametrize(
    ("family", "words", "style", "expected"),
    [
        ("breast_ultrasound", BREAST, "p1", "Mass in the breast ultrasound image."),
        ("breast_ultrasound", BREAST, "p2", "Regular-shaped mass in the breast ultrasound image."),
        (
            "breast_ultrasound",
            {**BREAST, "kind": "benign"},
            "p3",
            [
                "One benign mass in the breast ultrasound image.",
                "One regular-shaped mass in the breast ultrasound image.",
            ],
        ),
        (
            "breast_ultrasound",
            {**BREAST, "number": "two"},
            "p3",
            "Two regular-shaped masss in the breast ultrasound image.",
        ),
        (
            "breast_ultrasound",
            {**BREAST, "number": "two", "classes": "masses"},
            "p6",
            "Two small oval-shaped regular masses at the top in the breast ultrasound image.",
        ),
        ("cardiac_ultrasound", HEART, "p1", ["Left atrium of the heart.", "Left atrium in the cardiac ultrasound."]),
        (
            "cardiac_ultrasound",
            HEART,
            "p5",
            [
                "Left atrium in two-chamber view of the heart at end of the systole cycle of a "
                "seventy-three-year-old male.",
                "Left atrium in two-chamber view in the cardiac ultrasound at end of the systole cycle of a "
                "seventy-three-year-old male.",
            ],
        ),
        ("chest_xray", CHEST, "p2", "Edema in the frontal view of a Chest Xray."),
        (
            "chest_xray",
            CHEST,
            "p5",
            "Edema of shape oval, and located in left of the frontal view of a Chest Xray. "
            "Edema, Fracture are present.",
        ),
        ("chest_xray", CHEST, "p6", "Edema in a Chest Xray. Edema, Fracture are present. "),
    ],
)
def test_sentences(family: str, words: dict[str, Any], style: str, expected: Any) -> None:
    assert compose(TEMPLATES[family], words)[style] == expected


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        ("description", ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]),
        ("colour", ["p0", "p1", "p2", "p7"]),
        ("shape", ["p0", "p1", "p7"]),
        ("location", ["p0", "p1", "p2", "p3", "p4", "p5", "p7", "p8"]),
    ],
)
@pytest.mark.parametrize("nothing", ["", [], None])
def test_sentences_with_an_unknown_word_are_left_out(missing: str, left: list[str], nothing: Any) -> None:
    words = {key: value for key, value in PHOTO.items() if key != missing}
    if nothing is not None:
        words[missing] = nothing
    assert list(compose(TEMPLATES["photo"], words)) == left


def test_empty_mask() -> None:
    words = {"class": "polyp", "number": "zero", "size": "", "location": "", "description": ["a bump"]}
    ours, authors = compose(TEMPLATES["photo"], words), compose(TEMPLATES["photo"], words, parity=True)
    assert {style for style, text in ours.items() if text == "no polyp"} == {"p2", "p3", "p4", "p5", "p6", "p8", "p9"}
    assert (ours["p1"], ours["p7"]) == ("polyp", "polyp which is a bump")
    assert {style for style, text in authors.items() if text != "no polyp"} == {"p0"}


def test_empty_mask_keeps_metadata() -> None:
    table = compose(TEMPLATES["cardiac_ultrasound"], {**HEART, "quality": "good", "number": "zero"})
    assert table["p7"] == "No left atrium in the cardiac ultrasound."
    assert table["p2"][0] == "Left atrium in two-chamber view of the heart."


@pytest.mark.parametrize("parity", [False, True])
def test_tags_of_a_table(parity: bool) -> None:
    full = compose(TEMPLATES["photo"], PHOTO, parity)
    assert {style for style, tag in table_tags(TEMPLATES["photo"], full).items() if tag == "class"} == {
        "p0",
        "p1",
        "p7",
    }
    empty = compose(TEMPLATES["photo"], {"class": "polyp", "number": "zero"}, parity)
    tags = table_tags(TEMPLATES["photo"], empty)
    assert tags.keys() == empty.keys()
    assert tags["p1"] == ("mask-derived" if parity else "class")
    assert tags["p2"] == "mask-derived"


def test_all_fields_of_the_templates_are_known() -> None:
    found = {
        name for t in TEMPLATES.values() for texts in t.styles.values() for text in texts for name in fields_of(text)
    }
    assert found == set(FIELDS)


def test_own_template() -> None:
    template = Template({"p1": ("{class} ({view})",)}, absent="no {class}", capital=False)
    assert compose(template, {"class": "clip", "view": ["a", "b"]}) == {"p0": "", "p1": ["clip (a)", "clip (b)"]}


def test_no_class() -> None:
    with pytest.raises(ValueError, match="must have the class of the structure, got size"):
        compose(TEMPLATES["photo"], {"size": "small"})


@pytest.mark.parametrize("sentence", ["{}", "{class!r}", "{class:>9}", "{class", "class}"])
def test_odd_braces(sentence: str) -> None:
    with pytest.raises(ValueError, match=r"braces|'}'|'{'|expected"):
        fields_of(sentence)
