# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Image and text that meet: what each sees, against encoders that are run by hand, and what may be shared and kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.masking_utils import create_causal_mask

from monai_vlsm.adapters import (
    AdaptationError,
    CrossModalAdaptation,
    CrossModalBlock,
    SliceContextAdaptation,
)
from monai_vlsm.caches import DistinctPrompts, EncodedPrompts, prompt_encoding
from monai_vlsm.inferers import PromptInferer
from monai_vlsm.networks import CLIPSegNet, NotFrozenError
from tests.adapters.trained import network
from tests.networks.tiny_networks import inputs

CROSS = CrossModalAdaptation(width=4)


@pytest.fixture(params=[True, False], ids=["variational", "plain"])
def made(request: pytest.FixtureRequest, backbone: Path) -> CLIPSegNet:
    return network(backbone, CrossModalAdaptation(width=4, variational=request.param))


def by_hand(made: CLIPSegNet, plain: CLIPSegNet, image: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Logits ``(B, H, W)`` of one prompt for each image, both encoders side by side."""
    vision, text = plain.base.clip.vision_model, plain.base.clip.text_model
    seen = vision.pre_layrnorm(vision.embeddings(image, interpolate_pos_encoding=True))
    read = text.embeddings(input_ids=ids)
    causal = create_causal_mask(text.config, inputs_embeds=read, attention_mask=None, past_key_values=None)
    skips, blocks = [], [one for one in made.modules() if isinstance(one, CrossModalBlock)]
    for index in range(10):
        if index:
            seen, read = blocks[index - 1](seen, read, mask.bool())
        seen = vision.encoder.layers[index](seen, None)
        read = text.encoder.layers[index](read, causal, is_causal=True)
        skips += [seen] if index in (3, 6, 9) else []
    ends = read[torch.arange(len(ids)), mask.sum(-1) - 1]
    embedding = plain.base.clip.text_projection(text.final_layer_norm(ends))
    return plain.base.decoder(tuple(skips), embedding).logits


def test_against_encoders_by_hand(made: CLIPSegNet, backbone: Path) -> None:
    plain, (image, ids, mask) = network(backbone, None), inputs(made, 3)
    expected = by_hand(made, plain, image, ids, mask)
    torch.testing.assert_close(made(image, ids, mask)[:, 0], expected, rtol=1e-4, atol=1e-5)
    assert (expected - plain(image, ids, mask)[:, 0]).abs().max() > 1e-3


def test_padding_counts_for_nothing(made: CLIPSegNet) -> None:
    image, ids, mask = inputs(made, 2)
    longer = nn.functional.pad(ids, (0, 60), value=int(ids[0, -1]))
    other = longer.masked_fill(nn.functional.pad(mask, (0, 60)) == 0, 5)  # any word behind the end of the text
    for padded in (longer, other):
        torch.testing.assert_close(made(image, padded), made(image, ids, mask), rtol=1e-4, atol=1e-5)


def rows_of_layers(made: CLIPSegNet) -> Counter[tuple[str, int, int]]:
    """Counts encoder, layer and number of rows of each run of a layer from now on."""
    ran: Counter[tuple[str, int, int]] = Counter()
    for name in ("vision_model", "text_model"):
        for index, layer in enumerate(getattr(made.base.clip, name).encoder.layers):
            layer.register_forward_pre_hook(
                lambda _, args, key=(name[:1], index): ran.update([(*key, args[0].shape[0])])
            )
    return ran


def test_each_pair_is_encoded_and_no_more(made: CLIPSegNet) -> None:
    ran = rows_of_layers(made)
    made(*inputs(made, 2, 3))
    assert ran == {("v", 0, 2): 1, ("t", 0, 6): 1} | {(name, index, 6): 1 for name in "vt" for index in range(1, 10)}


@pytest.mark.parametrize("prompts", ["none", "distinct", "encoded"])
@pytest.mark.parametrize("by_image", [False, True])
def test_paths_that_share_give_the_same(made: CLIPSegNet, prompts: str, by_image: bool) -> None:
    image, ids, mask = inputs(made, 2, 3)
    image, ids, mask = (one.repeat_interleave(2, 0) for one in (image, ids, mask))
    mask[1, 2] = 0  # an image with two prompts
    expected = torch.stack([made(image, ids[:, k], mask[:, k].clamp_min(1))[:, 0] for k in range(3)], 1)
    chosen = {"none": None, "distinct": DistinctPrompts(), "encoded": EncodedPrompts(made)}[prompts]
    inferer = PromptInferer(cpu_autocast=False, prompts=chosen, by_image=by_image)
    with torch.no_grad():
        found = inferer(image, made, ids, mask)
    there = mask.any(-1)
    torch.testing.assert_close(found[there], expected[there], rtol=1e-4, atol=1e-5)


def test_results_of_the_encoders_are_not_kept(made: CLIPSegNet) -> None:
    image, ids, _ = inputs(made)
    assert made.meets and made.frozen_encoders == frozenset()
    for keep in (lambda: made.encode_frozen_image(image), lambda: made.encode_frozen_text(ids)):
        with pytest.raises(NotFrozenError, match="cannot be kept"):
            keep()
    with pytest.raises(NotFrozenError, match="text_cache"):
        prompt_encoding("run", made)


def test_a_loss_between_image_and_prompt_sees_the_pairs(made: CLIPSegNet) -> None:
    image, ids, mask = inputs(made, 2, 3)
    seen: list[Any] = []
    made.watch = lambda *features: seen.append(made.shared_embeddings(*features))
    made(image, ids, mask)
    made(image[1:], ids[1:, 2], mask[1:, 2])
    (images, prompts), alone = seen
    assert images.shape == prompts.shape == (6, 8)
    for found, last in zip(alone, (images, prompts), strict=True):
        torch.testing.assert_close(found[0], last[5], rtol=1e-4, atol=1e-5)


def test_slices_cannot_attend_to_each_other_too(backbone: Path) -> None:
    with pytest.raises(AdaptationError, match=r"slices .* CrossModalAdaptation"):
        CLIPSegNet(backbone, SliceContextAdaptation(CROSS))


def test_drawn_in_training_and_the_mean_in_evaluation(backbone: Path) -> None:
    drawn, plain = network(backbone, CROSS), network(backbone, CrossModalAdaptation(4, variational=False))
    for made, draws in ((drawn, True), (plain, False)):
        arguments = inputs(made)
        assert torch.equal(made(*arguments), made(*arguments))
        made.train()
        assert torch.equal(made(*arguments), made(*arguments)) != draws


def test_bad_width() -> None:
    with pytest.raises(ValueError, match="width must be a positive whole number, got 0"):
        CrossModalAdaptation(width=0)
