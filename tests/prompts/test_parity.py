# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The published prompts, taken apart and composed again; on a part, where they are at hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import prompt_parity
import pytest

from monai_vlsm.prompts import DATASETS, TEMPLATES, compose, official_tags, style_tags

PART = 60  # records of each list; all of them: python tools/prompt_parity.py ../shared/data/annotations
MADE_UP = {
    "photo": {"class": "ulcer", "number": "two", "size": "tiny, small", "colour": "red", "shape": "a circle"}
    | {"location": "top left, center", "description": ["a sore", "a wound"]},
    "breast_ultrasound": {"class": "tumor", "number": "three", "size": "small", "location": "top", "shape": "oval"}
    | {"kind": "benign", "outline": "regular"},
    "cardiac_ultrasound": {"class": "myocardium", "view": "two-chamber", "cycle": "systole", "gender": "male"}
    | {"age": "seventy", "quality": "good", "shape": "oval"},
    "chest_xray": {
        "class": "edema",
        "view": "frontal",
        "shape": "oval",
        "location": "left",
        "labels": "Edema, Fracture",
    },
}


@pytest.mark.parametrize("family", TEMPLATES)
def test_words_are_found_again(family: str) -> None:
    words = MADE_UP[family]
    assert prompt_parity.words_of(TEMPLATES[family], compose(TEMPLATES[family], words)) == words


@pytest.mark.parametrize("family", TEMPLATES)
def test_absent_structure(family: str) -> None:
    table = compose(TEMPLATES[family], {"class": "thing", "number": "zero"}, parity=True)
    assert prompt_parity.words_of(TEMPLATES[family], table) == {"class": "thing", "number": "zero"}


def test_other_sentences_are_refused() -> None:
    with pytest.raises(ValueError, match="'polyp, round' is not of the form"):
        prompt_parity.words_of(TEMPLATES["photo"], {"p1": "polyp", "p2": "polyp, round"})


def test_a_changed_sentence_is_counted() -> None:
    template = TEMPLATES["photo"]
    table = compose(template, MADE_UP["photo"])
    assert prompt_parity.compare(template, {"prompts": table}) == Counter(
        records=1, sentences=13, same=13, records_same=1
    )
    table["p9"] = "two things"
    changed = prompt_parity.compare(template, {"prompts": table})
    assert (changed["sentences"], changed["same"], changed["records_same"]) == (12, 11, 0)


@pytest.mark.parametrize(
    "dataset", [name for name in DATASETS if name not in ("colondb_polyp", "cvc300_polyp", "etis_polyp")]
)
def test_published_sentences_come_out_the_same(shared: Path, dataset: str) -> None:
    template = TEMPLATES[DATASETS[dataset]]
    records = list(prompt_parity.records_of(shared / "data" / "annotations" / dataset, PART))
    assert len(records) >= PART
    total = sum((prompt_parity.compare(template, record) for record in records), Counter())
    assert total["same"] == total["sentences"] >= 7 * len(records)
    assert total["records_same"] == total["records"] == len(records)
    assert {style for record in records for style in record["prompts"]} == {"p0", *template.styles}


def test_published_busi_masks_have_the_published_words(shared: Path) -> None:
    records = list(prompt_parity.records_of(shared / "data" / "annotations" / "busi", 20))
    template, folder = TEMPLATES["breast_ultrasound"], shared / "data" / "busi" / "masks"
    total = sum((prompt_parity.compare_masks(template, record, folder) for record in records), Counter())
    assert total["masks"] > 30
    assert all(total[f"{name}, authors' rules"] == total["masks"] for name in ("number", "size", "location"))
    assert total["location, our rules"] < total["masks"]


def test_tags_of_published_prompts(shared: Path) -> None:
    records = list(prompt_parity.records_of(shared / "data" / "annotations" / "busi", 40))
    first = Counter(official_tags("busi", record["prompts"])["p1"] for record in records)
    normal = sum("normal" in record["img_name"] for record in records)
    assert first == {"mask-derived": normal, "class": len(records) - normal}
    assert style_tags(TEMPLATES["breast_ultrasound"].styles)["p1"] == "class"
