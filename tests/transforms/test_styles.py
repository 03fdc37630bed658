# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records in several styles."""

from __future__ import annotations

from typing import Any

import pytest

from monai_vlsm.transforms import SelectPromptd, in_styles

RECORDS: list[dict[str, Any]] = [
    {"name": "a", "image": "a.png", "dataset": "busi", "prompt": {"p1": "Tumor", "p3": "Two benign tumors"}},
    {"name": "b", "image": "b.png", "dataset": "busi", "prompt": {"p1": "No tumor", "p3": "No tumor"}},
]


def test_each_record_in_each_style() -> None:
    found = in_styles(RECORDS, ["p3", "p1"])
    assert [(r["name"], r["prompt"], r["prompt_style"], r["prompt_tag"]) for r in found] == [
        ("a", "Two benign tumors", "p3", "mask-derived"),
        ("b", "No tumor", "p3", "mask-derived"),
        ("a", "Tumor", "p1", "class"),
        ("b", "No tumor", "p1", "mask-derived"),
    ]
    assert isinstance(RECORDS[0]["prompt"], dict)


def test_the_choice_survives_the_transform_of_the_validation() -> None:
    transform = SelectPromptd("prompt", style="p1")
    assert [transform(record) for record in in_styles(RECORDS, "p3")] == in_styles(RECORDS, ["p3"])


@pytest.mark.parametrize("styles", [[], ["p1", "p1"]])
def test_styles_must_differ(styles: Any) -> None:
    with pytest.raises(ValueError, match="styles must be different"):
        in_styles(RECORDS, styles)


def test_an_unknown_style_names_the_record() -> None:
    with pytest.raises(ValueError, match="record 'a': no prompt of style 'p9'; it has p1, p3"):
        in_styles(RECORDS, ["p1", "p9"])
