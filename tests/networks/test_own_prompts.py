# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images with K prompts each, K of each its own: what training them together gives, against one pair at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor
from torch.testing import assert_close

from monai_vlsm.caches import prompt_encoding
from monai_vlsm.inferers import FEATURES_KEY, NOTHING, PromptInferer
from monai_vlsm.losses import PromptedSegmentationLoss
from monai_vlsm.networks import PromptedNet
from tests.networks.tiny_networks import KINDS, build, inputs

OWN = [1, 3, 2]
PAIRS = [(image, prompt) for image, count in enumerate(OWN) for prompt in range(count)]
GARBAGE = -(10**6)  # an id that no embedding has
CLASSES = ["dense_vl", "shallow_vl", "cris", "san", "san_official", "unet"]


def batch(network: PromptedNet) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, padded ids and attention mask ``(3, 3, L)``, padded masks ``(3, 3, S, S)``, in float64."""
    image, ids, mask = inputs(network, len(OWN), max(OWN))
    size = network.image_size
    target = (torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(3)) > 0.5).double()
    for row, count in enumerate(OWN):
        ids[row, count:], mask[row, count:], target[row, count:] = GARBAGE, 0, -1
    target[0, 0] = 0  # an image without anything that it is asked for
    return image.double(), ids, mask, target


def gradients(network: PromptedNet) -> dict[str, Tensor]:
    found = {name: one.grad.clone() for name, one in network.named_parameters() if one.grad is not None}
    network.zero_grad()
    return found


def one_by_one(network: PromptedNet) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Logits of all pairs, their mean loss and its gradients, a pass for each pair."""
    image, ids, mask, target = batch(network)
    loss, logits, losses = PromptedSegmentationLoss(), [], []
    for row, k in PAIRS:
        logits.append(network(image[row : row + 1], ids[row : row + 1, k], mask[row : row + 1, k]))
        losses.append(loss(logits[-1], target[row : row + 1, k : k + 1]))
    mean = torch.stack(losses).mean()
    mean.backward()
    return torch.cat(logits)[:, 0].detach(), mean.detach(), gradients(network)


@pytest.mark.parametrize("text_cache", ["off", "batch"])
@pytest.mark.parametrize("kind", CLASSES)
def test_loss_and_gradients_are_those_of_single_prompts(kind: str, text_cache: str, backbone: Path) -> None:
    """In float64, where kinks and the order of sums make differences of 1e-9 at most."""
    network = build(kind, backbone).double()  # in evaluation mode: batch norm of a batch is not that of its parts
    expected, loss, slopes = one_by_one(network)
    image, ids, mask, target = batch(network)
    inferer = PromptInferer(cpu_autocast=False, prompts=prompt_encoding(text_cache, network))
    logits = inferer(image, network, ids, mask)
    assert_close(torch.stack([logits[pair] for pair in PAIRS]), expected, atol=1e-9, rtol=1e-9)
    assert (logits[target < 0] == NOTHING).all()
    found = PromptedSegmentationLoss()(logits, target)
    assert_close(found, loss, atol=1e-9, rtol=1e-9)
    found.backward()
    own = gradients(network)
    assert own.keys() == slopes.keys()
    assert len(own) > 3
    for name, value in slopes.items():
        assert_close(own[name], value, atol=1e-9, rtol=1e-6, msg=name)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_image_is_encoded_once_and_only_real_pairs_are_decoded(
    kind: str, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build(kind, backbone)
    rows: list[int] = []
    for part in KINDS[kind].image_parts(network):
        part.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[0]))
    decoded: list[int] = []
    decode = network.decode

    def counted(image_features: Any, text_features: Any) -> Tensor:
        logits: Tensor = decode(image_features, text_features)
        decoded.append(logits.shape[0] * logits.shape[1])
        return logits

    monkeypatch.setattr(network, "decode", counted)
    image, ids, mask, _ = batch(network)
    with torch.no_grad():
        PromptInferer(cpu_autocast=False)(image.float(), network, ids, mask)
    assert set(rows) == {len(OWN)}
    assert len(rows) == len(KINDS[kind].image_parts(network))
    assert decoded == [len(PAIRS)]


def test_the_structures_of_neighbours_share_an_image_too(backbone: Path) -> None:
    network = build("dense_vl", backbone).double()
    image, ids, mask, _ = batch(network)
    image[1] = image[0]
    seen: list[int] = []
    network.base.clip.vision_model.embeddings.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    with torch.no_grad():
        shared, each = (PromptInferer(False, by_image=by)(image, network, ids, mask) for by in (True, False))
    assert seen == [2, 3]
    assert_close(shared, each, atol=1e-9, rtol=1e-9)


def test_kept_features_and_prompts(backbone: Path) -> None:
    network = build("shallow_vl", backbone).double()
    expected, _, _ = one_by_one(network)
    image, ids, mask, _ = batch(network)
    with torch.no_grad():
        features = MetaTensor(network.encode_frozen_image(image), meta={FEATURES_KEY: 0})
        inferer = PromptInferer(cpu_autocast=False, prompts=prompt_encoding("run", network))
        logits: Any = inferer(features, network, ids, mask)
    assert_close(torch.stack([logits.as_tensor()[pair] for pair in PAIRS]), expected, atol=1e-9, rtol=1e-9)


def test_volumes_have_their_own_prompts_too(backbone: Path) -> None:
    network = build("dense_vl", backbone).double()
    image, ids, mask, _ = batch(network)
    with torch.no_grad():
        flat = PromptInferer(False)(image, network, ids, mask)
        volumes = PromptInferer(False, slice_batch=2)(torch.stack([image] * 3, dim=-1), network, ids, mask)
    assert volumes.shape == (*flat.shape, 3)
    assert_close(volumes, flat[..., None].expand_as(volumes), atol=1e-9, rtol=1e-9)
