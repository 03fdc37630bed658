# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The server's side: takes what fits, says of each site that does not what is wrong, and averages by images."""

from __future__ import annotations

from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.aggregators.model_aggregator import ModelAggregator

from monai_vlsm.checkpoints import read
from monai_vlsm.federated.contribution import Contribution, average, one_line, read_contribution
from monai_vlsm.federated.exchange import outgoing
from monai_vlsm.federated.terms import FederatedError

__all__ = ["SITES", "ImageWeightedAverage"]

SITES = "sites"
"""Key of an average's meta data: how many sites it is of. It goes to all of them, so their names are not in it."""


class ImageWeightedAverage(ModelAggregator):
    """NVFlare's average, weighted by training images; sites whose weights cannot be taken are left out of the round.

    Where none is left the model stays as it was.

    Args:
        start: the ``model.pt`` on the server that the federation began with, whose names and shapes all must have.
    """

    def __init__(self, start: str) -> None:
        super().__init__()
        self.start = start
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._came: dict[str, Contribution] = {}

    def accept_model(self, model: FLModel) -> None:
        """Keep what a site sent, or log in one line which site it is and what is wrong."""
        meta = model.meta or {}
        site = str(meta.get("client_name", "unknown"))
        try:
            self._came[site] = read_contribution(self._wanted(), model.params, meta, model.metrics or {})
        except Exception as error:  # whatever a site sends, the others go on
            known = isinstance(error, FederatedError)
            line = str(error) if known else f"it sent what cannot be read ({one_line(error)})"
            self.warning(f"site {site}, round {model.current_round}: {line}; it does not count in this round")

    def aggregate_model(self) -> FLModel:
        """The average; of nothing, a change of nothing."""
        if not self._came:
            return FLModel(params_type="DIFF", params={}, meta={SITES: 0})
        return FLModel(params=dict(average(self._came)), meta={SITES: len(self._came)})

    def reset_stats(self) -> None:
        """Begin a round."""
        self._came = {}

    def _wanted(self) -> dict[str, tuple[int, ...]]:
        if not self._shapes:
            self._shapes = {name: value.shape for name, value in outgoing(read(self.start)).items()}
        return self._shapes
