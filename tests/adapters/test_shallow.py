# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from monai_vlsm.adapters import BottleneckAdapter, ShallowAdaptation, Sites, Tower, build_adaptation


def sites(text_width: int = 6) -> Sites:
    return Sites(Tower(8, [], []), Tower(text_width, [], []), (1, 3), 6, decoder=nn.Identity(), used=[])


@pytest.mark.parametrize(
    ("arguments", "vision", "text", "condition"),
    [
        ({"towers": "v"}, 2, 0, 0),
        ({"towers": "vl"}, 2, 2, 0),
        ({"towers": "vl", "condition_width": 4}, 2, 2, 1),
        ({"towers": "v", "condition_width": 4}, 2, 0, 1),
    ],
)
def test_placement(arguments: dict[str, Any], vision: int, text: int, condition: int) -> None:
    seams = ShallowAdaptation(width=3, **arguments).install(sites())
    blocks = [module for module in seams.modules() if isinstance(module, BottleneckAdapter)]
    assert [block.down.in_features for block in blocks] == [8] * vision + [6] * text + [6] * condition
    assert seams.text_layers == ((1, 3) if text else ())


def test_condition_is_the_sum_of_its_parts() -> None:
    """The adapter of the embedding acts first; then each adapted text state, which includes the state, is added."""
    seams: Any = ShallowAdaptation("vl", width=3, condition_width=4).install(sites())
    embedding, states = torch.randn(2, 6), [torch.randn(2, 6), torch.randn(2, 6)]
    expected = seams.condition_adapter(embedding)
    expected = expected + seams.text_adapters[0](states[0]) + seams.text_adapters[1](states[1])
    torch.testing.assert_close(seams.condition(embedding, states), expected)


def test_text_must_be_as_wide_as_its_embedding() -> None:
    with pytest.raises(ValueError, match=r"got 5 and 6; use towers='v'"):
        ShallowAdaptation("vl").install(sites(text_width=5))
    assert ShallowAdaptation("v").install(sites(text_width=5)).text_layers == ()


def test_settings_make_an_equal_value() -> None:
    adaptation = ShallowAdaptation("v", width=3, condition_width=5)
    assert build_adaptation(adaptation.settings()) == adaptation


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"towers": "l"}, "towers must be one of 'v', 'vl', got 'l'"),
        ({"width": 0}, "width must be positive, got 0"),
        ({"condition_width": -1}, "condition_width must be positive, got -1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShallowAdaptation(**arguments)
