# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from monai_vlsm.counts import FEWEST, counted, few_images


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "image", "0 images"),
        (1, "image", "1 image"),
        (2, "mask", "2 masks"),
        (1, "batch", "1 batch"),
        (3, "batch", "3 batches"),
        (2, "process", "2 processes"),
    ],
)
def test_counted(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


def test_another_plural() -> None:
    assert [counted(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]


def test_few_images() -> None:
    assert few_images({"val": FEWEST, "test": 300}) == ""
    assert few_images({"val": 1, "test": 9, "other": 10}).startswith(
        "warning: val has 1 image and test has 9 images; scores of fewer than 10 images"
    )
    assert few_images({"val": 1}, "patient") == (
        "warning: val has 1 patient; scores of fewer than 10 patients say nothing about other patients"
    )
