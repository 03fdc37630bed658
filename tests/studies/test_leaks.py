# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Leaks of a dataset: looked at once, and again when its lists change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from monai_vlsm.studies import StudyFolder, leaks


def test_once_for_each_version_of_the_lists(
    place: Path, folder: Callable[..., StudyFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    monkeypatch.setattr(leaks, "audit", lambda root: looked.append(root) or {"copy in two splits": len(looked)})
    made = folder()
    assert leaks.leaks_of(made, "polyps") == leaks.leaks_of(made, "polyps") == {"copy in two splits": 1}
    (place / "data" / "polyps" / "test.json").write_text("[]")
    assert leaks.leaks_of(made, "polyps") == {"copy in two splits": 2}
    assert looked == [place / "data" / "polyps"] * 2


@pytest.mark.slow
def test_a_real_dataset_with_an_image_in_two_splits(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("L", (40, 40), 200 if name == "a" else 90).save(tmp_path / f"{name}.png")
        Image.new("L", (40, 40), 255).save(tmp_path / f"{name}_mask.png")
    record = {"image": "a.png", "mask": "a_mask.png", "prompt": "polyp"}
    for split, image in (("train", "a"), ("test", "a"), ("val", "b")):
        text = json.dumps([{**record, "image": f"{image}.png", "mask": f"{image}_mask.png"}])
        (tmp_path / f"{split}.json").write_text(text)
    assert leaks.audit(tmp_path) == {"image in two splits": 1}
