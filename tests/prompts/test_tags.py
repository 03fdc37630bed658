# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What each style of each dataset gives away."""

from __future__ import annotations

from typing import Any

import pytest

from monai_vlsm.prompts import (
    DATASETS,
    TEMPLATES,
    family_of,
    official_tags,
    plain_tags,
    prompt_tag,
    says_absent,
    style_tags,
    worst_tag,
)

CLASS, META, MASK = "class", "metadata", "mask-derived"
PHOTO = {
    "p0": CLASS,
    "p1": CLASS,
    **dict.fromkeys(["p2", "p3", "p4", "p5", "p6"], MASK),
    "p7": CLASS,
    "p8": MASK,
    "p9": MASK,
}
EXPECTED = {
    "photo": PHOTO,
    "breast_ultrasound": {"p0": CLASS, "p1": CLASS, **dict.fromkeys(["p2", "p3", "p4", "p5", "p6"], MASK)},
    "cardiac_ultrasound": {"p0": CLASS, "p1": CLASS, **dict.fromkeys(["p2", "p3", "p4", "p5", "p6"], META), "p7": MASK},
    "chest_xray": {"p0": CLASS, "p1": CLASS, "p2": META, "p3": MASK, "p4": MASK, "p5": MASK, "p6": META},
}


@pytest.mark.parametrize("dataset", DATASETS)
def test_official_prompts(dataset: str) -> None:
    expected = EXPECTED[DATASETS[dataset]]
    assert official_tags(dataset, {style: ["some", "texts"] for style in expected}) == expected
    assert {style: prompt_tag(style, "text", dataset) for style in expected} == expected


def test_tags_follow_from_the_words_of_the_templates() -> None:
    assert {family: style_tags(template.styles) for family, template in TEMPLATES.items()} == EXPECTED


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("kvasir_polyp", "photo"),
        ("Kvasir-SEG", "photo"),
        ("cvc300_polyp", "photo"),
        ("isic2016", "photo"),
        ("my busi copy", "breast_ultrasound"),
        ("CAMUS", "cardiac_ultrasound"),
        ("chexlocalize", "chest_xray"),
        ("business", None),
        ("brain", None),
        ("", None),
    ],
)
def test_names_of_datasets(name: str, family: str | None) -> None:
    assert family_of(name) == family


def test_unknown_dataset_or_style_counts_as_mask_derived() -> None:
    assert official_tags("mine", {"p0": "", "p1": "a", "p2": "b"}) == {"p0": CLASS, "p1": CLASS, "p2": MASK}
    assert official_tags("busi", {"p9": "b"}) == {"p9": MASK}


@pytest.mark.parametrize(
    ("texts", "absent"),
    [
        ("no polyp", True),
        ("No tumor in the breast ultrasound image.", True),
        (" NO polyp", True),
        (["no polyp"], True),
        (["polyp", "no polyp"], True),
        ("polyp", False),
        ("nodule", False),
        ("no", False),
        ("No. 3 vertebra", False),
        ("", False),
        ([], False),
    ],
)
def test_saying_that_there_is_nothing(texts: Any, absent: bool) -> None:
    assert says_absent(texts) is absent
    if texts:
        assert official_tags("busi", {"p1": texts})["p1"] == (MASK if absent else CLASS)
        assert plain_tags({"p1": texts})["p1"] == (MASK if absent else CLASS)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (None, {"p1": CLASS, "p2": CLASS}),
        ("", {"p1": CLASS, "p2": CLASS}),
        ({}, {"p1": CLASS, "p2": CLASS}),
        ("metadata", {"p1": META, "p2": META}),
        ({"p2": "mask-derived"}, {"p1": CLASS, "p2": MASK}),
    ],
)
def test_own_prompts(stated: Any, expected: dict[str, str]) -> None:
    assert plain_tags({"p1": "polyp", "p2": ["left polyp"]}, stated) == expected


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("mask", "unknown tag 'mask', known: class, metadata, mask-derived"),
        ({"p1": "leak"}, "unknown tag 'leak'"),
        ({"p1": ["class"]}, r"unknown tag \['class'\]"),
        ({"p3": "class"}, "tags of p3, but the prompts are p1"),
        (["class"], r"tags must be one of class, metadata, mask-derived, or a table.*got \['class'\]"),
    ],
)
def test_wrong_statement(stated: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain_tags({"p1": "polyp"}, stated)


@pytest.mark.parametrize(
    ("choice", "tag"),
    [
        (("p6", "text", "busi", None), MASK),
        (("p6", "text", "busi", {"p6": "class"}), CLASS),
        (("p6", "text", "busi", {"p1": "class"}), MASK),
        (("p6", "text", "mine", None), CLASS),
        (("p6", "text", "mine", "metadata"), META),
        (("", "text", "busi", None), CLASS),
        (("", "no polyp", "mine", None), MASK),
        (("p1", "no polyp", "mine", {"p1": "class"}), CLASS),
        (("p0", "", "busi", None), CLASS),
    ],
)
def test_chosen_prompt(choice: tuple[str, str, str, Any], tag: str) -> None:
    assert prompt_tag(*choice) == tag


def test_worst() -> None:
    assert worst_tag([]) == CLASS
    assert worst_tag([CLASS, META, CLASS]) == META
    assert worst_tag([META, MASK, CLASS]) == MASK
    with pytest.raises(ValueError, match="unknown tag 'x'"):
        worst_tag([CLASS, "x"])
