# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The ResNet of CLIP (Radford et al., ICML 2021, section 2.4), with an image at the end in place of one vector."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

__all__ = ["CLIPAttentionMap", "CLIPBottleneck", "CLIPResNet"]

_HEAD_WIDTH = 64  # of CLIP's attention, whatever the size of the model
_EXPANSION = 4  # of a bottleneck (He et al., CVPR 2016)


class CLIPBottleneck(nn.Module):
    """A residual bottleneck that shrinks the image by averaging, not by strided convolutions.

    ``relu(x' + bn3(conv3(pool(relu(bn2(conv2(relu(bn1(conv1(x)))))))))``, where ``x'`` is ``x``, averaged and convolved
    where the shape changes.

    Args:
        channels: channels of the input.
        width: channels inside; four times as many come out.
        stride: 1 keeps the size of the image, 2 halves it.
    """

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(width, width * _EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * _EXPANSION)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or channels != width * _EXPANSION:
            convolution = nn.Conv2d(channels, width * _EXPANSION, 1, bias=False)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(width * _EXPANSION))
        nn.init.zeros_(self.bn3.weight)  # a block begins as the identity, as CLIP's do

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, 4 * width, H / stride, W / stride)``."""
        shortcut = x if isinstance(self.downsample, nn.Identity) else self.downsample(self.pool(x))
        x = self.bn1(self.conv1(x)).relu()
        x = self.pool(self.bn2(self.conv2(x)).relu())
        return (shortcut + self.bn3(self.conv3(x))).relu()


class CLIPAttentionMap(nn.Module):
    """CLIP's attention pool, used on every position of the image (as CRIS does, Wang et al., CVPR 2022).

    CLIP lets the mean of the image look at all positions and keeps that one vector. Here each position looks at all
    positions, so the result is an image in CLIP's common space; a convolution of the input is added to it.

    Args:
        channels: channels of the input, a multiple of 64.
        output_dim: channels of the output.
        grid: positions per side of the image that CLIP was trained on; others are interpolated (bicubic). CLIP's
            extra position for the mean stays in the weights and is not used.
    """

    def __init__(self, channels: int, output_dim: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.heads = channels // _HEAD_WIDTH
        self.positional_embedding = nn.Parameter(torch.randn(grid**2 + 1, channels) / channels**0.5)
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, output_dim)
        self.connect = nn.Sequential(nn.Conv2d(channels, output_dim, 1, bias=False), nn.BatchNorm2d(output_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, output_dim, H, W)``."""
        tokens = (x + self._positions(x.shape[-2], x.shape[-1]).to(x.dtype)).flatten(2).transpose(1, 2)
        query, key, value = (
            projection(tokens).unflatten(-1, (self.heads, _HEAD_WIDTH)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        image = self.c_proj(attended).transpose(1, 2).unflatten(-1, x.shape[-2:])
        return (image + self.connect(x)).relu()

    def _positions(self, height: int, width: int) -> Tensor:
        """Embedding of each position, ``(1, C, height, width)``."""
        grid = self.positional_embedding[1:].t().unflatten(-1, (self.grid, self.grid)).unsqueeze(0)
        return interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)


class CLIPResNet(nn.Module):
    """CLIP's ResNet up to its attention pool; three images come out, of the last three levels.

    The names of the weights are those of OpenAI's files, without the leading ``visual.``.

    Args:
        layers: bottlenecks in each of the four levels.
        width: channels after the stem, even.
        output_dim: channels of the last image.
        grid: positions per side of the attention pool, 1/32 of the image size that CLIP was trained on.
    """

    def __init__(self, layers: Sequence[int], width: int, output_dim: int, grid: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(2)
        channels = [width, *(width * _EXPANSION * 2**level for level in range(4))]
        levels = [
            _level(before, after // _EXPANSION, blocks, stride=1 if index == 0 else 2)
            for index, ((before, after), blocks) in enumerate(zip(pairwise(channels), layers, strict=True))
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = levels
        self.attnpool = CLIPAttentionMap(channels[-1], output_dim, grid)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            image: ``(B, 3, H, W)``, sides a multiple of 32.

        Returns:
            Images at 1/8, 1/16 and 1/32 of the size, with ``8 * width``, ``16 * width`` and ``output_dim`` channels.
        """
        x = self.bn1(self.conv1(image)).relu()
        x = self.bn2(self.conv2(x)).relu()
        x = self.avgpool(self.bn3(self.conv3(x)).relu())
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return [eighth, sixteenth, self.attnpool(self.layer4(sixteenth))]


def _level(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    rest = [CLIPBottleneck(width * _EXPANSION, width) for _ in range(blocks - 1)]
    return nn.Sequential(CLIPBottleneck(channels, width, stride), *rest)
