# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Parts of the training data: nested, by patient, the same everywhere."""

from __future__ import annotations

import itertools

import pytest

from monai_vlsm.data import part_of

IMAGES = [{"image_id": f"i{index // 2}", "label": f"m{index}", "patient": ""} for index in range(80)]
PATIENTS = [{"image_id": f"i{index}", "patient": f"p{index // 10}"} for index in range(100)]


@pytest.mark.parametrize(
    ("records", "unit", "sizes"),
    [(IMAGES, "image_id", [4, 10, 20, 40]), (PATIENTS, "patient", [1, 3, 5, 10])],
)
def test_nested_and_whole_units(records: list[dict[str, str]], unit: str, sizes: list[int]) -> None:
    parts = [part_of(records, share, 41) for share in (0.1, 0.25, 0.5, 1.0)]
    names = [{record[unit] for record in part} for part in parts]
    assert [len(found) for found in names] == sizes
    assert all(small <= large for small, large in itertools.pairwise(names))
    for part, found in zip(parts, names, strict=True):
        assert part == [record for record in records if record[unit] in found]


def test_the_seed_draws() -> None:
    parts = {seed: {record["image_id"] for record in part_of(IMAGES, 0.25, seed)} for seed in (41, 42)}
    assert parts[41] != parts[42]


def test_the_same_on_every_machine() -> None:
    assert sorted({record["patient"] for record in part_of(PATIENTS, 0.3, 41)}) == ["p4", "p8", "p9"]


def test_at_least_one() -> None:
    assert len(part_of(IMAGES, 0.001, 1)) == 2 and part_of([], 0.5, 1) == []
