# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Number, size and location, by our rules and by the authors'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from monai_vlsm.prompts import mask_words
from tests.prompts.shapes import boxes

WHOLE = "size_whole"  # the authors' code stops with an IndexError there
CASES: list[tuple[str, np.ndarray, tuple[str, str, str], tuple[str, str, str]]] = [  # (90, 180): ours, the authors'
    ("one field", boxes((10, 10, 20, 20)), ("one", "small", "top left"), ("one", "small", "top left")),
    ("wide image", boxes((40, 50, 60, 80)), ("one", "small", "center"), ("one", "small", "right")),
    ("two fields", boxes((10, 58, 20, 68)), ("one", "small", "top"), ("one", "small", "top right")),
    ("mostly one field", boxes((10, 10, 32, 20)), ("one", "small", "top left"), ("one", "small", "top left")),
    ("large", boxes((5, 10, 85, 170)), ("one", "large", "center"), ("one", "large", "right")),
    ("medium", boxes((30, 60, 60, 110)), ("one", "medium", "center"), ("one", "medium", "center")),
    ("tiny", boxes((40, 80, 43, 85)), ("one", "tiny", "center"), ("one", "tiny", "center")),
    (
        "corners touch",
        boxes((0, 0, 20, 20), (20, 20, 30, 30)),
        ("two", "small", "top left, top left"),
        ("two", "small", "top left, top left"),
    ),
    (
        "sizes once",
        boxes((0, 0, 4, 4), (0, 100, 20, 120), (60, 0, 90, 60), (85, 175, 88, 179)),
        ("four", "tiny, small, medium", "top left, top, bottom left, bottom right"),
        ("four", "tiny, small, medium", "top left, top, bottom left, bottom right"),
    ),
    ("speck", boxes((0, 0, 1, 1), (40, 150, 60, 170)), ("one", "small", "right"), ("two", "small", "top left, right")),
    ("only a speck", boxes((0, 0, 1, 1)), ("one", "tiny", "top left"), ("one", "", "top left")),
    ("empty", boxes(), ("zero", "", ""), ("zero", "", "")),
]


def words(values: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("number", "size", "location"), values, strict=True))


@pytest.mark.parametrize(("mask", "ours", "authors"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_words(mask: np.ndarray, ours: tuple[str, str, str], authors: tuple[str, str, str]) -> None:
    grey = mask.astype(np.uint8) * 255
    assert mask_words(grey) == words(ours)
    assert mask_words(grey, parity=True) == words(authors)


@pytest.mark.parametrize("mask", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_values_of_a_mask(mask: np.ndarray) -> None:
    assert mask_words(mask) == mask_words(mask.astype(np.uint8)) == mask_words(mask.astype(np.float32) * 255)


def test_turning_the_image_turns_the_words() -> None:
    mask = boxes((40, 50, 60, 80), (5, 5, 20, 20))
    assert mask_words(mask)["location"] == "top left, center"
    assert mask_words(mask.T)["location"] == "top left, center"
    assert mask_words(mask[:, ::-1])["location"] == "top right, center"
    assert mask_words(mask[::-1])["location"] == "center, bottom left"


def test_mask_that_fills_the_image() -> None:
    full = np.ones((30, 40), np.uint8) * 255
    assert mask_words(full) == words(("one", "large", "center"))
    with pytest.raises(ValueError, match=r"fills the image.*parity=False"):
        mask_words(full, parity=True)


def test_authors_count_only_255_for_the_size() -> None:
    mask = boxes((0, 0, 60, 60)).astype(np.uint8) * 254
    assert mask_words(mask)["size"] == "medium"
    assert mask_words(mask, parity=True) == words(("one", "", "top left"))


@pytest.mark.parametrize("shape", [(3,), (3, 4, 1), (0, 5)])
def test_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"mask must be \(H, W\), got \("):
        mask_words(np.zeros(shape))


def test_golden_masks(shared: Path) -> None:
    """Words that the authors' own function gave for 42 masks."""
    masks = load_file(shared / "golden" / "prompt_attributes.safetensors")
    facts: list[dict[str, Any]] = json.loads((shared / "golden" / "prompt_attributes.json").read_text())
    assert len(facts) == len(masks) == 42
    assert [fact["name"] for fact in facts if "raises" in fact] == [WHOLE]
    for fact in facts:
        if fact["name"] == WHOLE:
            with pytest.raises(ValueError, match="fills the image"):
                mask_words(masks[WHOLE], parity=True)
        else:
            expected = {key: fact[key] for key in ("number", "size", "location")}
            assert mask_words(masks[fact["name"]], parity=True) == expected, fact["name"]


def test_golden_masks_where_we_differ(shared: Path) -> None:
    masks = load_file(shared / "golden" / "prompt_attributes.safetensors")
    differing = {n for n in masks if n != WHOLE and mask_words(masks[n]) != mask_words(masks[n], parity=True)}
    assert differing == {"straddle_mid_left", "one_pixel", "speck_plus_blob", "random_9", "random_11"}
