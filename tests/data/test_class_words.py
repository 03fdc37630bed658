# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""By which words prompts name the classes of a dataset."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.data import DataLists
from tests.data.files import save, square
from tests.data.lists.folders import decathlon

ULCER, POLYP = {"1": "ulcer"}, {"1": "ulcer", "2": {"p1": ["small polyp", "polyp"], "name": "polyp"}}
CAMUS = ["left ventricular cavity", "myocardium", "left atrium cavity"]


def write(folder: Path, *entries: Any, table: Any = None) -> Path:
    for name in ("a", "b"):
        save(square(value=200), folder / f"{name}.png")
        save(square(value=1), folder / f"{name}_mask.png")
    (folder / "train.json").write_text(json.dumps(entries))
    if table:
        (folder / "labels.json").write_text(json.dumps(table))
    return folder


def image(name: str, *structures: tuple[str, Any]) -> dict[str, Any]:
    found = [{"mask": f"{name}_mask.png", "name": structure, "prompt": text} for structure, text in structures]
    return {"image": f"{name}.png", "structures": found}


@pytest.mark.parametrize(
    ("entries", "table", "words"),
    [
        ([image("a", ("left", "left lung"), ("right", "right lung"))], None, ["left lung", "right lung"]),
        ([image("a", ("left", "left lung")), image("b", ("heart", "heart"))], None, ["left lung", "heart"]),
        ([image("a", ("lung", "lung"))], None, []),
        ([image("a", ("left", "a left lung")), image("b", ("left", "left lung"), ("right", "lung"))], None, []),
        ([{"image": "a.png", "mask": "a_mask.png"}], POLYP, ["ulcer", "small polyp"]),
        ([{"image": "a.png", "mask": "a_mask.png"}], ULCER, []),
        ([{"image": "a.png", "mask": "a_mask.png", "prompt": "polyp"}], None, []),
    ],
)
def test_of_a_list(tmp_path: Path, entries: list[Any], table: Any, words: list[str]) -> None:
    assert DataLists(write(tmp_path, *entries, table=table), make_split=False).class_words("train") == words


def test_of_volumes(tmp_path: Path) -> None:
    assert DataLists(decathlon(tmp_path)).class_words("train") == ["liver", "left kidney"]


@pytest.mark.parametrize(("dataset", "words"), [("camus", CAMUS), ("busi", []), ("other", [])])
def test_of_the_catalogue(tmp_path: Path, dataset: str, words: list[str], caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / dataset
    for name in ("m1", "m2"):
        save(square(), root / "masks" / f"{name}.png")
    save(square(), root / "images" / "a.png")
    (root / "anns").mkdir()
    table = {"p0": "", "p1": "Myocardium of the heart."}
    rows = [{"img_name": "a.png", "mask_name": f"{name}.png", "prompts": table} for name in ("m1", "m2")]
    (root / "anns/train.json").write_text(json.dumps(rows))
    with caplog.at_level(logging.WARNING):
        assert DataLists(root).class_words("train") == words
    assert ("one mask for all prompts of an image, unless --targets" in caplog.text) == (dataset == "other")
