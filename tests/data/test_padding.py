# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images with different numbers of prompts in one batch, and how they come out of it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate

from monai_vlsm.data import NO_PROMPT, SeededLoader, collate_prompts
from monai_vlsm.transforms import DropPaddedPromptsd

OWN = [2, 1, 3]


def item(count: int, size: int = 4) -> dict[str, Any]:
    texts = [f"prompt {k} of {count}" for k in range(count)]
    tokens = {"input_ids": torch.full((count, 5), count), "attention_mask": torch.ones(count, 5, dtype=torch.int64)}
    masks = MetaTensor(torch.ones(count, size, size), meta={"filename_or_obj": f"mask of {count}"})
    tags = {"prompt_style": ["p1"] * count, "prompt_tag": ["class"] * count, "structure": texts}
    image = MetaTensor(torch.rand(3, size, size), meta={"filename_or_obj": f"image of {count}"})
    return {"image": image, "label": masks, "target": masks, "prompt": texts, "name": f"n{count}", **tokens, **tags}


def same(found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(torch.as_tensor(found[key]), torch.as_tensor(value)), key
        else:
            assert found[key] == value, key


def test_what_fills_up_a_batch_counts_as_nothing() -> None:
    batch = collate_prompts([item(count) for count in OWN])
    assert batch["label"].shape == batch["target"].shape == (3, 3, 4, 4)
    for row, count in enumerate(OWN):
        assert (batch["label"][row, count:] == NO_PROMPT).all()
        assert not batch["attention_mask"][row, count:].any()
        assert (batch["label"][row, :count] == 1).all()
        assert batch["attention_mask"][row, :count].all()
    assert list(batch["prompt"][2]) == ["", "", "prompt 2 of 3"]


def test_a_batch_gives_back_what_went_in() -> None:
    drop, items = DropPaddedPromptsd(), [item(count) for count in OWN]
    for found, expected in zip(decollate_batch(collate_prompts(items)), items, strict=True):
        pred = MetaTensor(torch.arange(3.0)[:, None, None].expand(3, 4, 4), meta={"kept": True})
        dropped = drop({**found, "pred": pred})
        count = len(expected["prompt"])
        assert dropped["pred"][:, 0, 0].tolist() == list(range(count))
        assert dropped["pred"].meta["kept"]
        assert dropped["label"].meta["filename_or_obj"] == f"mask of {count}"
        del dropped["pred"]
        same(dropped, expected)


@pytest.mark.parametrize("counts", [[2, 2], [1], [1, 1, 1]])
def test_equal_numbers_are_batched_as_monai_does(counts: list[int]) -> None:
    items = [item(count) for count in counts]
    same(collate_prompts(items), list_data_collate(items))


def test_single_prompts_and_other_items_are_batched_as_monai_does() -> None:
    single = [{"image": torch.rand(3, 4, 4), "prompt": text} for text in ("a", "the other")]
    same(collate_prompts(single), list_data_collate(single))
    assert torch.equal(collate_prompts([torch.ones(2), torch.zeros(2)]), torch.tensor([[1.0, 1.0], [0.0, 0.0]]))


def test_predictions_without_tokens_or_padding_stay() -> None:
    drop = DropPaddedPromptsd()
    items: list[dict[Any, Any]] = [{"pred": torch.rand(2, 4, 4)}, {"pred": torch.rand(2, 4, 4), **item(2)}]
    for given in items:
        same(drop(given), given)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_fills_up(workers: int) -> None:
    class Items(torch.utils.data.Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> dict[str, Any]:
            return item(OWN[index])

    (batch,) = SeededLoader(Items(), workers, batch_size=3)
    assert batch["input_ids"].shape == (3, 3, 5)
    assert batch["label"].shape == (3, 3, 4, 4)
