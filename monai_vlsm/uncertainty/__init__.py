# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How sure a network is: several predictions of one image, the entropy of their mean, and a temperature."""

from monai_vlsm.uncertainty.entropy import Doubt, binary_entropy, entropy_codes
from monai_vlsm.uncertainty.members import METHODS, Members, UncertaintyError, make_members
from monai_vlsm.uncertainty.scorer import UncertaintyScorer
from monai_vlsm.uncertainty.temperature import (
    TemperatureError,
    TemperatureSetter,
    count_logits,
    fit_temperature,
    require_validation,
)

__all__ = [
    "METHODS",
    "Doubt",
    "Members",
    "TemperatureError",
    "TemperatureSetter",
    "UncertaintyError",
    "UncertaintyScorer",
    "binary_entropy",
    "count_logits",
    "entropy_codes",
    "fit_temperature",
    "make_members",
    "require_validation",
]
