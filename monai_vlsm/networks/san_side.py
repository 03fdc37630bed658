# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The part of SAN that trains: a small vision transformer beside CLIP, and what it makes of its tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from monai.networks.blocks import PatchEmbeddingBlock
from torch import Tensor, nn
from torch.nn.functional import interpolate

__all__ = ["MaskProposals", "SideAdapterNetwork"]

_EPS = 1e-6  # of all layer norms here, as usual for vision transformers outside CLIP


class SideAdapterNetwork(nn.Module):
    """A vision transformer whose tokens are queries and patches, and that reads CLIP on its way (SAN, feature fusion).

    Positions are added in front of every block, not only of the first: the authors' numbers show it.

    Args:
        image_size: side of the square image in pixels that the positions are made for; others are interpolated.
        patch_size: side of a patch in pixels.
        width: channels of a token.
        depth: number of blocks.
        heads: attention heads of a block.
        queries: number of query tokens, one for each mask proposal.
        clip_width: channels of CLIP's tokens.
        fusion: CLIP's tokens after so many of its layers (value) are added in front of a block (key). A key beyond the
            last block adds nothing.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        width: int,
        depth: int,
        heads: int,
        queries: int,
        clip_width: int,
        fusion: Mapping[int, int],
    ) -> None:
        super().__init__()
        self.fusion = dict(fusion)
        self.patch_size = patch_size
        self.embed = PatchEmbeddingBlock(3, image_size, patch_size, width, heads, spatial_dims=2)
        # with the 0.02 that is usual for tokens all proposals stay alike for long
        self.queries = nn.Parameter(torch.randn(1, queries, width))
        self.query_positions = nn.Parameter(torch.randn(1, queries, width))
        self.fusion_layers = nn.ModuleList(_FusionLayer(clip_width, width) for _ in fusion)
        self.blocks = nn.ModuleList(_block(width, heads) for _ in range(depth))

    def forward(self, image: Tensor, clip_maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Tokens after the last block.

        Args:
            image: ``(B, 3, H, W)``, sides multiples of the patch size.
            clip_maps: CLIP's patch tokens after 0, 1, 2, ... layers, each ``(B, C, h', w')``.

        Returns:
            Query tokens ``(B, Q, width)`` and patch tokens as a map ``(B, width, h, w)``.
        """
        patches = self.embed.patch_embeddings(image)
        grid = patches.shape[-2:]
        patches = patches.flatten(2).transpose(1, 2)
        positions = _resize_positions(self.embed.position_embeddings, grid)
        positions = torch.cat([self.query_positions, positions], dim=1)
        queries = self.queries.expand(image.shape[0], -1, -1)
        for index, block in enumerate(self.blocks):
            for layer, (place, source) in zip(self.fusion_layers, self.fusion.items(), strict=True):
                if place == index:
                    patches = patches + layer(clip_maps[source], grid)
            tokens = block(torch.cat([queries, patches], dim=1) + positions)
            queries, patches = tokens[:, : queries.shape[1]], tokens[:, queries.shape[1] :]
        maps = patches.transpose(1, 2)
        return queries, maps.reshape(*maps.shape[:2], *grid)


class MaskProposals(nn.Module):
    """Query and patch tokens to masks, and to biases that steer CLIP's attention (SAN, mask recognition).

    Args:
        width: channels of a token of the side network.
        hidden: channels inside, and of the space in which queries and patches are compared.
        clip_heads: attention heads of CLIP; each gets biases of its own, which serve all of its last layers.
    """

    def __init__(self, width: int, hidden: int, clip_heads: int) -> None:
        super().__init__()
        self.clip_heads = clip_heads
        self.query_mlp = _mlp(width, hidden, hidden)
        self.pixel_mlp = _mlp(width, hidden, hidden)
        self.attn_mlp = _mlp(width, hidden, hidden * clip_heads)
        self.bias_scaling = nn.Linear(1, 1)
        nn.init.ones_(self.bias_scaling.weight)  # starts as if it were not there
        nn.init.zeros_(self.bias_scaling.bias)

    def forward(self, queries: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Masks and attention biases.

        Args:
            queries: ``(B, Q, width)``.
            patches: ``(B, width, h, w)``.

        Returns:
            Mask logits ``(B, Q, h, w)`` and biases ``(B, heads, Q, h, w)``.
        """
        # reshape, not unflatten: behind that an ONNX file keeps the batch size of its trace
        grid = patches.shape[-2:]
        pixels = patches.flatten(2).transpose(1, 2)
        queries = self.query_mlp(queries)
        masks = torch.einsum("bqc,bnc->bqn", queries, self.pixel_mlp(pixels))
        keys = self.attn_mlp(pixels)
        keys = keys.reshape(*keys.shape[:2], self.clip_heads, -1)
        biases = torch.einsum("bqc,bnhc->bhqn", queries, keys)
        biases = self.bias_scaling(biases.unsqueeze(-1)).squeeze(-1)
        return masks.reshape(*masks.shape[:-1], *grid), biases.reshape(*biases.shape[:-1], *grid)


class _FusionLayer(nn.Module):
    """CLIP's tokens, normalised and projected to the width of the side network, on its grid."""

    def __init__(self, clip_width: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(clip_width, eps=_EPS)
        self.project = nn.Linear(clip_width, width)

    def forward(self, clip_map: Tensor, grid: Sequence[int]) -> Tensor:
        projected = self.project(self.norm(clip_map.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        resized = interpolate(projected, size=grid, mode="bilinear", align_corners=False)
        return resized.flatten(2).transpose(1, 2)


def _block(width: int, heads: int) -> nn.TransformerEncoderLayer:
    """torch's, because MONAI's TransformerBlock needs einops and holds a third norm that would never get a gradient."""
    return nn.TransformerEncoderLayer(
        width,
        heads,
        dim_feedforward=4 * width,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=_EPS,
        batch_first=True,
        norm_first=True,
    )


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


def _resize_positions(positions: Tensor, grid: Sequence[int]) -> Tensor:
    """Positions ``(1, N, C)`` of a square grid on another grid."""
    side = math.isqrt(positions.shape[1])
    if not torch.jit.is_tracing() and tuple(grid) == (side, side):
        return positions
    squares = positions.transpose(1, 2).unflatten(2, (side, side))
    return interpolate(squares, size=grid, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
