# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from monai.transforms import Compose

from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.uncertainty import UncertaintyError, UncertaintyScorer
from monai_vlsm.uncertainty.scorer import all_ways

TABLE = {"p0": "", "p1": "polyp", "p6": ["one small polyp", "small polyp, one", "a small polyp"]}


@pytest.mark.parametrize(
    ("prompt", "style", "rewordings", "ways"),
    [
        ("polyp", "p1", [], ["polyp"]),
        ("small polyp, one", "p6", [], ["small polyp, one", "one small polyp", "a small polyp"]),
        ("polyp", "p1", ["{}", "a photo of {}"], ["polyp", "a photo of polyp"]),
        ("polyp", "", ["{} here"], ["polyp", "polyp here"]),
        ("", "p0", ["a photo of {}"], [""]),
        ("polyp", "p9", [], ["polyp"]),
    ],
)
def test_ways_to_name_a_thing(prompt: str, style: str, rewordings: list[str], ways: list[str]) -> None:
    assert all_ways(prompt, style, TABLE, rewordings) == ways


def attach(backbone: Path, method: str, records: list[dict[str, Any]], **other: Any) -> UncertaintyScorer:
    scorer = UncertaintyScorer(method, CLIPSegNet(backbone).eval(), Compose([]), records, **other)
    scorer.attach(SimpleNamespace(add_event_handler=lambda *_: None))  # type: ignore[arg-type]
    return scorer


RECORD = {"name": "a", "dataset": "set", "prompt": "polyp", "prompt_style": "p1"}


@pytest.mark.parametrize(
    ("method", "record", "message"),
    [
        ("prompts", RECORD, "one only: give more, .* --rewordings"),
        ("flips", RECORD | {"prompt": "left upper lobe"}, "no prompt allows one: 'left upper lobe'"),
        ("dropout", RECORD, "draws at random"),
    ],
)
def test_what_is_not_there_is_told_before_the_first_image(
    backbone: Path, method: str, record: dict[str, Any], message: str
) -> None:
    with pytest.raises(UncertaintyError, match=message):
        attach(backbone, method, [record])


def test_texts_of_the_style_are_found_by_the_name_of_the_record(backbone: Path) -> None:
    tables = [
        {"name": "a", "dataset": "set", "prompt": TABLE},
        {"name": "a", "dataset": "other", "prompt": {"p6": "x"}},
    ]
    record = RECORD | {"prompt": "one small polyp", "prompt_style": "p6"}
    scorer = attach(backbone, "prompts", [record], tables=tables)
    assert scorer._ways(record) == [["one small polyp", "small polyp, one", "a small polyp"]]
    several = RECORD | {"prompt": ["one small polyp", "polyp"], "prompt_style": ["p6", "p1"]}
    scorer = attach(backbone, "prompts", [several], tables=[{**several, "prompt": [TABLE, TABLE]}])
    assert scorer._ways(several) == [["one small polyp", "small polyp, one", "a small polyp"], ["polyp"]]


def test_rewordings_need_a_place_for_the_prompt(backbone: Path) -> None:
    with pytest.raises(UncertaintyError, match=r"rewordings need \{\} where the prompt goes, .* got 'a photo'"):
        UncertaintyScorer("prompts", CLIPSegNet(backbone).eval(), Compose([]), rewordings=["{}", "a photo"])
