# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What MONAI's trainers and evaluators call on each batch."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatchExtraInput
from torch import Tensor

__all__ = ["PreparePromptBatch"]


class PreparePromptBatch(PrepareBatchExtraInput):
    """MONAI's ``PrepareBatchExtraInput`` for the tokens of prompts, without padding that no prompt of a batch needs.

    The padding is cut off where the batch comes from, on the CPU: a GPU would have to be waited for in each step to
    learn how long the longest prompt is.

    Args:
        input_ids: key of the token ids ``(B, [K,] L)``.
        attention_mask: key of their attention mask, of the same shape.
        cut_padding: False leaves the padding, for a network that looks at it (``CRISNet(mask_padding=False)``).
    """

    def __init__(
        self, input_ids: str = "input_ids", attention_mask: str = "attention_mask", cut_padding: bool = True
    ) -> None:
        super().__init__(extra_keys={"input_ids": input_ids, "attention_mask": attention_mask})
        self.input_ids = input_ids
        self.attention_mask = attention_mask
        self.cut_padding = cut_padding

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, tuple[Any, ...], dict[str, Any]]:
        """Image, label, no positional and two keyword arguments of the network, on the device.

        Args:
            batchdata: a batch, with both keys.
            device: where to; None leaves all where it is.
            non_blocking: as in ``torch.Tensor.to``.
            kwargs: further arguments of ``torch.Tensor.to``.
        """
        if self.cut_padding:
            longest = int(batchdata[self.attention_mask].sum(-1).max())
            cut = {key: batchdata[key][..., :longest] for key in (self.input_ids, self.attention_mask)}
            batchdata = {**batchdata, **cut}
        return super().__call__(batchdata, device, non_blocking, **kwargs)
