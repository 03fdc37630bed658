# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What tables of labels may say."""

from __future__ import annotations

from typing import Any

import pytest

from monai_vlsm.data.lists.classes import LabelTableError, read_classes

SAME: list[dict[str, Any]] = [
    {"0": "background", "1": "kidney_left", "2": "Liver"},
    {"background": 0, "kidney_left": 1, "Liver": 2},
    {"kidney_left": [1], "Liver": [2]},
    {1: "kidney_left", 2: {"name": "Liver"}},
    {"1": {"name": "kidney_left", "p1": "left kidney"}, "2": {"name": "Liver", "p1": "liver"}},
]


@pytest.mark.parametrize("table", SAME)
def test_both_ways_round(table: dict[str, Any]) -> None:
    classes, notes = read_classes(table, "dataset.json")
    assert [(one.name, one.prompt, one.labels, one.tags) for one in classes] == [
        ("kidney_left", {"p1": "left kidney"}, (1,), {"p1": "class"}),
        ("Liver", {"p1": "liver"}, (2,), {"p1": "class"}),
    ]
    assert not notes


def test_colours_regions_and_styles() -> None:
    table = {
        "#FF0000": "artery",
        "1, 2": ["whole tumour", "tumour with oedema"],
        "3": {"p1": "cyst", "p7": ["cyst which is dark"], "tags": {"p7": "metadata"}},
    }
    red, region, cyst = read_classes(table, "labels.json")[0]
    assert (red.colour, red.labels, red.key) == ("ff0000", (), "#ff0000")
    assert (region.labels, region.key, region.name) == ((1, 2), "1,2", "whole tumour")
    assert region.prompt == {"p1": ["whole tumour", "tumour with oedema"]}
    assert cyst.tags == {"p1": "class", "p7": "metadata"} and cyst.name == "cyst"
    assert read_classes({"artery": "#ff0000"}, "x")[0][0].key == "#ff0000"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"1": "1"}, r'expected a name for the label 1, found \'1\'.*"labels": \{"1": "NAME"\}'),
        ({"1": "label 7"}, "expected a name for the label 1"),
        ({"1": ""}, "expected a name for the label 1"),
        ({"7": 7}, "7"),
        ({"liver": "one"}, "expected labels as numbers to names or names to numbers, found 'liver': 'one'"),
        ({"liver": -1}, "found 'liver': -1"),
        ({"liver": True}, "found 'liver': True"),
        ({"0": "background"}, "expected labels besides the background, found none"),
        ({}, "found an empty one"),
        (["liver"], "expected a table of labels.*found list"),
        ({"1": "liver", "2": "liver"}, "expected each name once, found liver several times"),
        ({"1": "kidney_left", "2": "left kidney"}, "expected each prompt once, found left kidney several times"),
        ({"liver": 1, "tumour": 1}, "expected each label once, found 1 several times"),
        ({"1": {"p12": "liver"}}, "label 1: expected a name or prompts in the styles p0 to p9, found p12"),
        ({"1": {"p1": [" "]}}, "expected p1 to be a text or a list of texts"),
        ({"1": {"p1": "liver", "tags": "secret"}}, "label 1: expected tags class, metadata, mask-derived"),
        ({"1": 5}, "expected p1 to be a text or a list of texts, found 5"),
    ],
)
def test_tables_that_say_nothing(table: Any, message: str) -> None:
    with pytest.raises(LabelTableError, match=message):
        read_classes(table, "dataset.json")
