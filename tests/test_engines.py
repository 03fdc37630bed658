# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Batches on their way to the network."""

from __future__ import annotations

import pytest
import torch
from monai.engines import PrepareBatchExtraInput
from torch import Tensor

from monai_vlsm.engines import PreparePromptBatch

EXTRA = {"input_ids": "input_ids", "attention_mask": "attention_mask"}


def batch(*lengths: int, padded: int = 9, prompts: int = 0) -> dict[str, Tensor]:
    """One image for each length; with ``prompts`` each has so many, the first of which has that length."""
    rows = torch.zeros(len(lengths), max(prompts, 1), padded, dtype=torch.int64)
    mask = torch.zeros_like(rows)
    for index, length in enumerate(lengths):
        rows[index, :, :2], mask[index, :, :2] = 5, 1
        rows[index, 0, :length], mask[index, 0, :length] = torch.arange(1, length + 1), 1
    if not prompts:
        rows, mask = rows[:, 0], mask[:, 0]
    image = torch.rand(len(lengths), 3, 4, 4)
    return {"image": image, "label": image[:, :1], "input_ids": rows, "attention_mask": mask}


@pytest.mark.parametrize("prompts", [0, 3])
@pytest.mark.parametrize("lengths", [(3,), (3, 7), (9, 2)])
def test_padding_that_nobody_needs_is_cut(lengths: tuple[int, ...], prompts: int) -> None:
    given = batch(*lengths, prompts=prompts)
    image, label, args, kwargs = PreparePromptBatch()(given)
    assert torch.equal(image, given["image"]) and torch.equal(label, given["label"]) and args == ()
    assert set(kwargs) == set(EXTRA)
    for key, value in kwargs.items():
        assert torch.equal(value, given[key][..., : max(lengths)])
        assert not given[key][..., max(lengths) :].any()


def test_the_batch_itself_stays_as_it_is() -> None:
    given = batch(3, 4)
    before = dict(given)
    PreparePromptBatch()(given)
    assert all(given[key] is before[key] for key in before)


def test_without_cutting_it_is_monais() -> None:
    given = batch(3, 4)
    ours, theirs = (
        prepare(given) for prepare in (PreparePromptBatch(cut_padding=False), PrepareBatchExtraInput(EXTRA))
    )
    assert all(torch.equal(ours[3][key], theirs[3][key]) for key in EXTRA)
    assert ours[3]["input_ids"].shape[-1] == 9


def test_other_keys_and_devices() -> None:
    given = batch(3, 4)
    given = {
        "image": given["image"],
        "label": given["label"],
        "ids": given["input_ids"],
        "seen": given["attention_mask"],
    }
    image, label, _, kwargs = PreparePromptBatch("ids", "seen")(given, device="meta")
    assert {image.device.type, label.device.type, kwargs["input_ids"].device.type} == {"meta"}
    assert kwargs["input_ids"].shape == kwargs["attention_mask"].shape == (2, 4)


def test_a_key_that_is_missing_is_named() -> None:
    given = batch(3)
    del given["attention_mask"]
    with pytest.raises(KeyError, match="attention_mask"):
        PreparePromptBatch()(given)
