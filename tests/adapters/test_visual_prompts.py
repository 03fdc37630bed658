# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Visual prompts against an encoder that is run by hand."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from monai_vlsm.adapters import AdaptationError, VisualPromptAdaptation
from monai_vlsm.networks import CLIPSegNet, NotFrozenError
from tests.adapters.trained import network
from tests.networks.tiny_networks import inputs

TOKENS = 3


@pytest.fixture
def prompted(backbone: Path) -> CLIPSegNet:
    return network(backbone, VisualPromptAdaptation(TOKENS))


def by_hand(prompted: CLIPSegNet, plain: CLIPSegNet, image: Tensor) -> list[Tensor]:
    """As TuneVLSeg does: tokens at the end before the norm, replaced by their successors in each layer."""
    layers = prompted.base.clip.vision_model.encoder.layers[1:10]
    tokens = [module.prompts.tokens for module in (prompted.base.clip.vision_model.pre_layrnorm, *layers)]
    encoder = plain.base.clip.vision_model
    hidden = encoder.embeddings(image, interpolate_pos_encoding=True)
    rows = [one.expand(len(image), -1, -1) for one in tokens]
    hidden = encoder.pre_layrnorm(torch.cat([hidden, rows[0]], 1))
    skips = []
    for index, layer in enumerate(encoder.encoder.layers[:10]):
        hidden = layer(hidden if index == 0 else torch.cat([hidden[:, :-TOKENS], rows[index]], 1), None)
        if index in (3, 6, 9):
            skips.append(hidden[:, :-TOKENS])
    return skips


@pytest.mark.parametrize("size", [32, 64])  # at 64 the positions are interpolated
def test_against_an_encoder_by_hand(prompted: CLIPSegNet, backbone: Path, size: int) -> None:
    image = torch.randn(2, 3, size, size)
    expected = by_hand(prompted, network(backbone, None), image)
    for found, skip in zip(prompted.encode_image(image), expected, strict=True):
        torch.testing.assert_close(found, skip, rtol=1e-5, atol=1e-5)


def test_tokens_count(prompted: CLIPSegNet, backbone: Path) -> None:
    arguments = inputs(prompted)
    assert (prompted(*arguments) - network(backbone, None)(*arguments)).abs().max() > 1e-3


def test_copies_have_tokens_of_their_own(prompted: CLIPSegNet) -> None:
    twin, arguments = copy.deepcopy(prompted), inputs(prompted)
    before = prompted(*arguments)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.add_(parameter.requires_grad * 1.0)
            assert parameter.requires_grad == ("prompts.tokens" in name)
    assert torch.equal(prompted(*arguments), before) and not torch.equal(twin(*arguments), before)


def test_only_the_text_is_kept(prompted: CLIPSegNet) -> None:
    assert prompted.frozen_encoders == {"text"}
    with pytest.raises(NotFrozenError, match="results of the vision encoder cannot be kept"):
        prompted.require_frozen("vision")


@pytest.mark.parametrize("tokens", [0, -1, 2.5, "10", True, None])
def test_no_number_of_tokens(tokens: Any) -> None:
    with pytest.raises(ValueError, match="tokens must be a positive whole number, got"):
        VisualPromptAdaptation(tokens)


def test_tokens_that_do_not_fit(backbone: Path) -> None:
    network(backbone, VisualPromptAdaptation(12))
    with pytest.raises(AdaptationError, match=r"^13 prompt tokens do not fit an encoder of width 12, .* from 1 to 12"):
        network(backbone, VisualPromptAdaptation(13))
