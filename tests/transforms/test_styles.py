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


def test_a_drawn_prompt_has_its_own_tag_and_the_style_random() -> None:
    many = [{**RECORDS[0], "name": str(index)} for index in range(40)]
    found = in_styles(many, ["random", "p1"], seed=1)
    assert {r["prompt_style"] for r in found[:40]} == {"random"} and {r["prompt_style"] for r in found[40:]} == {"p1"}
    assert {(r["prompt"], r["prompt_tag"]) for r in found[:40]} == {
        ("Tumor", "class"),
        ("Two benign tumors", "mask-derived"),
    }
    assert in_styles(many, "random", seed=1) == found[:40] != in_styles(many, "random", seed=2)


def test_a_prompt_is_drawn_for_each_of_several_structures() -> None:
    record = {"name": "a", "image": "a.png", "prompt": [{"p1": "x"}, {"p1": "y"}]}
    assert in_styles([record], "random")[0]["prompt_style"] == ["random", "random"]


@pytest.mark.parametrize("styles", [[], ["p1", "p1"]])
def test_styles_must_differ(styles: Any) -> None:
    with pytest.raises(ValueError, match="styles must be different"):
        in_styles(RECORDS, styles)


def test_an_unknown_style_names_the_record() -> None:
    with pytest.raises(ValueError, match="record 'a': no prompt of style 'p9'; it has p1, p3"):
        in_styles(RECORDS, ["p1", "p9"])
