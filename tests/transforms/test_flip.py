# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Image, masks and prompts of an augmented record agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import Dataset, MetaTensor
from monai.data.utils import set_rnd
from monai.transforms import Compose, Flip, Lambdad, Rand2DElasticd, RandAffined
from torch import Tensor

from monai_vlsm.data import SeededLoader
from monai_vlsm.prompts import FlipWordsError, mask_words
from monai_vlsm.transforms import KeepPlacesd, RandFlipPromptsd

SIZE = 60


def square(row: int, column: int, side: int = 10) -> Tensor:
    mask = torch.zeros(SIZE, SIZE)
    mask[row : row + side, column : column + side] = 1
    return mask


def record(*pairs: tuple[str, Tensor]) -> dict[Any, Any]:
    """The image is the sum of the masks, so that whatever moves one must move the other; one text for one pair."""
    masks = torch.stack([mask for _, mask in pairs])
    image = MetaTensor(masks.sum(0).expand(3, -1, -1).clone(), meta={"filename_or_obj": "a.png"})
    texts = [text for text, _ in pairs]
    return {"image": image, "label": MetaTensor(masks), "prompt": texts if len(texts) > 1 else texts[0], "name": "a"}


def agree(d: dict[Any, Any]) -> bool:
    return torch.equal(torch.as_tensor(d["image"])[0], torch.as_tensor(d["label"]).sum(0))


def flipped(d: dict[Any, Any], flips: str = "horizontal") -> dict[Any, Any]:
    return RandFlipPromptsd(prob=1, flips=flips)(d)


@pytest.mark.parametrize("flips", ["horizontal", "vertical", "both"])
def test_twice_is_as_before_and_places_follow(flips: str) -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        row, column, side = (int(one) for one in random.integers((0, 0, 3), (SIZE - 10, SIZE - 10, 20)))
        mask = square(row, column, side)
        given = record((f"polyp, located in {mask_words(mask.numpy())['location']} of the image", mask))
        turned = flipped(given, flips)
        assert agree(turned)
        assert (
            turned["prompt"] == f"polyp, located in {mask_words(turned['label'][0].numpy())['location']} of the image"
        )
        again = flipped(turned, flips)
        assert again["prompt"] == given["prompt"]
        assert torch.equal(again["label"], given["label"])
        assert torch.equal(again["image"], given["image"])


def test_what_was_given_stays() -> None:
    given = record(("polyp on the left", square(0, 0)))
    before = given["label"].clone()
    assert flipped(given)["prompt"] == "polyp on the right"
    assert torch.equal(given["label"], before)
    assert given["prompt"] == "polyp on the left"


@pytest.mark.parametrize("flips", ["horizontal", "vertical"])
def test_the_right_axis(flips: str) -> None:
    d = flipped(record(("polyp", square(0, 40))), flips)
    rows, columns = np.nonzero(d["label"][0].numpy())
    assert (rows.min(), columns.min()) == ((0, 10) if flips == "horizontal" else (50, 40))


def test_several_prompts_of_an_image() -> None:
    pairs = [("polyp, located in left of the image", square(25, 0)), ("fold", square(0, 45))]
    d = flipped(record(*pairs))
    assert d["prompt"] == ["polyp, located in right of the image", "fold"]
    assert agree(d)
    assert torch.equal(d["label"][1], Flip(1)(pairs[1][1][None])[0])


def test_one_side_that_cannot_be_exchanged_keeps_the_whole_image() -> None:
    given = record(("fold", square(0, 0)), ("left kidney", square(20, 45)))
    d = flipped(given)
    assert d["prompt"] == given["prompt"]
    assert torch.equal(d["label"], given["label"])
    assert torch.equal(flipped(given, "vertical")["label"], torch.flip(torch.as_tensor(given["label"]), [1]))


def test_absent_things_are_flipped_with_their_words() -> None:
    given = record(
        ("polyp", square(0, 0)), ("one small tree, located in top left of the image", torch.zeros(SIZE, SIZE))
    )
    d = flipped(given)
    assert d["prompt"] == ["polyp", "one small tree, located in top right of the image"]
    assert not d["label"][1].any()
    kidney = record(("left kidney", torch.zeros(SIZE, SIZE)))
    assert torch.equal(flipped(kidney)["image"], kidney["image"])


def test_a_part_on_the_border_of_two_fields_keeps_its_image() -> None:
    """Thirds of 61 pixels are 20, 20 and 21: what lies in the first alone has its flip in two."""
    mask = torch.zeros(61, 61)
    mask[25:35, 20:30] = 1
    given = record(("polyp in the center of the image", mask))
    mirrored = torch.flip(mask, [1])
    assert [mask_words(one.numpy())["location"] for one in (mask, mirrored)] == ["center", "center"]
    mask[25:35, 12:21] = 1  # now one pixel more on the left
    given = record(("polyp in the left, center of the image", mask))
    places = [mask_words(one.numpy())["location"] for one in (mask, torch.flip(mask, [1]))]
    assert (flipped(given)["prompt"] == given["prompt"]) == (places[0] != places[1].replace("right", "left"))


