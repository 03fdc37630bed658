# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Training over several sites whose images stay where they are: only what was trained travels, by NVFlare."""

from monai_vlsm.federated.exchange import TrainedOnlyFilter, outgoing, put
from monai_vlsm.federated.recipe import adapter_recipe
from monai_vlsm.federated.simulate import simulate
from monai_vlsm.federated.site import Outcome, Site
from monai_vlsm.federated.terms import FederatedError, compare_terms, terms_of

__all__ = [
    "FederatedError",
    "Outcome",
    "Site",
    "TrainedOnlyFilter",
    "adapter_recipe",
    "compare_terms",
    "outgoing",
    "put",
    "simulate",
    "terms_of",
]
