# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Training over several sites whose images stay where they are: only what was trained travels, by NVFlare."""

from __future__ import annotations

from monai_vlsm.federated.comparison import compare_models, require_own_lists, train_rivals
from monai_vlsm.federated.contribution import Contribution, average, read_contribution
from monai_vlsm.federated.exchange import TrainedOnlyFilter, outgoing, put
from monai_vlsm.federated.recipe import adapter_recipe, federation_sites
from monai_vlsm.federated.simulate import simulate
from monai_vlsm.federated.site import Outcome, Site
from monai_vlsm.federated.tables import difference_table, site_table, write_scores
from monai_vlsm.federated.terms import FederatedError, compare_terms, terms_of

__all__ = [
    "Contribution",
    "FederatedError",
    "Outcome",
    "Site",
    "TrainedOnlyFilter",
    "adapter_recipe",
    "average",
    "compare_models",
    "compare_terms",
    "difference_table",
    "federation_sites",
    "outgoing",
    "put",
    "read_contribution",
    "require_own_lists",
    "simulate",
    "site_table",
    "terms_of",
    "train_rivals",
    "write_scores",
]
