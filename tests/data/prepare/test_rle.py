# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Run lengths: strings that pycocotools 2.0 wrote, and every way in which they can be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from monai_vlsm.data.prepare.rle import decode_runs


def square() -> np.ndarray:
    mask = np.zeros((7, 9), bool)
    mask[2:5, 3:7] = True
    return mask


def disc() -> np.ndarray:
    rows, columns = np.mgrid[:40, :60]
    return (rows - 20) ** 2 + (columns - 30) ** 2 < 150


def tall() -> np.ndarray:
    mask = np.zeros((2320, 64), bool)
    mask[100:2000, 10:50] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        (square(), "g03400000<"),
        (disc(), "Rg05P16K4M2N2N2O0O2O000O2O00000001N10001N101N2N2N3L5Jid0"),
        (tall(), r"Thf0\k1T=" + "0" * 77 + "lco0"),
        (np.zeros((5, 4), bool), "d0"),
        (np.ones((5, 4), bool), "0d0"),
    ],
    ids=["square", "disc", "tall", "empty", "full"],
)
def test_strings_of_pycocotools(mask: np.ndarray, counts: str) -> None:
    decoded = decode_runs(mask.shape, counts)
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask)


def test_plain_lengths() -> None:
    np.testing.assert_array_equal(decode_runs((2, 3), [1, 2, 3]), [[False, True, False], [True, False, False]])


@pytest.mark.parametrize("counts", ["g03400000", "", [1, 2], [64, -1]])
def test_lengths_that_do_not_fill_the_image(counts: str | list[int]) -> None:
    with pytest.raises(ValueError, match="expected run lengths for 7 x 9 pixels, found"):
        decode_runs((7, 9), counts)
