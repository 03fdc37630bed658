# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What MONAI's engines are told so that a GPU is not kept waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from monai.data import MetaTensor
from monai.engines import IterationEvents
from torch import Tensor
from torch.nn.functional import pad

from monai_vlsm.data import IMAGE_ROWS, TOKEN_KEYS, distinct_rows
from monai_vlsm.host import send
from monai_vlsm.inferers import FEATURES_KEY

__all__ = ["PromptBatch", "evaluate_items", "set_gpu"]

Prepared = tuple[Tensor | None, Tensor | None, tuple[Any, ...], dict[str, Tensor]]


class PromptBatch:
    """What of a batch goes to the network, a ``prepare_batch`` of MONAI's engines.

    Images and masks go to the device. Tokens stay on the CPU, where `monai_vlsm.inferers.PromptInferer` asks how long
    they are before it sends them after: asking a GPU would mean to wait for it. So does what a loader says of images
    that are the same, for an inferer that asks for it (``by_image``).

    Args:
        meta: False gives plain tensors, which each operation takes less time with; for training, where nothing is
            inverted. Features of a frozen encoder keep the meta that says what they are.
        inferer: that of the engine. Another one than a `monai_vlsm.inferers.PromptInferer` with ``by_image``, or None,
            gets nothing but the tokens.
    """

    def __init__(self, meta: bool = True, inferer: Any = None) -> None:
        self.meta = meta
        self._keys = (*TOKEN_KEYS, IMAGE_ROWS) if _takes_rows(inferer) else TOKEN_KEYS

    def __call__(
        self, batch: Mapping[str, Any], device: torch.device | None = None, non_blocking: bool = False, **kwargs: Any
    ) -> Prepared:
        """Image, mask (None without one), no arguments, and the tokens with what else stays on the CPU.

        Args:
            batch: what a data loader gave, with ``image``, and ``label`` and tokens if there are any.
            device: where image and mask go.
            non_blocking: True does not wait for them; they must be in pinned memory.
            kwargs: of ``torch.Tensor.to``.
        """
        image, label = (
            None if batch.get(key) is None else self._kept(batch[key]).to(device, non_blocking=non_blocking, **kwargs)
            for key in ("image", "label")
        )
        return image, label, (), {key: batch[key] for key in self._keys if key in batch}

    def _kept(self, value: Tensor) -> Tensor:
        return value if self.meta or FEATURES_KEY in getattr(value, "meta", {}) else _plain(value)


def evaluate_items(engine: Any, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """An iteration of MONAI's evaluator on a list of items, an ``iteration_update``: one call of the network for all.

    Images are batched; what has the size of the original, as masks do, is not, so images of any sizes go together, and
    nothing is collated and taken apart again. Predictions come to the CPU together, where the scores are computed. Give
    the engine ``decollate=False`` and an `monai_vlsm.data.ItemLoader`.

    Args:
        engine: a ``SupervisedEvaluator``.
        items: with ``image``, ``label`` and tokens of as many prompts as it has masks.

    Returns:
        For each item its image and label, and ``pred``, logits ``(K, S, S)`` with the meta of the image.
    """
    images = [item["image"] for item in items]
    stacked = send(torch.stack([_plain(one) for one in images]), engine.state.device)
    if FEATURES_KEY in getattr(images[0], "meta", {}):
        stacked = MetaTensor(stacked, meta={FEATURES_KEY: [one.meta[FEATURES_KEY] for one in images]})
    rows = {IMAGE_ROWS: distinct_rows(images)} if _takes_rows(engine.inferer) else {}
    with engine.mode(engine.network), torch.autocast("cuda", **engine.amp_kwargs) if engine.amp else nullcontext():
        logits = _plain(engine.inferer(stacked, engine.network, **_tokens(items), **rows)).cpu()
    engine.state.batch = list(items)
    engine.state.output = [
        {
            "image": item["image"],
            "label": _plain(item["label"]),
            "pred": _with_meta(own[: _prompts(item)], item["image"]),
        }
        for item, own in zip(items, logits, strict=True)
    ]
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)
    output: list[dict[str, Any]] = engine.state.output
    return output


def _takes_rows(inferer: Any) -> bool:
    return getattr(inferer, "by_image", False)


def _plain(value: Tensor) -> Tensor:
    return value.as_tensor() if isinstance(value, MetaTensor) else value


def _with_meta(values: Tensor, like: Tensor) -> Tensor:
    return MetaTensor(values).copy_meta_from(like) if isinstance(like, MetaTensor) else values


def _tokens(items: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Tokens of all items, with prompts that are none where an item has fewer (`monai_vlsm.data.collate_prompts`)."""
    most = max(map(_prompts, items))
    found: dict[str, Tensor] = {}
    for key in (key for key in TOKEN_KEYS if key in items[0]):
        own = [item[key] for item in items]
        several = [one if one.ndim == 1 else pad(one, (0, 0, 0, most - len(one))) for one in own]
        found[key] = torch.stack(several)
    return found


def _prompts(item: Mapping[str, Any]) -> int:
    ids = item.get("input_ids")
    return 1 if ids is None or ids.ndim == 1 else len(ids)


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
