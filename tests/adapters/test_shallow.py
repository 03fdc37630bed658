# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from monai_vlsm.adapters import AdapterTargets, BottleneckAdapter, EncoderTargets, ShallowAdaptation, build_adaptation


def targets(text_width: int = 6) -> AdapterTargets:
    return AdapterTargets(
        EncoderTargets(8, []), EncoderTargets(text_width, []), (1, 3), 6, decoder=nn.Identity(), used=[]
    )


@pytest.mark.parametrize(
    ("arguments", "vision", "text", "condition"),
    [
        ({"encoders": "v"}, 2, 0, 0),
        ({"encoders": "vl"}, 2, 2, 0),
        ({"encoders": "vl", "condition_width": 4}, 2, 2, 1),
        ({"encoders": "v", "condition_width": 4}, 2, 0, 1),
    ],
)
def test_placement(arguments: dict[str, Any], vision: int, text: int, condition: int) -> None:
    feature_adapters = ShallowAdaptation(width=3, **arguments).install(targets())
    blocks = [module for module in feature_adapters.modules() if isinstance(module, BottleneckAdapter)]
    assert [block.down.in_features for block in blocks] == [8] * vision + [6] * text + [6] * condition
    assert feature_adapters.text_layers == ((1, 3) if text else ())


def test_condition_is_the_sum_of_its_parts() -> None:
    """The adapter of the embedding acts first; then each adapted text state, which includes the state, is added."""
    feature_adapters: Any = ShallowAdaptation("vl", width=3, condition_width=4).install(targets())
    embedding, states = torch.randn(2, 6), [torch.randn(2, 6), torch.randn(2, 6)]
    expected = feature_adapters.condition_adapter(embedding)
    expected = expected + feature_adapters.text_adapters[0](states[0]) + feature_adapters.text_adapters[1](states[1])
    torch.testing.assert_close(feature_adapters.condition(embedding, states), expected)


def test_text_must_be_as_wide_as_its_embedding() -> None:
    with pytest.raises(ValueError, match=r"got 5 and 6; use encoders='v'"):
        ShallowAdaptation("vl").install(targets(text_width=5))
    assert ShallowAdaptation("v").install(targets(text_width=5)).text_layers == ()


def test_settings_make_an_equal_value() -> None:
    adaptation = ShallowAdaptation("v", width=3, condition_width=5)
    assert build_adaptation(adaptation.settings()) == adaptation


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoders": "l"}, "encoders must be one of 'v', 'vl', got 'l'"),
        ({"width": 0}, "width must be a positive whole number, got 0"),
        ({"condition_width": -1}, "condition_width must be a positive whole number, got -1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShallowAdaptation(**arguments)
