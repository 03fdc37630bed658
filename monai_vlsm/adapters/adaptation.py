# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a network offers to adapt, and what an adaptation may do with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

__all__ = ["KINDS", "Adaptation", "AdapterTargets", "EncoderTargets", "FeatureAdapters"]

KINDS: dict[str, type[Adaptation]] = {}
"""Every kind of adaptation that is imported, by `Adaptation.kind`."""


@dataclass(frozen=True)
class EncoderTargets:
    """One transformer encoder, seen from outside.

    Args:
        width: size of its hidden states.
        attentions: the self-attention module of each layer, first to last.
        mlps: the MLP module of each layer, first to last.
    """

    width: int
    attentions: Sequence[nn.Module]
    mlps: Sequence[nn.Module]


@dataclass(frozen=True)
class AdapterTargets:
    """The places of a network where adapters can sit.

    Args:
        vision: the vision encoder.
        text: the text encoder.
        extract_layers: zero-based vision layers whose outputs the decoder reads.
        condition_width: size of the text embedding that conditions the decoder.
        decoder: the decoder.
        used: all modules that the forward pass runs, the decoder among them.
    """

    vision: EncoderTargets
    text: EncoderTargets
    extract_layers: tuple[int, ...]
    condition_width: int
    decoder: nn.Module
    used: Sequence[nn.Module]


class FeatureAdapters(nn.Module):
    """The two places between the stages of a network where an adaptation can act; here it leaves both as they are.

    ``text_layers`` names the zero-based text layers whose states `condition` wants to see.
    """

    text_layers: tuple[int, ...] = ()

    def skips(self, skips: list[Tensor]) -> list[Tensor]:
        """Adapt what the decoder reads from the vision encoder.

        Args:
            skips: one tensor ``(B, N, C)`` for each extracted layer; ``(B, K, N, C)`` if ``slices`` is above 1.

        Returns:
            The same number of tensors ``(B, N, C)``.
        """
        return skips

    def condition(self, embedding: Tensor, states: list[Tensor]) -> Tensor:
        """Adapt the text embedding.

        Args:
            embedding: ``(B, D)``.
            states: for each of ``text_layers`` its output at the end-of-text token, ``(B, C)``, before any final
                normalisation or projection.

        Returns:
            ``(B, D)``.
        """
        return embedding


@dataclass(frozen=True)
class Adaptation:
    """What of a network trains; here nothing: the frozen network as it is.

    An adaptation is a value: it holds settings, not weights, so one can be compared, printed and written to a file.
    A new kind of adapter is a subclass, also a frozen dataclass, that overrides `install`. Where it is imported, files
    of networks that it was trained on can be loaded (docs/own_adaptation.md).
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Make the subclass known by its name."""
        super().__init_subclass__(**arguments)
        KINDS[cls.kind()] = cls

    @classmethod
    def kind(cls) -> str:
        """Its name in a ``model.pt``: that of the class; outside of this package ``module:class``."""
        if cls.__module__.startswith(f"{__package__}."):
            return cls.__name__
        return f"{_module_name(cls.__module__)}:{cls.__qualname__}"

    @property
    def saves_base(self) -> bool:
        """Whether ``model.pt`` holds the whole network, because little of the base is left as it was."""
        return False

    @property
    def slices(self) -> int:
        """How many slices of a volume the network takes at a time: one and its neighbours, 1 for none."""
        return 1

    @property
    def frozen_encoders(self) -> frozenset[str]:
        """Encoders whose result for an input never changes: of ``"vision"`` and ``"text"`` those without adapters.

        What acts in the `FeatureAdapters` comes after an encoder and does not count. A subclass that changes an encoder
        says so.
        """
        return frozenset({"vision", "text"})

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Put adapters on a network whose parameters are all frozen, or let some of them train.

        Args:
            targets: the places that the network offers.

        Returns:
            The module that the network calls between its stages. It holds the adapters that sit there.
        """
        return FeatureAdapters()

    def settings(self) -> dict[str, Any]:
        """Plain values from which `monai_vlsm.adapters.build_adaptation` makes an equal adaptation."""
        return {"type": self.kind(), **asdict(self)}


KINDS[Adaptation.kind()] = Adaptation


def _module_name(name: str) -> str:
    """The name by which others import a module, also where it is the program that runs."""
    if name not in ("__main__", "__mp_main__"):
        return name
    main = sys.modules.get(name)
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    return str(spec.name) if spec is not None else Path(file).stem if file else name
