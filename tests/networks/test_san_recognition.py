# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Copies of the class token in CLIP's last layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from monai_vlsm.networks import load_base
from monai_vlsm.networks.san_clip import clip_states
from monai_vlsm.networks.san_recognition import attention_mask_of_biases, recognise_proposals


@pytest.fixture(scope="module")
def clip(backbone: Path) -> Any:
    return load_base(backbone).clip.requires_grad_(False)


@pytest.fixture(scope="module")
def last_layers(clip: Any) -> Any:
    return clip.vision_model.encoder.layers[9:]


@pytest.fixture
def tokens(clip: Any) -> Tensor:
    """What goes into CLIP's last three layers, for two images of 2 x 2 patches."""
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    return clip_states(clip, image, 9)[-1]


def test_without_biases_a_copy_becomes_the_class_token(last_layers: Any, tokens: Tensor) -> None:
    expected = tokens
    for layer in last_layers:
        expected = layer(expected, attention_mask=None)
    copies = recognise_proposals(last_layers, tokens, torch.zeros(2, 2, 5, 4, 4), (2, 2))
    torch.testing.assert_close(copies, expected[:, :1].expand(-1, 5, -1), atol=1e-5, rtol=1e-5)


def test_copies_do_not_see_each_other(last_layers: Any, tokens: Tensor) -> None:
    biases = torch.randn(2, 2, 5, 4, 4, generator=torch.Generator().manual_seed(4))
    together = recognise_proposals(last_layers, tokens, biases, (2, 2))
    alone = recognise_proposals(last_layers, tokens, biases[:, :, 3:4], (2, 2))
    torch.testing.assert_close(together[:, 3:4], alone, atol=1e-5, rtol=1e-5)
    assert (together[:, 3] - together[:, 2]).abs().max() > 1e-4


def test_a_bias_turns_attention_to_a_patch(last_layers: Any, tokens: Tensor) -> None:
    """With a large bias on one patch a copy sees nothing else of the image."""
    biases = torch.zeros(2, 2, 1, 2, 2)
    biases[..., 1, 0] = 1e4
    other = tokens.clone()
    other[:, [2, 4]] += 1.0  # patches (0, 1) and (1, 1)
    first_layer = last_layers[:1]
    found = [recognise_proposals(first_layer, t, biases, (2, 2)) for t in (tokens, other)]
    torch.testing.assert_close(found[0], found[1])
    other[:, 3] += 1.0 * torch.arange(12)  # patch (1, 0)
    assert not torch.allclose(found[0], recognise_proposals(first_layer, other, biases, (2, 2)))


def test_mask_of_biases() -> None:
    biases = torch.arange(16.0).reshape(1, 1, 1, 4, 4)
    never = -torch.inf
    expected = [
        [0.0, never, 5.0, 7.0, 13.0, 15.0],  # the copy sees itself and, with the largest bias on each, the patches
        [never, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
    mask = attention_mask_of_biases(biases, (2, 2))
    assert mask.shape == (1, 1, 6, 6)
    assert mask[0, 0, :2].tolist() == expected
    assert all(row == expected[1] for row in mask[0, 0, 1:].tolist())
