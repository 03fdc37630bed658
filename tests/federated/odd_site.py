# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Stands for the Python of each site in a simulation: the software of those in some folders is another one."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from monai_vlsm.checkpoints import state
from monai_vlsm.federated import Outcome, Site
from monai_vlsm.federated.client import read_site, take_part


class Careless(Site):
    """A site that sends whatever came out of its training, or of its evaluation."""

    def train(self, weights: Any, number: int) -> Outcome:
        outcome = super().train(weights, number)
        if self.data.name == "scores":
            return replace(outcome, scores=dict.fromkeys(outcome.scores, float("nan")))
        return replace(outcome, weights={name: values * np.nan for name, values in outcome.weights.items()})


if __name__ == "__main__":
    site = read_site(sys.argv[sys.argv.index("monai_vlsm.federated.client") + 1 :])
    if site.data.name == "format":
        state.FORMAT = 99
    if site.data.name in ("weights", "scores"):
        site = Careless(**vars(site))
    flare = importlib.import_module("nvflare.client")
    take_part(flare, importlib.import_module("nvflare.app_common.abstract.fl_model").FLModel, site)
