# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The server's side: begins with a ``model.pt``, and writes one after each round. It builds no network."""

from __future__ import annotations

from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.model import ModelLearnable, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor

from monai_vlsm.checkpoints import read
from monai_vlsm.federated.aggregator import SITES
from monai_vlsm.federated.exchange import outgoing, put
from monai_vlsm.io import save_atomically

__all__ = ["TrainedModelPersistor"]


class TrainedModelPersistor(ModelPersistor):
    """Reads what travels from one file, and writes the averages, with the settings of that file, to another.

    Args:
        start: a ``model.pt`` on the server.
        output: the file to write.
    """

    def __init__(self, start: str, output: str) -> None:
        super().__init__()
        self.start = start
        self.output = output

    def load_model(self, fl_ctx: FLContext) -> ModelLearnable:
        """What the first round begins with."""
        return make_model_learnable(outgoing(read(self.start)), {})

    def save_model(self, model: ModelLearnable, fl_ctx: FLContext) -> None:
        """Write what a round ended with; nothing if no site counted in it."""
        if model["meta"].get(SITES):
            save_atomically(put(read(self.start), model["weights"]), self.output)
