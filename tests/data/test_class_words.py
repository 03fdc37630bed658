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

ULCER, POLYP = {"1": "ulcer"}, {"1": "ulcer", "2": {"p1": ["polyp", "a small Polyp"], "name": "polyp"}}
TISSUE = {"1": {"p1": ["liver", "hepatic tissue"], "name": "liver"}, "2": "spleen"}
BOTH = [("left", "left lung"), ("lung", "lung")]
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
        ([image("a", *BOTH), image("b", *BOTH)], None, ["left lung", "lung"]),
        ([image("a", *BOTH), image("b", BOTH[0])], None, []),  # in one image only, as numbers of findings are
        ([image("a", BOTH[0]), image("b", BOTH[0])], None, []),
        ([image("a", *BOTH), image("b", BOTH[0], ("lung", "left lung"))], None, []),
        ([image("a", *BOTH), image("b", *BOTH), {"image": "a.png", "mask": "a_mask.png", "prompt": "rib"}], None, []),
        ([{"image": f"{name}.png", "mask": "a_mask.png"} for name in "ab"], POLYP, ["ulcer", "polyp"]),
        ([{"image": f"{name}.png", "mask": "a_mask.png"} for name in "ab"], TISSUE, []),
        ([{"image": f"{name}.png", "mask": "a_mask.png"} for name in "ab"], ULCER, []),
        ([{"image": "a.png", "mask": "a_mask.png", "prompt": "polyp"}], None, []),
    ],
)
def test_of_a_list(tmp_path: Path, entries: list[Any], table: Any, words: list[str]) -> None:
    assert DataLists(write(tmp_path, *entries, table=table), make_split=False).class_words("train") == words


def test_what_only_validates_counts_too(tmp_path: Path) -> None:
    folder = write(tmp_path, image("a", *BOTH), image("b", *BOTH))
    (folder / "val.json").write_text(json.dumps([image("a", ("rib", "rib"))]))
    assert DataLists(folder).class_words("train") == []
    (folder / "val.json").write_text(json.dumps([image("a", BOTH[0])]))
    assert DataLists(folder).class_words("train") == ["left lung", "lung"]


def test_of_volumes(tmp_path: Path) -> None:
    assert DataLists(decathlon(tmp_path)).class_words("train") == ["liver", "left kidney"]


HEART = "Myocardium in two-chamber view."
CHEST = "Edema in a chest Xray."


@pytest.mark.parametrize(
    ("dataset", "prompts", "words"),
    [
        ("camus", {"p1": HEART, "p2": [f"Good {HEART}"]}, CAMUS),
        ("camus", {"p1": HEART, "p2": "The heart."}, []),
        ("chexlocalize", {"p1": CHEST, "p5": f"{CHEST} Edema, Pleural Effusion are present."}, []),
        ("busi", {"p1": "Tumor."}, []),
        ("other", {"p1": HEART}, []),
    ],
)
def test_of_the_catalogue(
    tmp_path: Path, dataset: str, prompts: Any, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Words that other findings are named by too are no sign of a class."""
    root = tmp_path / dataset
    for name in ("m1", "m2"):
        save(square(), root / "masks" / f"{name}.png")
    save(square(), root / "images" / "a.png")
    (root / "anns").mkdir()
    rows = [
        {"img_name": "a.png", "mask_name": f"{name}.png", "prompts": {"p0": "", **prompts}} for name in ("m1", "m2")
    ]
    (root / "anns/train.json").write_text(json.dumps(rows))
    with caplog.at_level(logging.WARNING):
        assert DataLists(root).class_words("train") == words
    assert ("one mask for all prompts of an image, unless --targets" in caplog.text) == (not words)
