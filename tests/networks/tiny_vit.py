# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A vision transformer with the names of timm and DINOv2, written out: what conversions are compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, count, width))


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, scaled: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Attention(width, heads), Mlp(width, hidden)
        self.ls1 = Scale(width) if scaled else nn.Identity()
        self.ls2 = Scale(width) if scaled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class TinyViT(nn.Module):
    """Two heads of 64, as wide as that; ``scaled`` gives it DINOv2's LayerScale."""

    def __init__(
        self, layers: int = 10, patch: int = 16, grid: int = 2, hidden: int = 64, scaled: bool = False
    ) -> None:
        super().__init__()
        width = 128
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + grid * grid, width))
        self.patch_embed = PatchEmbed(width, patch)
        self.blocks = nn.ModuleList(Block(width, 2, hidden, scaled) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def states(self, image: Tensor) -> list[Tensor]:
        """Hidden states before the first layer and after each, ``(B, 1 + N, C)``."""
        patches = self.patch_embed(image)
        tokens = torch.cat([self.cls_token.expand(len(image), -1, -1), patches], 1) + self.positions(patches.shape[1])
        states = [tokens]
        for block in self.blocks:
            states.append(block(states[-1]))
        return states

    def positions(self, patches: int) -> Tensor:
        """Positions for another number of patches, bicubic."""
        own, side = round((self.pos_embed.shape[1] - 1) ** 0.5), round(patches**0.5)
        if own == side:
            return self.pos_embed
        maps = self.pos_embed[:, 1:].reshape(1, own, own, -1).permute(0, 3, 1, 2)
        maps = interpolate(maps, (side, side), mode="bicubic", align_corners=False)
        return torch.cat([self.pos_embed[:, :1], maps.permute(0, 2, 3, 1).flatten(1, 2)], 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.states(image)[-1])
