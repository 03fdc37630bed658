# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from monai_vlsm.uncertainty import Doubt, binary_entropy, entropy_codes


def test_entropy_in_bits() -> None:
    found = binary_entropy(torch.tensor([[0.0, 1.0, 0.5], [0.25, 0.75, 0.11]]))
    expected = [[0, 0, 1], [0.811278, 0.811278, 0.499916]]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-6)


def test_codes_are_steps_of_1_by_255_bit() -> None:
    codes = entropy_codes(torch.tensor([0.0, 0.5, 1.0, 1 / 255]))
    assert codes.dtype == np.uint8
    assert codes.tolist() == [0, 128, 255, 1]


def test_doubt_is_one_minus_the_dice_that_the_probabilities_expect() -> None:
    doubt = Doubt(2)
    doubt.add(
        torch.tensor([[[0.9, 0.8, 0.3, 0.0]], [[1.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[1, 1, 0, 0]], [[1, 0, 0, 0]]])
    )
    assert doubt.numbers == pytest.approx([1 - 2 * 1.7 / (2.0 + 2), 0], abs=1e-7)


def test_slices_of_a_volume_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(3, 2, 8, 8, generator=generator)
    masks = probabilities > 0.5
    parts = Doubt(2)
    for one, mask in zip(probabilities, masks, strict=True):
        parts.add(one, mask)
    whole = Doubt(2)
    whole.add(probabilities.transpose(0, 1).flatten(1, 2), masks.transpose(0, 1).flatten(1, 2))
    assert parts.numbers == pytest.approx(whole.numbers)


def test_doubt_of_an_empty_mask_is_the_existence_of_the_best_slice() -> None:
    doubt = Doubt(1)
    for highest in (0.2, 0.4, 0.1):
        probabilities = torch.zeros(1, 10, 20)
        probabilities[0, 3, 4] = highest  # one pixel is 0.5 % of 200
        doubt.add(probabilities, torch.zeros(1, 10, 20))
    assert doubt.numbers == pytest.approx([0.4])


def test_doubt_without_any_probability() -> None:
    doubt = Doubt(1)
    doubt.add(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4))
    assert doubt.numbers == [0]
    assert not math.isnan(doubt.numbers[0])
