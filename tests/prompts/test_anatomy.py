# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from monai_vlsm.prompts import is_number, plain_words

NAMES = {
    "left kidney": [
        *("kidney_left", "LeftKidney", "KidneyLeft", "L kidney", "kidney (L)", "left_kidney", "KIDNEY_LEFT"),
        *("Lt. kidney", "kidney-left", "kidney_l", " Kidney  Left ", "kidney, left"),
    ],
    "vertebra L5": ["vertebrae_L5", "vertebraeL5", "VERTEBRAE_l5"],
    "vertebra T12": ["vertebrae_T12"],
    "right upper lobe of the lung": ["lung_upper_lobe_right"],
    "left atrium of the heart": ["heart_atrium_left"],
    "left rib 1": ["rib_left_1"],
    "left and right lung": ["left and right lung"],
    "non-enhancing tumor": ["non-enhancing tumor"],
    "liver": ["Liver", "LIVER"],
    "liver tumour": ["liver tumour", "LiverTumour", "liver_tumour"],
    "GTV": ["GTV"],
    "portal vein and splenic vein": ["portal_vein_and_splenic_vein"],
    "left iliac vein": ["iliac_vena_left"],
    "superior vena cava": ["superior_vena_cava"],
    "left": ["left"],
}


@pytest.mark.parametrize(("words", "name"), [(words, name) for words, names in NAMES.items() for name in names])
def test_plain_words(words: str, name: str) -> None:
    assert plain_words(name) == words
    assert plain_words(words) == words


@pytest.mark.parametrize("name", ["7", "label_7", "Class 3", "", " ", "#5", "unnamed"])
def test_numbers_say_nothing(name: str) -> None:
    assert is_number(name)


@pytest.mark.parametrize("name", ["liver", "L5", "liver segment 4", "T1", "rib 7"])
def test_names(name: str) -> None:
    assert not is_number(name)
