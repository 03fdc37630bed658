# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What travels between sites: trained tensors of floating point, under their names, as float32.

BatchNorm's running mean and variance are among them and are averaged like weights. Its counter and other integers stay
where they are, since an average of them means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.fl.utils.exchange_object import ExchangeObject
from monai.fl.utils.filters import Filter
from torch import Tensor

from monai_vlsm.checkpoints import seal, tensors_of
from monai_vlsm.federated.terms import FederatedError

__all__ = ["TrainedOnlyFilter", "Weights", "outgoing", "put", "require_fit"]

Weights = dict[str, np.ndarray]


def outgoing(state: Mapping[str, Any]) -> Weights:
    """The part of a state that travels.

    Args:
        state: as from `monai_vlsm.checkpoints.TrainedState.state_dict`.

    Raises:
        FederatedError: a tensor holds values that are no numbers.
    """
    tensors = _travelling(state)
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise FederatedError(f"{name} holds values that are no numbers, so the training went wrong")
    return {name: value.to(torch.float32).numpy() for name, value in tensors.items()}


def put(state: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A state with weights that arrived in the place of its own, sealed again.

    Args:
        state: as from `monai_vlsm.checkpoints.TrainedState.state_dict`; what does not travel is kept.
        weights: as `outgoing` gave them, or their average.

    Raises:
        FederatedError: names or shapes are other ones, or values are no numbers.
    """
    own = _travelling(state)
    require_fit({name: tuple(value.shape) for name, value in own.items()}, weights)
    came = {name: torch.from_numpy(np.array(weights[name])).to(value.dtype) for name, value in own.items()}
    return seal({**state, **came})


def require_fit(wanted: Mapping[str, tuple[int, ...]], weights: Mapping[str, Any]) -> None:
    """Check that weights are those of a network.

    Args:
        wanted: name to shape of what travels.
        weights: what came.

    Raises:
        FederatedError: names or shapes are other ones, or values are no numbers.
    """
    missing, unexpected = sorted(wanted.keys() - weights.keys()), sorted(weights.keys() - wanted.keys())
    if missing or unexpected:
        raise FederatedError(f"weights came with missing {missing[:3]} and unexpected {unexpected[:3]} entries")
    for name, shape in wanted.items():
        came = np.asarray(weights[name])
        if came.shape != shape or came.dtype.kind != "f" or not _as_sent(came).all():
            raise FederatedError(f"{name} must be finite numbers of shape {shape}, and is {_told(came)}")


def _told(came: np.ndarray) -> str:
    wrong = came.size - int(_as_sent(came).sum()) if came.dtype.kind == "f" else 0
    return f"{came.dtype} of {came.shape}" + (f" with {wrong} that are no numbers" if wrong else "")


def _as_sent(came: np.ndarray) -> np.ndarray:
    """Which values are numbers in float32, as which they travel."""
    with np.errstate(over="ignore"):
        return np.isfinite(came.astype(np.float32))


def _travelling(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in tensors_of(state).items() if value.is_floating_point()}


class TrainedOnlyFilter(Filter):
    """For MONAI's ``MonaiAlgo``, which sends the whole network: keeps what was trained and is floating point.

    Give it as ``post_weight_filters`` in the config of filters, or append it to that list of the algorithm. MonaiAlgo
    takes differences from the weights that came, and from its own where none came: buffers such as BatchNorm's are
    then compared with themselves. So the server must send all that this filter lets out, buffers included.

    Args:
        network: with ``trained_names`` (`monai_vlsm.networks.PromptedNet`), or the names themselves.
    """

    def __init__(self, network: Any) -> None:
        self.names = frozenset(getattr(network, "trained_names", network))

    def __call__(self, data: ExchangeObject, extra: dict[str, Any] | None = None) -> ExchangeObject:
        """Take all else out of the weights of an object, in place."""
        weights = {name: torch.as_tensor(value) for name, value in (data.weights or {}).items() if name in self.names}
        data.weights = {name: value for name, value in weights.items() if value.is_floating_point()}
        return data
