# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_vlsm.data.volumes import Assembly
from monai_vlsm.transforms.save import label_map

SHAPE = (4, 5, 11)  # columns that fill no whole bytes


@pytest.fixture
def probabilities() -> np.ndarray:
    values = np.random.default_rng(0).random((3, *SHAPE), np.float32)
    values[:, 0, 0, :3] = [[0.5] * 3, [np.nextafter(np.float32(0.5), np.float32(0))] * 3, [0.1] * 3]
    return values


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_masks_and_label_map_are_those_of_the_whole_volume(probabilities: np.ndarray, threshold: float) -> None:
    assembly = Assembly(SHAPE, 3, threshold)
    for index in (2, 0, 3, 1):
        assembly.add(index, probabilities[:, index])
    assert not assembly.missing()
    for prompt, whole in enumerate(probabilities):
        assert assembly.mask(prompt).dtype == bool
        np.testing.assert_array_equal(assembly.mask(prompt), whole >= np.float32(threshold))
    np.testing.assert_array_equal(assembly.labels(), label_map(torch.from_numpy(probabilities), threshold)[0])


def test_prompts_of_a_slice_one_after_another(probabilities: np.ndarray) -> None:
    together, apart = Assembly(SHAPE, 3), Assembly(SHAPE, 3)
    for index in range(4):
        together.add(index, probabilities[:, index])
        for prompt in (2, 0, 1):
            apart.add(index, torch.from_numpy(probabilities[[prompt], index]), [prompt])
    np.testing.assert_array_equal(apart.labels(), together.labels())
    np.testing.assert_array_equal(apart.mask(1), together.mask(1))


def test_a_voxel_has_a_number_if_and_only_if_a_mask_has_it() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(0))  # 0.5 in 16 bits
    assembly = Assembly((1, 1, 4), 2)
    assembly.add(0, np.array([[[below, 0.5, np.nan, 0.2]], [[0.1, 0.1, 0.9, np.nan]]], np.float32))
    assert assembly.labels().tolist() == [[[0, 1, 2, 0]]]
    assert [assembly.mask(k).tolist() for k in (0, 1)] == [
        [[[False, True, False, False]]],
        [[[False, False, True, False]]],
    ]


def test_missing_slices_are_known() -> None:
    assembly = Assembly(SHAPE, 2)
    assembly.add(1, np.ones((2, 5, 11)))
    assembly.add(2, np.ones((1, 5, 11)), [1])
    assert assembly.missing() == [0, 2, 3]
    assert not assembly.labels()[0].any()


def test_many_prompts_have_numbers_too() -> None:
    assembly = Assembly((1, 1, 1), 300)
    assembly.add(0, np.linspace(0, 1, 300).reshape(300, 1, 1))
    assert assembly.labels().tolist() == [[[300]]]


def test_probabilities_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"slice 1: expected probabilities of shape \(2, 5, 11\), got \(2, 5, 10\)"):
        Assembly(SHAPE, 2).add(1, np.ones((2, 5, 10)))
