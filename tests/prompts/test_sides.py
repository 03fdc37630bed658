# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a prompt when its image is flipped."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from monai_vlsm.prompts import FLIP_WORDS, FLIPS, TEMPLATES, FlipWords, FlipWordsError, compose, mask_words
from monai_vlsm.prompts.rules import LOCATIONS
from tests.prompts.shapes import boxes

SAME = "the same"
CASES: list[tuple[str, str | None, str | None]] = [  # prompt, flipped horizontally, vertically; None: not to be flipped
    ("polyp", SAME, SAME),
    ("", SAME, SAME),
    (
        "one small polyp, located in top left of the image",
        "one small polyp, located in top right of the image",
        "one small polyp, located in bottom left of the image",
    ),
    (
        "polyp located in left, center, bottom right of the image",
        "polyp located in right, center, bottom left of the image",
        "polyp located in left, center, top right of the image",
    ),
    (
        "Two tumors at the top, left in the breast ultrasound image.",
        "Two tumors at the top, right in the breast ultrasound image.",
        "Two tumors at the bottom, left in the breast ultrasound image.",
    ),
    (
        "Edema located in left of the PA view of a Chest Xray. Mass, Edema are present.",
        "Edema located in right of the PA view of a Chest Xray. Mass, Edema are present.",
        SAME,
    ),
    ("polyp on the left", "polyp on the right", SAME),
    ("Polyp Top Left", "Polyp Top Right", "Polyp Bottom Left"),
    ("POLYP, LEFT", None, SAME),
    ("POLYP, ON THE LEFT", "POLYP, ON THE RIGHT", SAME),
    ("polyp, top left", "polyp, top right", "polyp, bottom left"),
    ("polyp, left of the image", "polyp, right of the image", SAME),
    ("polyp (at the left)", "polyp (at the right)", SAME),
    ("polyp located in: left", "polyp located in: right", SAME),
    ("(left)", "(right)", SAME),
    ("Left side.", "Right side.", SAME),
    ("left, kidney", None, SAME),
    ("Left: kidney", None, SAME),
    ("left side, kidney", None, SAME),
    ("Kidney, right", None, SAME),
    ("kidney (right)", None, SAME),
    ("kidney: left", None, SAME),
    ("kidney; left", None, SAME),
    ("lung - right", None, SAME),
    ("Kidney, left, with a cyst", None, SAME),
    ("kidney, top", SAME, None),
    ("RLL opacity", None, None),
    ("mass in the LUL", None, None),
    ("RUQ", None, None),
    ("LV cavity", None, SAME),
    ("polyp at 3 oclock", None, None),
    ("wall, anteriorly", None, None),
    ("inferiorly located polyp", SAME, None),
    ("polyp, lEft", None, SAME),
    ("polyp in the upper left", "polyp in the upper right", None),
    (
        "polyp at the top-left of the image",
        "polyp at the top-right of the image",
        "polyp at the bottom-left of the image",
    ),
    ("polyp on the left side of the image", "polyp on the right side of the image", SAME),
    ("polyp at the left edge", "polyp at the right edge", SAME),
    ("polyps on the left and right of the photo", "polyps on the right and left of the photo", SAME),
    ("polyp at the left which is red", "polyp at the right which is red", SAME),
    ("left kidney", None, SAME),
    ("Left ventricular cavity of the heart.", None, SAME),
    ("left and right lung", None, SAME),
    ("left, right kidney", None, SAME),
    (
        "cyst in the top left of the image in the left kidney",
        None,
        "cyst in the bottom left of the image in the left kidney",
    ),
    ("kidney (L)", None, SAME),
    ("right upper lobe of the lung", None, None),
    ("left-sided effusion", None, SAME),
    ("right-angled triangle", None, SAME),
    ("effusion on the patient's left", None, SAME),
    ("her left", None, SAME),
    ("mass left of the heart", None, SAME),
    ("top of the lung", SAME, None),
    ("superior vena cava", SAME, None),
    ("mass below the diaphragm", SAME, None),
    ("anterior wall", None, None),
    ("tumor at 3 o'clock", None, None),
    ("tube running from left to right", "tube running from right to left", SAME),
    ("tube from the top to the bottom of the image", SAME, "tube from the bottom to the top of the image"),
    ("tube from left to right lung", None, SAME),
    ("kidney left", None, SAME),
    ("kidney_left", None, SAME),
    ("left_kidney", None, SAME),
    ("kidneys left and right", None, SAME),
    ("polyp located left", "polyp located right", SAME),
    ("the polyp's left", None, SAME),
    ("all right", None, SAME),
    ("topleft", None, None),
    ("mass underneath the fold", SAME, None),
    ("ren sinister", None, SAME),
    ("north of the fold", SAME, None),
    ("левая почка", None, None),
    ("左肾", None, None),
    ("polype à droite près du côlon", SAME, SAME),  # a language that is not known, and has our letters
    ("polyp of 2 cm² in the left of the image", "polyp of 2 cm² in the right of the image", SAME),
    ("lesion, ½ of the image, on the left", "lesion, ½ of the image, on the right", SAME),
    ("β-cell tumor on the left", "β-cell tumor on the right", SAME),
    ("polyp along left border of the image", "polyp along right border of the image", SAME),
    ("polyp within left part of the image", "polyp within right part of the image", SAME),
    ("lesion covering left half of the image", "lesion covering right half of the image", SAME),
    ("lesion covers left half", "lesion covers right half", SAME),
    ("kidney left border of the image", "kidney right border of the image", SAME),
    ("polyp touching left edge", "polyp touching right edge", SAME),
    ("polyp, mostly left", "polyp, mostly right", SAME),
    ("polyp mostly left", "polyp mostly right", SAME),
    ("polyp slightly left", "polyp slightly right", SAME),
    ("polyp further left", "polyp further right", SAME),
    ("polyp/left", None, SAME),
    ("polyp,left", None, SAME),
    ("left/right", "right/left", SAME),
    ("nodule of 5 µm", SAME, SAME),
    ("nodule of 5 \u03bcm", SAME, SAME),
    ("T₂ weighted slice of a polyp", SAME, SAME),
    ("nodule of 1 Å, 20 \u212b, 3 K\u212a, 1ª, 2º", SAME, SAME),
    ("follow-up image of a polyp", SAME, SAME),
    ("up to 3 polyps", SAME, SAME),
    ("polyp with higher contrast", SAME, SAME),
    ("the lowest contrast", SAME, SAME),
    ("nodule under the skin", SAME, SAME),
    ("kidney upper left", None, None),
    ("kidney left upper", None, None),
    ("kidney middle left", None, SAME),
    ("polyp on the left²", None, SAME),
    ("kidney left side", None, SAME),
    ("kidney left in the image", None, SAME),
    ("mass left of the heart in this view", None, SAME),
    ("covering left kidney", None, SAME),
    ("kidney top", SAME, None),
    ("αριστερά", None, None),
    ("\uff4c\uff45\uff46\uff54", None, None),
    ("cleft palate, upright", SAME, SAME),
    ("leftover bright copyright stopper", SAME, SAME),
    ("bottomless toplines of the image", SAME, SAME),
]


