# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What an adaptation may do with a network, and how it becomes known by its name."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.adapters.targets import AdapterTargets, FeatureAdapters
from monai_vlsm.errors import UserError

__all__ = ["KINDS", "Adaptation", "AdaptationError", "MergeError"]

KINDS: dict[str, type[Adaptation]] = {}
"""Every kind of adaptation that is imported, by `Adaptation.kind`."""


class AdaptationError(UserError, ValueError):
    """Settings that make no adaptation, or none of this network; or an ``install`` that does what no file can tell."""


class MergeError(UserError, ValueError):
    """What was trained cannot become a part of the weights of the network."""


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
    def citations(self) -> tuple[str, ...]:
        """The papers that describe it, for the cards of models."""
        return ()

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

    @property
    def changes(self) -> frozenset[str]:
        """What it changes, in words such as ``"vision query"``: a `Combination` refuses two that change the same."""
        return frozenset()

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Put adapters on a network whose parameters are all frozen, or let some of them train.

        Args:
            targets: the places that the network offers.

        Returns:
            The module that the network calls between its stages. It holds the adapters that sit there.
        """
        return FeatureAdapters()

    def merge(self, trained: AdapterTargets, plain: AdapterTargets) -> None:
        """Make what was trained a part of the weights of a network without adapters, which then computes the same.

        Args:
            trained: the places of the network that it is installed on.
            plain: those of a network with the same weights that nothing is installed on; changed in place.

        Raises:
            MergeError: when it adds what is no change of weights.
        """
        raise MergeError(
            f"{self.kind()} cannot be merged: what it adds is no change of the weights of the network. Use model.pt as "
            "it is, or write base and adapters as one file: python -m monai_vlsm export"
        )

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