def test_records_without_a_prompt() -> None:
    given = {name: value for name, value in record(("polyp", square(0, 0))).items() if name != "prompt"}
    d = flipped(given)
    assert agree(d)
    assert "prompt" not in d
    assert not torch.equal(d["label"], given["label"])


@pytest.mark.parametrize("transform", [RandFlipPromptsd(prob=1), KeepPlacesd(Compose([]))])
def test_a_prompt_must_be_chosen_before(transform: Any) -> None:
    with pytest.raises(TypeError, match=r"record 'a': prompt must be a text.*RandSelectPromptd first"):
        transform({**record(("x", square(0, 0))), "prompt": {"p1": "polyp"}})


@pytest.mark.parametrize("wrong", [{"prob": 2}, {"flips": "diagonal"}])
def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"prob must be|flips must be"):
        RandFlipPromptsd(**wrong)
    for rotation in (-90, math.nan, 181):
        with pytest.raises(ValueError, match="rotation must be from 0 to 180"):
            KeepPlacesd(Compose([]), rotation=rotation)
    with pytest.raises(FlipWordsError):
        RandFlipPromptsd(words={"horizontal": {"left": "right", "right": "left"}})


def affine(degrees: float, shift: int = 0) -> RandAffined:
    keys = ["image", "label"]
    return RandAffined(
        keys, prob=1, rotate_range=math.radians(degrees), translate_range=shift, mode=["bilinear", "nearest"]
    )


def moved(d: dict[Any, Any], given: dict[Any, Any]) -> bool:
    return not torch.equal(d["image"], given["image"])


def test_deformations_keep_places() -> None:
    """What names a place is moved within it only; what names none is moved anywhere, with its mask."""
    keep, seen = KeepPlacesd(affine(10, 12), rotation=10), set[bool | str]()
    keep.set_random_state(0)
    for _ in range(40):
        given = record(("polyp, located in top left of the image", square(8, 8)))
        d = keep(given)
        assert mask_words(d["label"][0].numpy())["location"] == "top left"
        seen.add(moved(d, given))
        d = keep(record(("polyp", square(8, 8))))
        seen.add(mask_words(d["label"][0].numpy())["location"])
        inside, outside = (torch.as_tensor(d["image"])[0][d["label"][0] == one] for one in (1, 0))
        assert inside.min() >= 0.24
        assert outside.max() <= 0.76
    assert {True, False, "top left"} < seen


def test_one_prompt_that_would_be_wrong_keeps_the_whole_image() -> None:
    shift = Lambdad(["image", "label"], lambda one: torch.roll(torch.as_tensor(one), 30, -1))
    keep = KeepPlacesd(shift)
    given = record(("fold", square(0, 0)), ("polyp at the left", square(20, 5)))
    assert torch.equal(keep(given)["label"], given["label"])
    assert moved(keep(record(("fold", square(0, 0)), ("polyp", square(20, 5)))), given)


@pytest.mark.parametrize(
    ("rotation", "text", "expected"),
    [(90, "polyp", True), (90, "left kidney", False), (15, "left kidney", True), (16, "left kidney", False)],
)
def test_large_rotations_are_not_for_prompts_with_sides(rotation: float, text: str, expected: bool) -> None:
    keep = KeepPlacesd(affine(rotation), rotation=rotation)
    keep.set_random_state(1)
    given = record((text, square(25, 25)))
    assert any(moved(keep(given), given) for _ in range(8)) == expected


def drawn(workers: int) -> list[Any]:
    keys = ["image", "label"]
    elastic = Rand2DElasticd(keys, spacing=20, magnitude_range=(1, 2), prob=0.7, mode=["bilinear", "nearest"])
    chain: list[Any] = [RandFlipPromptsd(flips="both"), KeepPlacesd(affine(10, 5), rotation=10), KeepPlacesd(elastic)]
    dataset = Dataset([record(("polyp at the left", square(20, 4 + i))) for i in range(4)], Compose(chain))
    loader = SeededLoader(dataset, workers, batch_size=2)
    found = []
    for epoch in range(2):
        torch.manual_seed(epoch)
        set_rnd(dataset, epoch)
        loader.seed_epoch(epoch)
        found += [(batch["prompt"], torch.as_tensor(batch["image"]).sum((1, 2)).tolist()) for batch in loader]
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_same_seed_same_draws(workers: int) -> None:
    first = drawn(workers)
    assert drawn(workers) == first
    assert first[:2] != first[2:]
