# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers of transformers' CLIPSeg that train faster on CPUs; everywhere else they are what transformers made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pixel_shuffle
from transformers import CLIPSegForImageSegmentation
from transformers.models.clipseg.modeling_clipseg import CLIPSegAttention, CLIPSegMLP

from monai_vlsm.kernels import FrozenAttention, FrozenSiLUMLP, NarrowMLP

__all__ = ["exchange_layers"]

_GELU = 1.702  # CLIP's GELU is h * sigmoid(1.702 h), and so silu(1.702 h) / 1.702


def exchange_layers(base: CLIPSegForImageSegmentation) -> None:
    """Put the layers of this file in the place of transformers', around the same weights under the same names."""
    towers: list[Any] = [base.clip.vision_model, base.clip.text_model]
    for layer in (layer for tower in towers for layer in tower.encoder.layers):
        layer.self_attn = _around(EncoderAttention, layer.self_attn)
        layer.mlp = _around(EncoderMLP, layer.mlp)
    decoder: Any = base.decoder
    for layer in decoder.layers:
        layer.mlp = _around(DecoderMLP, layer.mlp)
    upsampling = decoder.transposed_convolution
    if isinstance(upsampling, nn.Sequential):
        for index, module in enumerate(upsampling):
            if isinstance(module, nn.ConvTranspose2d):
                upsampling[index] = _upsampling(module)
    else:
        decoder.transposed_convolution = _upsampling(upsampling)


class EncoderAttention(CLIPSegAttention):
    """Self-attention; frozen, on a CPU and in bfloat16 it trains through `monai_vlsm.kernels.FrozenAttention`.

    In float32 one product for queries, keys and values was measured to be no faster than three.
    """

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        """States ``(B, N, C)`` to the same shape, and attention weights where the implementation returns them."""
        projections = (self.q_proj, self.k_proj, self.v_proj)
        dtype = _autocast_type(hidden_states)
        drops = self.training and bool(self.dropout)
        trains = _trains_through(hidden_states, *projections, self.out_proj)
        if dtype is None or attention_mask is not None or drops or not trains:
            return super().forward(hidden_states, attention_mask, **kwargs)
        weight, bias = _joined(projections, self.scale, dtype)
        causal = bool(kwargs.get("is_causal", self.is_causal))
        attended = FrozenAttention.apply(hidden_states.to(dtype), weight, bias, self.num_heads, causal)
        return linear(attended, *_cast(self.out_proj, dtype)), None


class EncoderMLP(CLIPSegMLP):
    """CLIP's MLP; frozen and on a CPU it trains through `monai_vlsm.kernels.FrozenSiLUMLP`."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """States ``(B, N, C)`` to the same shape."""
        if self.config.hidden_act != "quick_gelu" or not _trains_through(hidden_states, self.fc1, self.fc2):
            return super().forward(hidden_states)
        dtype = _autocast_type(hidden_states)
        if dtype is None:
            weights = [part for layer in (self.fc1, self.fc2) for part in (layer.weight, layer.bias)]
            return cast(Tensor, FrozenSiLUMLP.apply(hidden_states, *weights, _GELU))
        weights = [*_cast(self.fc1, dtype, _GELU, _GELU), *_cast(self.fc2, dtype, 1 / _GELU)]
        return cast(Tensor, FrozenSiLUMLP.apply(hidden_states.to(dtype), *weights, 1.0))


class DecoderMLP(CLIPSegMLP):
    """MLP of the decoder, by `monai_vlsm.kernels.NarrowMLP` on a CPU."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """States ``(B, N, C)`` to the same shape."""
        if self.config.hidden_act != "relu" or not _is_plain_float32(hidden_states):
            return super().forward(hidden_states)
        return cast(
            Tensor,
            NarrowMLP.apply(hidden_states, self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias),
        )


class Upsampling(nn.ConvTranspose2d):
    """Transposed convolution whose windows do not overlap, on a CPU as a product and a shuffle of pixels.

    The same numbers, as Shi et al. (CVPR 2016) show for their sub-pixel convolution.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """``(B, C, H, W)`` to ``(B, O, S H, S W)`` for a stride of S."""
        if output_size is not None or not _is_plain_float32(input):
            return super().forward(input, output_size)
        weight = self.weight.flatten(1).t()[:, :, None, None]
        bias = None if self.bias is None else self.bias.repeat_interleave(self.stride[0] ** 2)
        return pixel_shuffle(conv2d(input, weight, bias), self.stride[0])


def _around(kind: type[Any], inner: Any) -> Any:
    """A layer of ``kind`` with the children of ``inner``."""
    with torch.device("meta"):
        layer = kind(inner.config)
    for name, child in inner.named_children():
        setattr(layer, name, child)
    return layer.train(inner.training)


def _upsampling(inner: nn.ConvTranspose2d) -> nn.ConvTranspose2d:
    """`Upsampling` with the weights of ``inner``, or ``inner`` where its windows overlap."""
    stride, bias = inner.stride[0], inner.bias is not None
    layer = Upsampling(inner.in_channels, inner.out_channels, stride, stride, bias=bias, device="meta")
    if layer.extra_repr() != inner.extra_repr():
        return inner
    layer.weight, layer.bias = inner.weight, inner.bias
    return layer.train(inner.training)


def _autocast_type(states: Tensor) -> torch.dtype | None:
    """The type that autocast on this device has chosen, None without autocast."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _runs_here(states: Tensor) -> bool:
    """Whether operators run one by one on a CPU, and not through a graph that others read."""
    recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
    return states.device.type == "cpu" and not recorded


def _is_plain_float32(states: Tensor) -> bool:
    return _runs_here(states) and states.dtype == torch.float32 and _autocast_type(states) is None


def _trains_through(states: Tensor, *layers: nn.Linear) -> bool:
    """Whether gradients go through frozen layers to what comes before them.

    Without them the usual kernels are as fast and nothing needs to be kept.
    """
    frozen = not any(layer.weight.requires_grad or layer.bias.requires_grad for layer in layers)
    return frozen and states.requires_grad and torch.is_grad_enabled() and _runs_here(states)


def _joined(projections: Sequence[nn.Linear], scale: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias of all projections as one, the first of them scaled, in a type."""
    first, *others = projections
    parts = [_cast(first, dtype, scale, scale), *(_cast(layer, dtype) for layer in others)]
    return torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])


def _cast(layer: nn.Linear, dtype: torch.dtype, factor: float = 1.0, bias_factor: float = 1.0) -> tuple[Tensor, Tensor]:
    """Weight and bias of a frozen layer, each times a factor, in another type.

    Made anew in each step from the weights as they are, as autocast does it: what was kept would be wrong after
    somebody wrote to ``weight.data``, which torch does not count as a change.
    """
    return _times(layer.weight, factor).to(dtype), _times(layer.bias, bias_factor).to(dtype)


def _times(weight: Tensor, factor: float) -> Tensor:
    return weight.detach() if factor == 1.0 else weight.detach() * factor
