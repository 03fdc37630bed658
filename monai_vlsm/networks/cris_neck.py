# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Neck of CRIS (Wang et al., CVPR 2022, section 3.1): three images and one sentence become one image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, batch_norm, interpolate

__all__ = ["CRISNeck", "CoordinateConv", "SentenceNorm", "convolution"]


def convolution(channels: int, filters: int, kernel: int) -> nn.Sequential:
    """Convolution without bias that keeps the size of the image, batch norm, ReLU."""
    layer = nn.Conv2d(channels, filters, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(filters), nn.ReLU())


class CoordinateConv(nn.Module):
    """A 3 x 3 convolution that also sees where it is: two more channels hold x and y from -1 to 1.

    Liu et al., "An intriguing failing of convolutional neural networks and the CoordConv solution", NeurIPS 2018.

    Args:
        channels: channels of the input.
        filters: channels of the output.
    """

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv1 = convolution(channels + 2, filters, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to ``(B, filters, H, W)``."""
        down, across = (torch.linspace(-1, 1, side, device=x.device, dtype=x.dtype) for side in x.shape[-2:])
        y, x_ = torch.meshgrid(down, across, indexing="ij")
        coordinates = torch.stack([x_, y]).expand(x.shape[0], -1, -1, -1)
        return self.conv1(torch.cat([x, coordinates], dim=1))


class SentenceNorm(nn.BatchNorm1d):
    """Batch norm that takes its running statistics when a batch holds one row, which has no variance of its own."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(B, C)``."""
        if self.training and input.shape[0] == 1:
            return batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


class CRISNeck(nn.Module):
    """Fuse the sentence into the deepest image, then the images from deep to shallow, at 1/16 of the image.

    The names of the weights are those of published CRIS checkpoints, without the leading ``neck.``.

    Args:
        inputs: channels of the images at 1/8, 1/16 and 1/32.
        widths: channels that they are brought to; ``widths[1]`` come out.
        sentence: size of the embedding of the sentence.
    """

    def __init__(self, inputs: Sequence[int], widths: Sequence[int], sentence: int) -> None:
        super().__init__()
        (in3, in4, in5), (out3, out4, out5) = inputs, widths
        self.txt_proj = nn.Sequential(nn.Linear(sentence, out5, bias=False), SentenceNorm(out5), nn.ReLU())
        self.f1_v_proj = convolution(in5, out5, 1)
        self.norm_layer = nn.Sequential(nn.BatchNorm2d(out5), nn.ReLU())
        self.f2_v_proj = convolution(in4, out4, 3)
        self.f2_cat = convolution(out4 + out5, out4, 1)
        self.f3_v_proj = convolution(in3, out3, 3)
        self.f3_cat = convolution(out3 + out4, out4, 1)
        self.f4_proj5 = convolution(out5, out4, 3)
        self.f4_proj4 = convolution(out4, out4, 3)
        self.f4_proj3 = convolution(out4, out4, 3)
        self.aggr = convolution(3 * out4, out4, 1)
        self.coordconv = nn.Sequential(CoordinateConv(out4, out4), convolution(out4, out4, 3))

    def forward(self, images: Sequence[Tensor], sentence: Tensor) -> Tensor:
        """Fuse.

        Args:
            images: ``(B, C, H, W)`` at 1/8, 1/16 and 1/32 of the image.
            sentence: embeddings ``(B*K, D)``, the K sentences of an image one after the other.

        Returns:
            ``(B*K, widths[1], H / 16, W / 16)`` for an image of H x W.
        """
        images3, images4, images5 = images
        # what depends on the image alone is computed once for its K sentences
        prompts = sentence.shape[0] // images3.shape[0]
        p3 = avg_pool2d(self.f3_v_proj(images3), 2).repeat_interleave(prompts, dim=0)
        p4 = self.f2_v_proj(images4).repeat_interleave(prompts, dim=0)
        p5 = self.f1_v_proj(images5).repeat_interleave(prompts, dim=0)
        f5 = self.norm_layer(p5 * self.txt_proj(sentence)[:, :, None, None])
        f4 = self.f2_cat(torch.cat([p4, _double(f5)], dim=1))
        f3 = self.f3_cat(torch.cat([p3, f4], dim=1))
        levels = [self.f4_proj3(f3), self.f4_proj4(f4), _double(self.f4_proj5(f5))]
        return self.coordconv(self.aggr(torch.cat(levels, dim=1)))


def _double(image: Tensor) -> Tensor:
    return interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
