# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which records show the same image, and the same patient: what intervals of scores must know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.data import load_datalist

PROMPTS = {"p1": "heart"}


def official(root: Path, *names: str) -> Path:
    entries = [{"img_name": name, "mask_name": f"{index}.png", "prompts": PROMPTS} for index, name in enumerate(names)]
    (root / "anns").mkdir(parents=True)
    (root / "anns/test.json").write_text(json.dumps(entries))
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    return root


def plain(root: Path, *entries: dict[str, Any]) -> Path:
    root.mkdir(exist_ok=True)
    (root / "test.json").write_text(json.dumps(list(entries)))
    return root


@pytest.mark.parametrize(
    ("dataset", "image", "patient"),
    [
        ("camus", "patient0001_2CH_ED.png", "patient0001"),
        ("camus", "testing/patient0001_2CH_ED.png", "testing/patient0001"),
        ("chexlocalize", "patient64541_study1_view1_frontal.jpg", "patient64541"),
        ("busi", "benign_1.png", ""),
        ("my_own", "patient0001_2CH_ED.png", ""),
    ],
)
def test_names_of_known_datasets_tell_the_patient(dataset: str, image: str, patient: str, tmp_path: Path) -> None:
    (record,) = load_datalist(official(tmp_path / dataset, image), "test", check=False)
    assert record["patient"] == patient


def test_lists_tell_the_patient(tmp_path: Path) -> None:
    root = plain(
        tmp_path,
        {"image": "a.png", "mask": "a_m.png", "prompt": "lung", "patient": 7},
        {"image": "b.png", "mask": "b_m.png", "prompt": "lung"},
    )
    for multi_prompt in (False, True):
        records = load_datalist(root, "test", multi_prompt=multi_prompt, check=False)
        assert [record["patient"] for record in records] == ["7", ""]


def test_structures_of_one_image_share_the_image(tmp_path: Path) -> None:
    parts = [{"mask": f"{side}.png", "prompt": side, "name": side} for side in ("left", "right")]
    root = plain(tmp_path, {"image": "a.png", "structures": parts}, {"image": "x/a.png", "structures": parts})
    records = load_datalist(root, "test", check=False)
    assert [record["image_id"] for record in records] == ["a", "a", "a-2", "a-2"]
    assert len({record["name"] for record in records}) == 4
