# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A plain U-Net behind the forward of the prompted networks, to compare them with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import UNet
from torch import Tensor

from monai_vlsm.backbones import load_architecture, load_tokenizer
from monai_vlsm.data.negatives import EMPTY_STYLE
from monai_vlsm.networks.faults import UnknownTargetError
from monai_vlsm.networks.precision import at_least_float32
from monai_vlsm.networks.prompted import PromptedNet

__all__ = ["TargetUNet"]

_PROMPTS = ("prompt", "absent")  # keys of a record


class TargetUNet(PromptedNet):
    """MONAI's U-Net with one output channel for each target; the prompt picks the channel and does nothing else.

    A prompt means the target whose words it contains, the longest of them if there are several: "one small left
    hemisphere" means "left hemisphere". It is the baseline without language that a prompted network has to beat.

    Args:
        backbone: ``"unet"``, ``"unet-mini"``; the sizes stand in ``monai_vlsm/backbones/<name>.json``.
        targets: class words of the targets, in the order of the channels. None: one target, whatever the prompt says.
        image_size: side of the square input in pixels; None takes that of ``backbone``.
        default_prompt: the text used when ``forward`` gets no tokens.

    Raises:
        BackboneNotFoundError: when the backbone is unknown.
        ValueError: when ``image_size`` does not suit the strides, or a target is listed twice.
    """

    def __init__(
        self,
        backbone: str | Path = "unet",
        targets: Sequence[str] | None = None,
        image_size: int | None = None,
        default_prompt: str = "",
    ) -> None:
        sizes = load_architecture(backbone, "unet")
        super().__init__(backbone, image_size, default_prompt, stride=2 ** len(sizes["strides"]))
        self.targets = list(targets or [])
        if len(set(self.targets)) != len(self.targets):
            raise ValueError(f"each target must be listed once, got {self.targets}")
        self._target_ids = [load_tokenizer(backbone)(target).input_ids[1:-1] for target in self.targets]
        self.unet = UNet(
            spatial_dims=2,
            in_channels=3,
            out_channels=max(len(self.targets), 1),
            channels=sizes["channels"],
            strides=sizes["strides"],
            num_res_units=sizes["residual_units"],
        )
        self.remember_trained()

    def encode_image(self, image: Tensor) -> Tensor:
        """First stage, which is the whole U-Net: logits ``(B, T, H, W)`` of all T targets."""
        logits: Tensor = self.unet(image)
        return at_least_float32(logits)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Second stage: the channel that each prompt means.

        Args:
            input_ids: ``(B*K, L)``.
            attention_mask: not needed.

        Returns:
            Channel numbers ``(B*K,)``.

        Raises:
            UnknownTargetError: (a ValueError) when a prompt contains none of the targets.
        """
        if not self.targets:
            return torch.zeros_like(input_ids[:, 0])
        matches = torch.stack([_contains(input_ids, ids) * len(ids) for ids in self._target_ids], dim=1)
        if not (torch.jit.is_tracing() or torch.compiler.is_compiling()):
            self._check_known(input_ids, matches)
        return matches.argmax(1)

    def decode(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """Third stage: the channels that the prompts mean, ``(B, K, H, W)``."""
        images = image_features.shape[0]
        channels = text_features.view(images, -1, 1, 1).expand(-1, -1, *image_features.shape[-2:])
        return image_features.gather(1, channels)

    def require_prompts(self, *datalists: Sequence[Mapping[str, Any]]) -> None:
        """Refuse records whose prompts name no target.

        Args:
            datalists: records as from :func:`monai_vlsm.data.load_datalist` or :func:`monai_vlsm.data.probe_records`.

        Raises:
            UnknownTargetError: as when it is asked.
        """
        if not self.targets:
            return
        tokenizer = load_tokenizer(self.backbone)
        given = (record[key] for records in datalists for record in records for key in _PROMPTS if key in record)
        for text in dict.fromkeys(text for one in given for text in _asked(one)):
            self.encode_text(torch.tensor([tokenizer(text, truncation=True).input_ids]))

    def settings(self) -> dict[str, Any]:
        """What ``model.pt`` records about the network that it belongs to, as plain values."""
        return {**super().settings(), "targets": self.targets}

    def _check_known(self, input_ids: Tensor, matches: Tensor) -> None:
        unknown = (matches == 0).all(1).nonzero()
        if len(unknown):
            text = load_tokenizer(self.backbone).decode(input_ids[int(unknown[0])], skip_special_tokens=True)
            raise UnknownTargetError(
                f"a U-Net has one channel for each of its targets ({', '.join(self.targets)}), and the prompt "
                f"{text!r} names none of them; use one of these words, or a network that reads prompts"
            )


def _asked(prompt: Any) -> Iterator[str]:
    """The texts of a record's prompt, which may be a table of styles; the empty style is not drawn."""
    if isinstance(prompt, str):
        yield prompt
    elif isinstance(prompt, Mapping):
        yield from _asked([texts for style, texts in prompt.items() if style != EMPTY_STYLE])
    else:
        for one in prompt:
            yield from _asked(one)


def _contains(rows: Tensor, part: Sequence[int]) -> Tensor:
    """Whether each row ``(N, L)`` contains ``part`` without a gap, as integers ``(N,)``."""
    if rows.shape[1] < len(part):
        return torch.zeros_like(rows[:, 0])
    windows = rows.unfold(1, len(part), 1)
    wanted = torch.tensor(part, device=rows.device)
    return (windows == wanted).all(-1).any(-1).to(rows.dtype)
