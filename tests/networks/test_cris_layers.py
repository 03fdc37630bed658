# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Parts of CRIS against plainer ways to compute the same."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from monai_vlsm.networks.clip_resnet import CLIPAttentionMap, CLIPBottleneck, CLIPResNet
from monai_vlsm.networks.cris_decoder import CRISDecoder, CRISProjector, image_positions, word_positions
from monai_vlsm.networks.cris_neck import CoordinateConv, CRISNeck, SentenceNorm


def test_projector_is_a_convolution_with_a_kernel_of_its_own() -> None:
    torch.manual_seed(1)
    projector, image, sentence = CRISProjector(6, 8).eval(), torch.randn(3, 8, 5, 5), torch.randn(3, 6)
    pixels, kernel = projector.vis(image), projector.txt(sentence)
    expected = [
        nn.functional.conv2d(pixels[i : i + 1], kernel[i, :-1].view(1, 4, 3, 3), kernel[i, -1:], padding=1)
        for i in range(3)
    ]
    found = projector(image, sentence)
    assert found.shape == (3, 1, 20, 20)
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("position", "channel"), [(0, 0), (3, 0), (3, 1), (7, 4), (7, 5)])
def test_word_positions(position: int, channel: int) -> None:
    angle = position / 10000 ** (channel // 2 * 2 / 6)
    expected = math.cos(angle) if channel % 2 else math.sin(angle)
    assert word_positions(8, 6)[position, channel].item() == pytest.approx(expected, abs=1e-6)


def test_image_positions_say_column_then_row() -> None:
    found = image_positions(3, 5, 8).view(3, 5, 8)
    torch.testing.assert_close(found[2, 4], torch.cat([word_positions(5, 4)[4], word_positions(3, 4)[2]]))


def test_coordinates() -> None:
    layer = CoordinateConv(1, 2).eval()
    with torch.no_grad():
        layer.conv1[0].weight.zero_()
        layer.conv1[0].weight[0, 1, 1, 1] = layer.conv1[0].weight[1, 2, 1, 1] = 1.0
    x, y = layer(torch.zeros(1, 1, 3, 3))[0]  # ReLU cuts the negative half off
    torch.testing.assert_close(x, torch.tensor([[0.0, 0.0, 1.0]] * 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(y, x.T, atol=1e-4, rtol=0)


def test_one_sentence_is_normalised_by_the_running_statistics() -> None:
    layer, row = SentenceNorm(3), torch.tensor([[1.0, 2.0, 3.0]])
    layer.running_mean += 1
    before = layer.running_mean.clone()
    torch.testing.assert_close(layer.train()(row), layer.eval()(row))
    assert torch.equal(layer.running_mean, before)
    assert layer.train()(torch.cat([row, row + 1])).mean().item() == pytest.approx(0.0, abs=1e-6)


def test_a_fresh_block_is_the_identity() -> None:
    image = torch.rand(2, 8, 4, 4)
    torch.testing.assert_close(CLIPBottleneck(8, 2)(image), image)
    assert CLIPBottleneck(8, 4, stride=2)(image).shape == (2, 16, 2, 2)


def test_attention_map_sees_the_whole_image() -> None:
    torch.manual_seed(1)
    layer, image = CLIPAttentionMap(64, 5, grid=3).eval(), torch.randn(1, 64, 4, 4)
    changed = image.clone()
    changed[..., 0, 0] += 5
    moved = (layer(image) - layer(changed)).abs().amax(dim=(0, 1))
    assert moved.shape == (4, 4)
    assert moved[-1, -1] > 1e-6
    layer.zero_grad()
    layer(image).sum().backward()
    rows = layer.positional_embedding.grad.abs().sum(1)
    assert rows[0] == 0  # CLIP's position for the mean
    assert (rows[1:] > 0).all()


def test_resnet_shapes() -> None:
    images = CLIPResNet([1, 1, 1, 1], width=2, output_dim=7, grid=2)(torch.randn(2, 3, 96, 64))
    assert [tuple(image.shape) for image in images] == [(2, 16, 12, 8), (2, 32, 6, 4), (2, 7, 3, 2)]


def test_neck_computes_images_once_for_all_sentences() -> None:
    torch.manual_seed(1)
    neck = CRISNeck((4, 6, 8), (4, 6, 8), sentence=5).eval()
    maps = [torch.randn(2, channels, side, side) for channels, side in ((4, 8), (6, 4), (8, 2))]
    sentence, rows = torch.randn(6, 5), []
    for layer in (neck.f1_v_proj, neck.f2_v_proj, neck.f3_v_proj, neck.f3_cat):
        layer.register_forward_hook(lambda _module, _arguments, output: rows.append(output.shape[0]))
    together = neck(maps, sentence)
    assert sorted(rows) == [2, 2, 2, 6]
    assert together.shape == (6, 6, 4, 4)
    for image in range(2):
        alone = neck([one[image : image + 1] for one in maps], sentence[3 * image + 1 :][:1])
        torch.testing.assert_close(alone[0], together[3 * image + 1], atol=1e-5, rtol=1e-5)


def test_decoder_reads_no_padding() -> None:
    torch.manual_seed(1)
    decoder = CRISDecoder(layers=2, width=8, heads=2, ffn=16, dropout=0.0).eval()
    image, words = torch.randn(2, 8, 3, 3), torch.randn(2, 5, 8)
    padding = torch.tensor([[False] * 3 + [True] * 2] * 2)
    other = words.clone()
    other[:, 3:] = 9.0
    torch.testing.assert_close(decoder(image, words, padding), decoder(image, other, padding))
    torch.testing.assert_close(decoder(image, words, padding), decoder(image, words[:, :3], None))
    assert (decoder(image, words, None) - decoder(image, other, None)).abs().max() > 1e-3
