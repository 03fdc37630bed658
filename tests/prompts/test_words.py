# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from monai_vlsm.prompts import number_word
from monai_vlsm.prompts.words import known_words


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (0, "zero"),
        (1, "one"),
        (12, "twelve"),
        (13, "thirteen"),
        (19, "nineteen"),
        (20, "twenty"),
        (73, "seventy-three"),
        (90, "ninety"),
        (99, "ninety-nine"),
        (100, "100"),
    ],
)
def test_numbers(number: int, word: str) -> None:
    assert number_word(number) == word


def test_no_word_twice() -> None:
    assert len({number_word(number) for number in range(100)}) == 100


def test_negative_number() -> None:
    with pytest.raises(ValueError, match="must not be below 0, got -1"):
        number_word(-1)


def test_hint() -> None:
    assert known_words("clas", ["class", "size"]) == " (did you mean 'class'?); known: class, size"
    assert known_words("xyz", ["class", "size"]) == "; known: class, size"
