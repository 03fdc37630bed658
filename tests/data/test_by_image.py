# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records of one image come one after the other, in training at random and in validation as batches."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from monai.data import Dataset, MetaTensor
from torch.utils.data import DataLoader

from monai_vlsm.data import (
    IMAGE_ROWS,
    ImageSampler,
    SeededLoader,
    distinct_rows,
    image_batches,
    load_datalist,
    without_repeats,
)
from monai_vlsm.samples import sample_dir

RECORDS = [{"image": name} for name in ("a", "b", "a", "c", "c", "c", "b")]
OF_IMAGE = {"a": [0, 2], "b": [1, 6], "c": [3, 4, 5]}


def test_a_batch_is_an_image() -> None:
    assert image_batches(RECORDS) == [[0, 2], [1, 6], [3, 4, 5]]


@pytest.mark.parametrize(("at_most", "expected"), [(2, [[0, 2], [1, 6], [3, 4], [5]]), (1, [[i] for i in range(7)])])
def test_batches_have_a_bound(at_most: int, expected: list[list[int]]) -> None:
    assert sorted(image_batches(RECORDS, at_most=at_most)) == sorted(expected)


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
    batches = image_batches(records)
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


def test_rows_of_images_that_repeat() -> None:
    first, second, third = torch.rand(3, 3, 4, 4)
    images = torch.stack([first, first, second, third, third, first])
    rows = distinct_rows(images)
    assert rows.tolist() == [0, 0, 1, 2, 2, 3]
    assert distinct_rows(list(map(MetaTensor, images))).tolist() == rows.tolist()
    for told in (rows, None):
        kept, index = without_repeats(images, told)
        assert torch.equal(kept, torch.stack([first, second, third, first]))
        assert torch.equal(index, rows)


def test_a_batch_says_which_images_are_the_same() -> None:
    images = torch.rand(2, 3, 4, 4)[[0, 0, 1]]
    data = [{"image": image, "label": torch.ones(1, 4, 4)} for image in images]
    dataset = Dataset([{"image": name} for name in "aab"], lambda record: data["aab".index(record["image"])])
    batch = next(iter(SeededLoader(dataset, by_image=True, batch_size=3, shuffle=True)))
    rows = [0, *(batch["image"][1:] != batch["image"][:-1]).flatten(1).any(1).cumsum(0).tolist()]
    assert batch[IMAGE_ROWS].tolist() == rows
    assert IMAGE_ROWS not in next(iter(SeededLoader(dataset, batch_size=3)))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_by_image(workers: int) -> None:
    dataset = Dataset(RECORDS)
    batches = [batch["image"] for batch in SeededLoader(dataset, workers, by_image=True, batch_size=1)]
    assert batches == [["a", "a"], ["b", "b"], ["c", "c", "c"]]
    shuffled = SeededLoader(dataset, workers, by_image=True, batch_size=7, shuffle=True)
    (batch,) = list(shuffled)
    images = batch["image"]
    assert shuffled.batch_size == 7
    assert sorted(images) == sorted(record["image"] for record in RECORDS)
    assert sum(one != other for one, other in pairwise(images)) == 2  # images stay whole
    plain = SeededLoader(dataset, workers, batch_size=2)
    assert [batch["image"] for batch in plain] == [["a", "b"], ["a", "c"], ["c", "c"], ["b"]]
