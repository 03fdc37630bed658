# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records of one image come one after the other, in training at random and in validation as batches."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from monai_vlsm.data import ImageSampler, image_batches, load_datalist
from monai_vlsm.samples import sample_dir

RECORDS = [{"image": name} for name in ("a", "b", "a", "c", "c", "c", "b")]
OF_IMAGE = {"a": [0, 2], "b": [1, 6], "c": [3, 4, 5]}


def test_a_batch_is_an_image() -> None:
    assert image_batches(RECORDS) == [[0, 2], [1, 6], [3, 4, 5]]
    assert image_batches(RECORDS, enabled=False) is None


@pytest.mark.parametrize(("at_most", "expected"), [(2, [[0, 2], [1, 6], [3, 4], [5]]), (1, [[i] for i in range(7)])])
def test_batches_have_a_bound(at_most: int, expected: list[list[int]]) -> None:
    assert sorted(image_batches(RECORDS, at_most=at_most) or []) == sorted(expected)


def test_each_record_once_and_images_whole() -> None:
    sampler = ImageSampler(RECORDS)
    order = list(sampler)
    assert len(sampler) == len(order) == 7
    while order:
        group = OF_IMAGE[RECORDS[order[0]]["image"]]
        assert order[: len(group)] == group
        order = order[len(group) :]


def test_order_follows_the_seed() -> None:
    records = [{"image": str(index // 2)} for index in range(40)]
    sampler = ImageSampler(records)
    orders = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        orders.append(list(sampler))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != list(range(40))


def test_the_sample_has_several_structures_of_each_image() -> None:
    records = load_datalist(sample_dir(), "val", check=False)
    batches = image_batches(records) or []
    assert sum(map(len, batches)) == len(records) > 2 * len(batches)
    assert [i for batch in batches for i in batch] == list(range(len(records)))  # so metrics.csv keeps its order


def test_loaders_take_both() -> None:
    numbers = list(range(7))
    assert [batch.tolist() for batch in DataLoader(numbers, batch_sampler=image_batches(RECORDS))] == [
        [0, 2],
        [1, 6],
        [3, 4, 5],
    ]
    sampled = torch.cat(list(DataLoader(numbers, batch_size=3, sampler=ImageSampler(RECORDS))))
    assert sorted(sampled.tolist()) == numbers