@pytest.mark.parametrize(("text", "horizontal", "vertical"), CASES, ids=[case[0] for case in CASES])
def test_a_prompt_in_both_flips(text: str, horizontal: str | None, vertical: str | None) -> None:
    words = FlipWords()
    for flip, expected in zip(FLIPS, (horizontal, vertical), strict=True):
        expected = text if expected == SAME else expected
        assert words.flipped(text, flip) == expected
        if expected is not None:
            assert words.flipped(expected, flip) == text


def test_the_words_are_those_of_our_own_places() -> None:
    words = FlipWords()
    assert FLIP_WORDS == {"horizontal": {"left": "right"}, "vertical": {"top": "bottom"}}
    for row, places in enumerate(LOCATIONS):
        for column, place in enumerate(places):
            assert words.flipped(place, "horizontal") == LOCATIONS[row][2 - column]
            assert words.flipped(place, "vertical") == LOCATIONS[2 - row][column]


@pytest.mark.parametrize("template", ["photo", "breast_ultrasound", "chest_xray"])
@pytest.mark.parametrize("flip", FLIPS)
def test_all_our_sentences_agree_with_the_flipped_mask(template: str, flip: str) -> None:
    """Composed anew from the flipped mask, each prompt says what the exchanged one says."""
    words, found = FlipWords(), random.Random(0)
    known = {"class": "tumor", "kind": "benign", "outline": "regular", "view": "frontal", "labels": "Edema"}
    for _ in range(30):
        row, column = found.choice([3, 33, 63]), found.choice([3, 63, 123])
        mask = boxes((row, column, row + 20, column + 40))
        turned = mask[:, ::-1] if flip == "horizontal" else mask[::-1]
        both = (
            compose(
                TEMPLATES[template], {**known, "shape": "round", "colour": "red", **mask_words(np.ascontiguousarray(m))}
            )
            for m in (mask, turned)
        )
        for texts, expected in zip(*(table.values() for table in both), strict=True):
            pairs = zip(texts, expected, strict=True) if isinstance(texts, list) else [(texts, str(expected))]
            assert all(words.flipped(text, flip) == other for text, other in pairs)


