# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from monai_vlsm.adapters import AdapterTargets, DenseAdaptation, EncoderTargets, LayerTargets, build_adaptation


def layer() -> LayerTargets:
    module: Any = nn.Identity
    return LayerTargets(module(), module(), module(), (module(), module()), *(module() for _ in range(6)))


def targets(layers: int = 5) -> AdapterTargets:
    def encoder(width: int) -> EncoderTargets:
        return EncoderTargets(width, [layer() for _ in range(layers)])

    return AdapterTargets(encoder(8), encoder(6), (1, 3), condition_width=6, decoder=nn.Identity(), used=[])


def adapted(encoder: EncoderTargets) -> list[int]:
    """Layers whose attention and MLP carry an adapter of the encoder's width."""
    return [
        index
        for index, (attention, mlp) in enumerate(zip(encoder.attentions, encoder.mlps, strict=True))
        if all(
            hasattr(module, "adapter") and module.adapter.down.in_features == encoder.width
            for module in (attention, mlp)
        )
    ]


@pytest.mark.parametrize(
    ("arguments", "vision", "text", "condition"),
    [
        ({"encoders": "v"}, [0, 1, 2], [], False),
        ({"encoders": "vl"}, [0, 1, 2], [0, 1, 2], False),
        ({"encoders": "vl", "condition_width": 4}, [0, 1, 2], [0, 1, 2], True),
    ],
)
def test_placement(arguments: dict[str, Any], vision: list[int], text: list[int], condition: bool) -> None:
    """The first max(extract_layers) layers; the deepest extracted one stays bare."""
    places = targets()
    feature_adapters = DenseAdaptation(width=2, **arguments).install(places)
    assert (adapted(places.vision), adapted(places.text)) == (vision, text)
    assert bool(list(feature_adapters.parameters())) == condition


def test_settings_make_an_equal_value() -> None:
    adaptation = DenseAdaptation("v", width=3, condition_width=5)
    assert build_adaptation(adaptation.settings()) == adaptation


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoders": "l"}, "encoders must be one of 'v', 'vl', got 'l'"),
        ({"width": 0}, "width must be a positive whole number, got 0"),
        ({"width": 10**12}, "width must be at most 8192, got 1000000000000"),
        ({"condition_width": -1}, "condition_width must be a positive whole number, got -1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseAdaptation(**arguments)
