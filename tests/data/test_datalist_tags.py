# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a list says that its prompts give away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.data import DatasetProblems, load_datalist
from tests.data.test_datalist import plain, single

LEFT, RIGHT = {"p1": "class", "p2": "mask-derived"}, {"p1": "metadata", "p2": "metadata"}
TWO_STYLES = {"p1": "lung", "p2": "small lung"}


def tagged(*tags: Any) -> dict[str, Any]:
    parts = [{"mask": f"masks/a_{i}.png", "prompt": TWO_STYLES, "tags": t} for i, t in enumerate(tags)]
    return {"image": "images/a.png", "structures": parts}


UNTAGGED = {"p1": "class", "p2": "class"}  # nobody said that these prompts give anything away


def test_tags_of_the_list_come_along(tmp_path: Path) -> None:
    root = plain(
        tmp_path, [tagged({"p2": "mask-derived"}, "metadata"), {**tagged(None, None), "image": "images/b.png"}]
    )
    separate = load_datalist(root, "train", check=False)
    assert [record.get("tags") for record in separate] == [LEFT, RIGHT, UNTAGGED, UNTAGGED]
    together = load_datalist(root, "train", multi_prompt=True, check=False)
    assert [record.get("tags") for record in together] == [[LEFT, RIGHT], [UNTAGGED, UNTAGGED]]
    mixed = load_datalist(plain(tmp_path, [tagged("metadata", None)]), "train", multi_prompt=True, check=False)
    assert mixed[0]["tags"] == [RIGHT, UNTAGGED]


def test_tags_in_a_csv(tmp_path: Path) -> None:
    rows = "image,mask,prompt,tags\na.png,b.png,polyp,metadata\na.png,c.png,polyp,\n"
    records = load_datalist(plain(tmp_path, rows, "train.csv"), "train", check=False)
    assert [record.get("tags") for record in records] == [{"p1": "metadata"}, {"p1": "class"}]


@pytest.mark.parametrize("tags", ["secret", {"p1": "secret"}, {"p9": "class"}, ["class"]])
def test_tags_that_are_none(tags: Any, tmp_path: Path) -> None:
    match = r"record 1 \(images/a\.png\): expected tags of the styles p1, each class, metadata, mask-derived, found "
    with pytest.raises(DatasetProblems, match=match):
        load_datalist(plain(tmp_path, [single(tags=tags)]), "train", check=False)
