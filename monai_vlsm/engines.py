# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What MONAI's engines are told so that a GPU is not kept waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor

from monai_vlsm.data import TOKEN_KEYS
from monai_vlsm.inferers import FEATURES_KEY

__all__ = ["PromptBatch", "set_gpu"]

Prepared = tuple[Tensor, Tensor | None, tuple[Any, ...], dict[str, Tensor]]


class PromptBatch:
    """What of a batch goes to the network, a ``prepare_batch`` of MONAI's engines.

    Images and masks go to the device. Tokens stay on the CPU, where `monai_vlsm.inferers.PromptInferer` asks how long
    they are before it sends them after: asking a GPU would mean to wait for it.

    Args:
        meta: False gives plain tensors, which each operation takes less time with; for training, where nothing is
            inverted. Features of a frozen encoder keep the meta that says what they are.
    """

    def __init__(self, meta: bool = True) -> None:
        self.meta = meta

    def __call__(
        self, batch: Mapping[str, Any], device: torch.device | None = None, non_blocking: bool = False, **kwargs: Any
    ) -> Prepared:
        """Image, mask (None without one), no arguments, and the tokens.

        Args:
            batch: what a data loader gave, with ``image``, and ``label`` and tokens if there are any.
            device: where image and mask go.
            non_blocking: True does not wait for them; they must be in pinned memory.
            kwargs: of ``torch.Tensor.to``.
        """
        image, label = (
            None if batch.get(key) is None else self._plain(batch[key]).to(device, non_blocking=non_blocking, **kwargs)
            for key in ("image", "label")
        )
        return image, label, (), {key: batch[key] for key in TOKEN_KEYS if key in batch}

    def _plain(self, value: Tensor) -> Tensor:
        if self.meta or not isinstance(value, MetaTensor) or FEATURES_KEY in value.meta:
            return value
        return value.as_tensor()


def set_gpu(device: torch.device | str, deterministic: bool = True, tf32: bool = True) -> None:
    """Set how the GPUs of this process calculate; nothing happens where the device is none.

    Args:
        device: on which the network runs.
        deterministic: False lets cuDNN try its kernels and take the quickest, which need not give the same bits twice.
        tf32: True lets products of float32, those of CLIPSeg's decoder, keep 10 bits of each factor instead of 23.
    """
    if torch.device(device).type != "cuda":
        return
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, not deterministic
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
