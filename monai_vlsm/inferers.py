# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Inference with a text-prompted network: each image with its own tokens, volumes slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from monai_vlsm.data import without_repeats
from monai_vlsm.data.volumes import EncodedSlices, in_channels, with_neighbours
from monai_vlsm.host import on_host, send
from monai_vlsm.precision import cpu_has_bf16

__all__ = ["FEATURES_KEY", "NOTHING", "TOKENS_KEY", "PromptInferer", "call_rows"]

FEATURES_KEY = "features"
"""Entry of an image's meta which says that the tensor holds what a frozen encoder made of the image."""
TOKENS_KEY = "tokens"
"""Entry of an image's meta with the tokens of a request (`monai_vlsm.transforms.RequestTokensd`)."""

NOTHING = -100.0
"""Logit of all pixels where an image has no prompt: a probability of 0, and finite."""

Tokens = dict[str, Tensor]
Network = Callable[..., Tensor]
Prompts = Callable[[Tokens, int], dict[str, Any]]


def call_rows(network: Any, image: Tensor, **rows: Any) -> Tensor:
    """Call ``network.forward_rows`` so that what ``network(...)`` does beside ``forward`` is done too.

    DistributedDataParallel shares the gradients of what its call runs, and ``network.compile()`` compiles that: with
    these, `forward_rows` takes the place of ``forward`` for one call. Both are for training, which has one thread.

    Args:
        network: a `monai_vlsm.networks.PromptedNet`, or its DistributedDataParallel wrapper.
        image: see `monai_vlsm.networks.PromptedNet.forward_rows`.
        rows: its further arguments.
    """
    inner = _inner(network)
    if inner is network and getattr(network, "_compiled_call_impl", None) is None:
        logits: Tensor = inner.forward_rows(image, **rows)
        return logits
    inner.forward = inner.forward_rows
    try:
        logits = network(image, **rows)
    finally:
        del inner.forward
    return logits


def own_tokens(tokens: Tokens, index: int, batch: int) -> Tokens:
    """The tokens of image ``index`` in a batch, as ``(1, [K,] L)``; tokens for one image serve all.

    Raises:
        ValueError: tokens for another number of images.
    """
    for key, value in tokens.items():
        if value.shape[0] not in (1, batch):
            raise ValueError(f"{key} must be (1, ...) or ({batch}, ...) for {batch} images, got {tuple(value.shape)}")
    return {key: value if value.shape[0] == 1 else value[index : index + 1] for key, value in tokens.items()}


def for_slices(tokens: Tokens, slices: int) -> Tokens:
    """``(1, [K,] L)`` repeated for a number of slices, without copying."""
    return {key: value.expand(slices, *value.shape[1:]) for key, value in tokens.items()}


def with_meta_of(inputs: Tensor, logits: Tensor) -> Tensor:
    """``logits`` as a MetaTensor with the meta and operations of ``inputs`` (``Invertd`` needs them), if it is one."""
    if not isinstance(inputs, MetaTensor):
        return logits
    return MetaTensor(logits).copy_meta_from(inputs)


def asked_prompts(tokens: Tokens, images: int) -> Tensor | None:
    """Which of the K prompts of each image are prompts, ``(B, K)`` bool; None where all are.

    Where an image has fewer than K, the rest have an attention mask of zeros (`monai_vlsm.data.collate_prompts`).
    """
    mask = tokens.get("attention_mask")
    if mask is None or mask.ndim != 3:
        return None
    asked = mask.any(-1).expand(images, -1)
    return None if bool(asked.all()) else asked


def cut_tokens(tokens: Tokens, network: Any) -> Tokens:
    """Tokens up to the longest text, if they are on the CPU and the network does not look at what follows a text.

    A compiled network gets them uncut: it would be compiled anew for each length.
    """
    mask = tokens.get("attention_mask")
    inner = _inner(network)
    compiled = getattr(inner, "_compiled_call_impl", None) or getattr(network, "_compiled_call_impl", None)
    if mask is None or compiled or not getattr(inner, "cuts_padding", False) or not on_host(mask):
        return tokens
    longest = int(mask.sum(-1).max())
    return {key: value[..., :longest] for key, value in tokens.items()}


