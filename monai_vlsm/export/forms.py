# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The two forms of an exported network, as modules around its stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from monai_vlsm.export.problems import ExportError
from monai_vlsm.networks import PromptedNet

__all__ = ["EmbeddingForm", "TokensForm", "text_tensors"]


class TokensForm(nn.Module):
    """Image and token ids to logits: the whole network.

    Args:
        network: the network, in evaluation mode.
    """

    def __init__(self, network: PromptedNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, input_ids: Tensor) -> Tensor:
        """Segment.

        Args:
            image: ``(B, 3, S, S)``.
            input_ids: ``(B, K, L)``, or ``(1, K, L)`` for the same K prompts on all images.

        Returns:
            Logits ``(B, K, S, S)``.
        """
        logits: Tensor = self.network(image, input_ids)
        return logits


class EmbeddingForm(nn.Module):
    """Image and what `encode_text` makes of prompts to logits: the network without its text encoder.

    Args:
        network: the network, in evaluation mode.
        features: any result of its ``encode_text``; it tells which tensors the network wants.

    Raises:
        ExportError: when these features are neither a tensor nor a named tuple of tensors.
    """

    def __init__(self, network: PromptedNet, features: Any) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(text_tensors(features))
        self._tuple = None if isinstance(features, Tensor) else type(features)

    def forward(self, image: Tensor, *texts: Tensor) -> Tensor:
        """Segment.

        Args:
            image: ``(B, 3, S, S)``.
            texts: for each of ``names`` a tensor ``(B, K, ...)``, or ``(1, K, ...)`` for the same on all images.

        Returns:
            Logits ``(B, K, S, S)``.
        """
        rows = [text.expand(image.shape[0], *[-1] * (text.ndim - 1)).flatten(0, 1) for text in texts]
        return self.network.decode(self.network.encode_image(image), self._features(rows))

    def _features(self, rows: Sequence[Tensor]) -> Any:
        if self._tuple is None:
            return rows[0]
        return self._tuple(**{**dict.fromkeys(self._tuple._fields), **dict(zip(self.names, rows, strict=True))})


def text_tensors(features: Any) -> dict[str, Tensor]:
    """The tensors in a result of ``encode_text`` by name: ``embedding`` for one, the fields of a named tuple else.

    Raises:
        ExportError: when it is something else.
    """
    if isinstance(features, Tensor):
        return {"embedding": features}
    fields: dict[str, Any] = features._asdict() if hasattr(features, "_asdict") else {}
    tensors = {name: value for name, value in fields.items() if value is not None}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ExportError(
            "the embedding form takes networks whose encode_text returns a tensor or a named tuple of tensors, got "
            f"{type(features).__name__}; export it with --form tokens"
        )
    return tensors