def test_declared_words_and_phrases() -> None:
    table = {
        "horizontal": {"left": "right", "left kidney": "right kidney", "left-sided": "right-sided"},
        "vertical": {"upper": "lower"},
    }
    words = FlipWords(table)
    assert words.flipped("Left kidney, top left", "horizontal") == "Right kidney, top right"
    assert words.flipped("right-sided mass of the left kidney", "horizontal") == "left-sided mass of the right kidney"
    assert words.flipped("left lung", "horizontal") is None
    assert words.flipped("upper left", "vertical") == "lower left"
    assert words.flipped("top", "vertical") is None  # not declared here
    assert words.flipped("Left Kidney", "horizontal") == "Right Kidney"
    assert words.flipped("LEFT-SIDED mass", "horizontal") == "RIGHT-SIDED mass"


def test_declared_words_of_another_script() -> None:
    words = FlipWords({"horizontal": {"слева": "справа", "左": "右", "левая почка": "правая почка"}})
    assert words.flipped("Слева", "horizontal") == "Справа"
    assert words.flipped("полип, слева", "horizontal") is None  # it may be the side of a patient
    assert words.flipped("Левая почка", "horizontal") == "Правая почка"
    assert words.flipped("полип", "horizontal") == "полип"
    assert words.flipped("左肾", "horizontal") is None  # one word: nobody knows where the declared one ends
    assert words.flipped("полип, слева", "vertical") is None  # none is declared for it
    assert words.names_places("слева") and words.names_places("полип")


def test_without_words_no_side_can_be_exchanged() -> None:
    words = FlipWords({})
    assert words.flipped("polyp on the left", "horizontal") is None
    assert words.flipped("polyp on the left", "vertical") == "polyp on the left"
    assert words.flipped("polyp", "horizontal") == "polyp"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("polyp", False),
        ("in the center", True),
        ("LEFT kidney", True),
        ("leftover", False),
        ("upper lobe", True),
        ("почка", True),
        ("follow-up of 5 µm under the skin", False),
        ("polyp of 2 cm²", False),
        ("β-cell", False),
    ],
)
def test_whether_a_prompt_names_a_place(text: str, expected: bool) -> None:
    assert FlipWords().names_places(text) == expected


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"horizontal": {"left": "right", "right": "left"}}, "'right' stands on both sides or twice"),
        ({"horizontal": {"left": "right", "port": "right"}}, "'right' stands on both sides or twice"),
        ({"horizontal": {"left": "Left"}}, "'left' stands on both sides or twice"),
        ({"vertical": {"top": "bottom", "upper": "TOP"}}, "'TOP' stands on both sides or twice"),
        ({"sideways": {"left": "right"}}, "a table with horizontal and vertical"),
        ({"vertical": {"left": "right"}}, "for vertical words that this flip makes wrong, and 'left' is of the other"),
        ({"horizontal": {"lower": "upper"}}, "and 'lower' is of the other one"),
        ({"horizontal": ["left", "right"]}, "a table such as"),
        ({"horizontal": {"left": 3}}, "words for horizontal; got 3"),
        ({"horizontal": {"": "right"}}, "words for horizontal; got ''"),
        ("left", "a table with horizontal and vertical"),
    ],
)
def test_a_vocabulary_that_cannot_be(wrong: Any, said: str) -> None:
    with pytest.raises(FlipWordsError, match="flip_words: expected") as raised:
        FlipWords(wrong)
    assert said in str(raised.value)