def in_places(logits: Tensor, asked: Tensor) -> Tensor:
    """Logits ``(R, S, S)`` of the R places of ``asked``, ``(B, K)`` bool, as ``(B, K, S, S)``; elsewhere `NOTHING`."""
    filled = logits.new_full((*asked.shape, *logits.shape[1:]), NOTHING)
    return filled.index_put([send(index, logits.device) for index in asked.nonzero(as_tuple=True)], logits)


class PromptInferer(Inferer):
    """Call ``network(image, input_ids=..., attention_mask=...)`` on images, and on volumes slice by slice.

    MONAI's ``SlidingWindowInferer`` mixes the prompts of a batch and its ``SliceInferer`` drops them; this one binds
    each image to its own tokens. Without tokens the network uses its default prompt. Those of a request of MONAI Label,
    which passes nothing but the image, come in the image's meta (`monai_vlsm.transforms.RequestTokensd`).

    Images of a batch may have different numbers of prompts: an image is encoded once for its own, and what pads the
    tokens (an attention mask of zeros) is neither encoded nor decoded; its logits are `NOTHING`.

    A network that was trained with the neighbours of a slice (``network.context``) gets those of a volume; where slices
    attend to one another (``network.slices``), each is encoded once, unless gradients are wanted.

    Tokens may stay on the CPU: what depends on them is decided there, and then they are sent after the images, so that
    nobody waits for a GPU (`monai_vlsm.engines.PromptBatch`).

    MONAI's engines run mixed precision on CUDA only (``amp=True`` is float32 on a CPU), so the bfloat16 autocast for
    CPUs is done here. Gradients flow.

    Args:
        cpu_autocast: bfloat16 on a CPU: ``"auto"`` where the CPU has the instructions, True always, False never.
        slice_batch: how many slices of a volume go through the network at a time.
        prompts: makes the arguments of ``forward_rows`` from tokens and the number of images, such as
            `monai_vlsm.caches.DistinctPrompts`; None passes the tokens as they are.
        by_image: True encodes an image once that comes several times in a row in a batch, as
            `monai_vlsm.data.ImageSampler` lets it. The numbers are the same but for rounding, and for what a network
            computes over a batch. Which images are the same is in the batches of a `monai_vlsm.data.SeededLoader`, and
            `monai_vlsm.engines.PromptBatch`, given this inferer, hands it on (``image_index``); who does not waits for
            a GPU once in each step, where they are compared then.
        keep_slices: True knows the last slices of a call in the next one, for volumes that come in several batches;
            only for a network that is not trained meanwhile.

    Raises:
        ValueError: another ``cpu_autocast``, or a ``slice_batch`` below 1.
    """

    def __init__(
        self,
        cpu_autocast: bool | str = "auto",
        slice_batch: int = 8,
        prompts: Prompts | None = None,
        by_image: bool = False,
        keep_slices: bool = False,
    ) -> None:
        super().__init__()
        if cpu_autocast not in ("auto", True, False):
            raise ValueError(f"cpu_autocast must be 'auto', True or False, got {cpu_autocast!r}")
        if slice_batch < 1:
            raise ValueError(f"slice_batch must be at least 1, got {slice_batch}")
        self.cpu_autocast = cpu_has_bf16() if cpu_autocast == "auto" else bool(cpu_autocast)
        self.slice_batch = slice_batch
        self.prompts = prompts
        self.by_image = by_image
        self.slices = EncodedSlices(keep_slices)

    def __call__(
        self,
        inputs: Tensor,
        network: Network,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_index: Tensor | None = None,
    ) -> Tensor:
        """Predict.

        Args:
            inputs: images ``(B, 3, S, S)``, volumes ``(B, 3, S, S, D)``, slices with their neighbours ``(B, 3 n, S,
                S)``, or the features ``(B, F, ...)`` that a `monai_vlsm.caches.FeatureDataset` gives in place of
                images; their meta says so.
            network: called with plain tensors.
            input_ids: tokens of the prompts, ``(B, L)``, ``(B, K, L)`` or the same for one image that serves all.
            attention_mask: the same shape.
            image_index: ``(B,)`` on the CPU, which images are the same (`monai_vlsm.data.distinct_rows`), for
                ``by_image``; None compares them.

        Returns:
            logits ``(B, K, S, S)`` or ``(B, K, S, S, D)``, float32 (a network in float64 keeps
            that); with the meta of ``inputs`` if it has any.

        Raises:
            ValueError: ``inputs`` of another rank, or tokens for another number of images.
        """
        if inputs.ndim not in (4, 5):
            raise ValueError(f"inputs must be (B, 3, S, S) or (B, 3, S, S, D), got shape {tuple(inputs.shape)}")
        image = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        meta = inputs.meta if isinstance(inputs, MetaTensor) else {}
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        found = meta.get(TOKENS_KEY, {}) if input_ids is None else given
        tokens = cut_tokens({key: value for key, value in found.items() if value is not None}, network)
        bf16 = self.cpu_autocast and image.device.type == "cpu"
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            if image.ndim == 5 and FEATURES_KEY not in meta:
                logits = self._volumes(image, network, tokens)
            else:
                logits = self._images(image, network, tokens, image_index, frozen=FEATURES_KEY in meta)
        return with_meta_of(inputs, logits.to(torch.promote_types(logits.dtype, torch.float32)))

    def _images(
        self, image: Tensor, network: Network, tokens: Tokens, same: Any = None, frozen: bool = False
    ) -> Tensor:
        """One call for the whole batch, ``(B, 3, S, S)``, or ``(B, F, ...)`` where ``frozen``."""
        rows: dict[str, Any] = {"frozen_image": True} if frozen else {}
        count = image.shape[0]
        if self.by_image and count > 1 and not frozen:
            image, rows["image_index"] = without_repeats(image, same)
        if not frozen and image.shape[1] > 3 and not torch.is_grad_enabled():
            image, rows["frozen_image"] = self._encoded(image, network), True
        asked = asked_prompts(tokens, count)
        if asked is None:
            return self._pairs(image, network, tokens, count, rows)
        own = send(asked.nonzero()[:, 0], image.device)
        rows["image_index"] = rows["image_index"][own] if "image_index" in rows else own
        tokens = {key: value.expand(count, -1, -1)[asked] for key, value in tokens.items()}
        return in_places(self._pairs(image, network, tokens, len(own), rows)[:, 0], asked)

    def _pairs(self, image: Tensor, network: Any, tokens: Tokens, count: int, rows: dict[str, Any]) -> Tensor:
        """One call for ``count`` rows of tokens; ``rows`` says which images they are about."""
        given = self.prompts(tokens, count) if self.prompts is not None and tokens else tokens
        texts = {key: send(value, image.device) if isinstance(value, Tensor) else value for key, value in given.items()}
        if not rows and given is tokens:
            return network(image, **texts)
        return call_rows(network, image, **texts, **rows)

    def _volumes(self, image: Tensor, network: Network, tokens: Tokens) -> Tensor:
        """Calls for a few slices at a time of each volume in ``(B, 3, S, S, D)``."""
        volumes = []
        for index, volume in enumerate(image):
            own = own_tokens(tokens, index, image.shape[0])
            chunks = volume.movedim(-1, 0).split(self.slice_batch)
            near = with_neighbours(chunks, getattr(_inner(network), "context", None) or 0)
            parts = (in_channels(one, attend=getattr(_inner(network), "slices", 1) > 1) for one in near)
            logits = [self._images(part, network, for_slices(own, part.shape[0])) for part in parts]
            volumes.append(torch.cat(logits).movedim(0, -1))
        return torch.stack(volumes)

    def _encoded(self, image: Tensor, network: Any) -> Tensor:
        """What ``encode_frozen_image`` makes of ``(B, 3 K, S, S)``, of each slice once."""
        inner = _inner(network)

        def encode(slices: Tensor) -> Tensor:
            encoded: Tensor = inner.encode_frozen_image(slices)  # (n, F, 1, N, C)
            return encoded[:, :, 0]

        return self.slices(image.unflatten(1, (-1, 3)), encode, network).transpose(1, 2)


def _inner(network: Any) -> Any:
    return network.module if isinstance(network, DistributedDataParallel) else network
