# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The prompts that go beside an exported network, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.counts import counted
from monai_vlsm.export.forms import EmbeddingForm, TokensForm, text_tensors
from monai_vlsm.export.problems import ExportError
from monai_vlsm.networks import PromptedNet, TargetUNet
from monai_vlsm.transforms import TokenizePrompt

__all__ = ["FORMS", "NamedPrompts", "arrange", "choose_prompts"]

FORMS = ("embedding", "tokens")


@dataclass(frozen=True)
class NamedPrompts:
    """K prompts.

    Args:
        texts: the prompts.
        names: what to call each, for a program that shows or saves masks.
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]


def choose_prompts(
    network: PromptedNet, form: str, prompts: Sequence[str] | None, names: Sequence[str] | None
) -> NamedPrompts:
    """Settle which prompts go beside the file.

    Args:
        network: the network; a U-Net knows its targets, others may have a default prompt.
        form: one of `FORMS`.
        prompts: what the user gave, or None.
        names: a name for each, or None to call each by its text.

    Raises:
        ExportError: when there is none for the embedding form, when one is empty or comes twice, or when names do not
            fit.
    """
    if any(not text.strip() for text in (*(prompts or ()), *(names or ()))):
        raise ExportError('a prompt or a name is empty; give words, as in --prompts "polyp", or leave it out')
    targets = network.targets if isinstance(network, TargetUNet) else []
    texts = tuple(prompts or targets or [network.default_prompt])
    if form == "embedding" and texts == ("",) and not prompts:
        raise ExportError(
            "the embedding form has no text encoder, so it knows only the prompts that are exported with it, and this "
            'model has no default prompt: name them, as in --prompts "polyp" "one small polyp", or take --form tokens'
        )
    labels = tuple(names or texts)
    if len(labels) != len(texts):
        raise ExportError(
            f"expected one name for each prompt, got {counted(len(labels), 'name')} for {counted(len(texts), 'prompt')}"
        )
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ExportError(f"each prompt needs a name of its own, twice came: {', '.join(map(repr, twice))}")
    return NamedPrompts(texts, labels)


def arrange(network: PromptedNet, form: str, prompts: Sequence[str]) -> tuple[nn.Module, Tensor, dict[str, Tensor]]:
    """The module to export, and the numbers of the prompts.

    Args:
        network: the network, in evaluation mode.
        form: one of `FORMS`.
        prompts: K texts.

    Returns:
        The module, the token ids ``(K, L)`` with all L positions, and for each input besides the image a tensor
        ``(K, ...)``.

    Raises:
        ExportError: when the network cannot be exported in this form.
        UnknownTargetError: when a prompt names none of the targets of a U-Net.
    """
    ids, _ = TokenizePrompt(load_tokenizer(network.backbone))(list(prompts), "--prompts")
    with torch.no_grad():
        features = network.encode_text(ids)  # without a mask: it says no more than the ids
    if form == "embedding":
        return EmbeddingForm(network, features), ids, text_tensors(features)
    if isinstance(network, TargetUNet) and network.targets:
        raise ExportError(
            "a U-Net knows its targets only, and a file with token ids could not refuse other prompts: it would answer "
            "them with the wrong mask. Take --form embedding; there each target is a number"
        )
    return TokensForm(network), ids, {"input_ids": ids}
