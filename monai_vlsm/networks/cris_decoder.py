# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Decoder and projector of CRIS (Wang et al., CVPR 2022, sections 3.2 and 3.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import fold

from monai_vlsm.networks.cris_neck import convolution
from monai_vlsm.networks.precision import at_least_float32

__all__ = ["CRISDecoder", "CRISDecoderLayer", "CRISProjector", "image_positions", "word_positions"]

_KERNEL = 3  # side of the kernel that a sentence is turned into


def word_positions(length: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sine encoding of positions in a text (Vaswani et al., NeurIPS 2017, section 3.5).

    Args:
        length: number of positions.
        width: channels, even.
        device: where to compute it.

    Returns:
        ``(length, width)``: sine and cosine of falling frequencies in turn.
    """
    frequencies = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angles = torch.arange(length, device=device)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def image_positions(height: int, width: int, channels: int, device: torch.device | None = None) -> Tensor:
    """Sine encoding of positions in an image: half of the channels say the column, half the row.

    Args:
        height: number of rows.
        width: number of columns.
        channels: a multiple of 4.
        device: where to compute it.

    Returns:
        ``(height * width, channels)``, row after row.
    """
    columns = word_positions(width, channels // 2, device).expand(height, -1, -1)
    rows = word_positions(height, channels // 2, device)[:, None].expand(-1, width, -1)
    return torch.cat([columns, rows], dim=-1).flatten(0, 1)


class CRISDecoderLayer(nn.Module):
    """Pixels look at pixels, then at words, then a perceptron; each with a norm before and one after.

    Args:
        width: channels of pixels and words.
        heads: attention heads.
        ffn: hidden width of the perceptron.
        dropout: probability of dropping an activation in training mode.
    """

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.self_attn_norm = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.multihead_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.cross_attn_norm = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        perceptron = (nn.Linear(width, ffn), nn.ReLU(), nn.Dropout(dropout), nn.LayerNorm(ffn), nn.Linear(ffn, width))
        self.ffn = nn.Sequential(*perceptron)
        self.dropout = nn.Dropout(dropout)

    def forward(self, pixels: Tensor, places: Tensor, words: Tensor, keys: Tensor, padding: Tensor | None) -> Tensor:
        """Update the pixels.

        Args:
            pixels: ``(B, N, C)``.
            places: position encodings of the pixels, ``(N, C)``.
            words: ``(B, L, C)``.
            keys: the words with their position encodings, ``(B, L, C)``.
            padding: ``(B, L)``, True where a word is padding; None looks at all.

        Returns:
            ``(B, N, C)``.
        """
        normed = self.norm1(pixels)
        query = normed + places
        attended, _ = self.self_attn(query, query, normed, need_weights=False)
        pixels = pixels + self.dropout(self.self_attn_norm(attended))
        query = self.norm2(pixels) + places
        attended, _ = self.multihead_attn(query, keys, words, key_padding_mask=padding, need_weights=False)
        pixels = pixels + self.dropout(self.cross_attn_norm(attended))
        return pixels + self.dropout(self.ffn(self.norm3(pixels)))


class CRISDecoder(nn.Module):
    """Transformer decoder whose queries are the pixels and whose memory are the words.

    The names of the weights are those of published CRIS checkpoints, without the leading ``decoder.``.

    Args:
        layers: number of layers.
        width: channels of pixels and words, a multiple of 4.
        heads: attention heads.
        ffn: hidden width of the perceptrons.
        dropout: probability of dropping an activation in training mode.
    """

    def __init__(self, layers: int, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CRISDecoderLayer(width, heads, ffn, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor, words: Tensor, padding: Tensor | None) -> Tensor:
        """Let an image read a text.

        Args:
            image: ``(B, C, H, W)``.
            words: ``(B, L, C)``.
            padding: ``(B, L)``, True where a word is padding; None looks at all.

        Returns:
            ``(B, C, H, W)``.
        """
        height, width = image.shape[-2:]
        places = image_positions(height, width, image.shape[1], image.device).to(image.dtype)
        keys = words + word_positions(words.shape[1], words.shape[2], words.device).to(words.dtype)
        pixels = image.flatten(2).transpose(1, 2)
        for layer in self.layers:
            pixels = layer(pixels, places, words, keys, padding)
        return self.norm(pixels).transpose(1, 2).unflatten(-1, (height, width))


class CRISProjector(nn.Module):
    """Four times as many pixels, and one 3 x 3 kernel for each sentence, made from the sentence, that reads them.

    The names of the weights are those of published CRIS checkpoints, without the leading ``proj.``.

    Args:
        sentence: size of the embedding of the sentence.
        width: channels of the image, even.
    """

    def __init__(self, sentence: int, width: int) -> None:
        super().__init__()
        self.vis = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"),
            convolution(width, width, 3),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            convolution(width, width // 2, 3),
            nn.Conv2d(width // 2, width // 2, 1),
        )
        self.txt = nn.Linear(sentence, width // 2 * _KERNEL**2 + 1)

    def forward(self, image: Tensor, sentence: Tensor) -> Tensor:
        """Map an image ``(B, C, H, W)`` and embeddings ``(B, D)`` to logits ``(B, 1, 4 H, 4 W)``, float32."""
        pixels, kernel = self.vis(image), self.txt(sentence)
        with torch.autocast(image.device.type, enabled=False):
            kernel = at_least_float32(kernel)
            return _convolve_each(at_least_float32(pixels), kernel[:, :-1], kernel[:, -1])


def _convolve_each(pixels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve each image with a kernel of its own.

    One output channel needs no grouped convolution: each of the 9 taps is one product, and `fold` adds the shifted
    products. It is faster, and a traced network keeps its batch size free.

    Args:
        pixels: ``(B, C, H, W)``.
        weight: ``(B, C * 9)``.
        bias: ``(B,)``.

    Returns:
        ``(B, 1, H, W)``.
    """
    taps = weight.unflatten(1, (-1, _KERNEL**2)).flip(2).transpose(1, 2)  # fold scatters where a convolution gathers
    products = taps @ pixels.flatten(2)
    size = (int(pixels.shape[-2]), int(pixels.shape[-1]))  # plain numbers in a trace too: ONNX takes no others here
    return fold(products, size, _KERNEL, padding=_KERNEL // 2) + bias[:, None, None, None]
