# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Chains of transforms that may be cut, and those that may not."""

from __future__ import annotations

from typing import Any

import pytest
from monai.transforms import Compose, EnsureTyped, Lambda, NormalizeIntensityd, RandFlipd, RandGaussianNoised

from monai_vlsm.caches import CacheTransformError
from monai_vlsm.caches.transforms import fixed_part
from monai_vlsm.transforms import RandSelectPromptd, SelectPromptd

IMAGE, PROMPT, DRAWN = NormalizeIntensityd("image"), SelectPromptd("prompt"), RandSelectPromptd("prompt")


@pytest.mark.parametrize(
    ("transforms", "expected"),
    [([], 0), ([IMAGE, PROMPT], 2), ([IMAGE, DRAWN, PROMPT], 1), ([IMAGE, EnsureTyped("image"), DRAWN], 2)],
)
def test_cut(transforms: list[Any], expected: int) -> None:
    assert fixed_part(Compose(transforms)) == expected


@pytest.mark.parametrize(
    ("transforms", "words"),
    [
        ([IMAGE, RandFlipd(["image", "label"])], "RandFlipd .transform 2. changes 'image' and is random"),
        ([IMAGE, DRAWN, RandGaussianNoised("image")], "RandGaussianNoised .transform 3."),
        ([DRAWN, IMAGE], "NormalizeIntensityd .transform 2. changes 'image' and comes after a random one"),
        ([IMAGE, DRAWN, Lambda(lambda item: item)], "Lambda .transform 3."),
        ([IMAGE, lambda item: item], "function .transform 2."),
    ],
)
def test_refused(transforms: list[Any], words: str) -> None:
    with pytest.raises(CacheTransformError, match=words):
        fixed_part(Compose(transforms))


def test_not_a_compose() -> None:
    with pytest.raises(CacheTransformError, match="Compose, got SelectPromptd"):
        fixed_part(PROMPT)
