# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Prompts that occur more than once and are encoded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from monai_vlsm.caches.store import CacheSettingError
from monai_vlsm.host import send
from monai_vlsm.networks import PromptedNet
from monai_vlsm.networks.prompt_rows import without_padding

__all__ = ["DistinctPrompts", "EncodedPrompts", "PromptCache", "inference_prompts", "prompt_encoding"]


def distinct(tokens: dict[str, Tensor], images: int) -> tuple[dict[str, Tensor], Tensor]:
    """The different prompts among those of a batch.

    Args:
        tokens: ``input_ids`` and perhaps ``attention_mask``, ``(B, L)``, ``(B, K, L)``, or with 1 in the place of B.
        images: B.

    Returns:
        The tokens as ``(U, L)``, and for each prompt of each image its row there, ``(B, K)``.
    """
    ids = tokens["input_ids"]
    rows = ids if ids.ndim == 3 else ids[:, None]
    unique, index = torch.unique(rows.flatten(0, 1), dim=0, return_inverse=True)
    kept = {"input_ids": unique}
    if "attention_mask" in tokens:
        mask = tokens["attention_mask"].reshape(-1, ids.shape[-1])
        kept["attention_mask"] = torch.empty_like(unique).index_copy_(0, index, mask.to(unique.dtype))
    return kept, index.view(rows.shape[0], rows.shape[1]).expand(images, -1)


class DistinctPrompts:
    """Encodes equal prompts of a batch once; for `monai_vlsm.inferers.PromptInferer`. Gradients flow.

    The numbers are the same but for rounding: how a matrix product rounds may depend on its size.
    """

    def __call__(self, tokens: dict[str, Tensor], images: int) -> dict[str, Any]:
        """Arguments of `PromptedNet.forward_rows` for the tokens of a batch of ``images`` images."""
        kept, index = distinct(tokens, images)
        return {**kept, "prompt_index": index}


class PromptCache:
    """Encodes each prompt once for good, with a frozen text encoder; for `monai_vlsm.inferers.PromptInferer`.

    Kept is what comes before all that trains, in memory, where the network is. Each prompt is encoded alone, so its
    numbers do not depend on when and with which others it came. Make a new cache after loading other weights into the
    text encoder.

    Args:
        network: with a frozen text encoder; or its DistributedDataParallel wrapper.

    Raises:
        NotFrozenError: when the network's text encoder trains.
    """

    def __init__(self, network: nn.Module) -> None:
        inner: Any = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
        inner.require_frozen("text")
        self.network: PromptedNet = inner
        self._rows: dict[tuple[Any, ...], list[Tensor]] = {}

    def __len__(self) -> int:
        """How many prompts are kept."""
        return len(self._rows)

    def __call__(self, tokens: dict[str, Tensor], images: int) -> dict[str, Any]:
        """Arguments of `PromptedNet.forward_rows` for the tokens of a batch of ``images`` images."""
        kept, index = distinct(tokens, images)
        device = next(self.network.parameters()).device
        lengths = kept["attention_mask"].sum(-1).tolist() if "attention_mask" in kept else None
        ids = kept["input_ids"].tolist()
        texts = [tuple(row if lengths is None else row[: lengths[i]]) for i, row in enumerate(ids)]
        rows = [self._encoded(text, device) for text in texts]
        return {"frozen_text": [torch.cat(parts) for parts in zip(*rows, strict=True)], "prompt_index": index}

    @torch.no_grad()
    def _encoded(self, text: tuple[int, ...], device: torch.device) -> list[Tensor]:
        precision = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
        key = (device, precision, text)
        if key not in self._rows:
            self._rows[key] = self.network.encode_frozen_text(torch.tensor([text], device=device))
        return self._rows[key]


class EncodedPrompts:
    """Encodes the prompts of a batch only if they are others than before; for inference, where all weights stay.

    So the texts of a volume are encoded once, whatever the number of its slices. Kept is the last result.

    Args:
        network: whose weights do not change from the first call on.
    """

    def __init__(self, network: PromptedNet) -> None:
        self.network = network
        self._last: tuple[Any, Any] = None, None  # replaced as one, so that several threads may call this

    @torch.no_grad()
    def __call__(self, tokens: dict[str, Tensor], images: int) -> dict[str, Any]:
        """Arguments of `PromptedNet.forward_rows` for the tokens of a batch of ``images`` images."""
        kept, index = distinct(tokens, images)
        ids, mask = kept["input_ids"], kept.get("attention_mask")
        device = next(self.network.parameters()).device
        precision = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
        key = device, precision, ids.tolist(), None if mask is None else mask.tolist()
        last = self._last
        if key != last[0]:
            ids, mask = without_padding(ids, mask) if self.network.cuts_padding else (ids, mask)
            ends = None if mask is None else send(mask, device)
            self._last = last = key, self.network.encode_text(send(ids, device), ends)
        return {"encoded_text": last[1], "prompt_index": index}


def inference_prompts(how: str, network: PromptedNet) -> Callable[[dict[str, Tensor], int], dict[str, Any]] | None:
    """The switch ``text_cache`` of inference: as `prompt_encoding`, but ``"run"`` suits networks of every kind.

    Raises:
        CacheSettingError: another word.
    """
    return EncodedPrompts(network) if how == "run" else prompt_encoding(how, network)


def prompt_encoding(how: str, network: nn.Module) -> Callable[[dict[str, Tensor], int], dict[str, Any]] | None:
    """What `monai_vlsm.inferers.PromptInferer` does with prompts: the switch ``text_cache`` of the bundles.

    Args:
        how: ``"off"`` encodes each prompt of each batch, ``"batch"`` equal ones of a batch once, ``"run"`` each
            prompt once for good.
        network: see `PromptCache`.

    Raises:
        CacheSettingError: another word.
        NotFrozenError: ``"run"`` with a text encoder that trains.
    """
    if how not in ("off", "batch", "run"):
        raise CacheSettingError(f"text_cache must be 'off', 'batch' or 'run', got {how!r}")
    if how == "off":
        return None
    return DistinctPrompts() if how == "batch" else PromptCache(network)
