# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""All kinds of adaptations, by the names that stand in a ``model.pt``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_vlsm.adapters.adaptation import Adaptation
from monai_vlsm.adapters.dense import DenseAdaptation
from monai_vlsm.adapters.finetuning import FineTuning
from monai_vlsm.adapters.shallow import ShallowAdaptation

__all__ = ["build_adaptation"]

_ADAPTATIONS: dict[str, type[Adaptation]] = {
    kind.__name__: kind for kind in (Adaptation, DenseAdaptation, FineTuning, ShallowAdaptation)
}


def build_adaptation(settings: Mapping[str, Any]) -> Adaptation:
    """Make an adaptation from what `Adaptation.settings` returned.

    Raises:
        ValueError: when its ``type`` or another setting is unknown, or has a wrong value.
    """
    arguments = dict(settings)
    kind = arguments.pop("type", None)
    if not isinstance(kind, str) or kind not in _ADAPTATIONS:
        raise ValueError(f"unknown adaptation {kind!r}; known: {', '.join(sorted(_ADAPTATIONS))}")
    try:
        return _ADAPTATIONS[kind](**arguments)
    except TypeError as error:
        raise ValueError(f"{kind} has other settings than {settings}: {error}") from error
