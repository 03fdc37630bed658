# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""An exponential moving average of what is trained, which is validated and saved in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

__all__ = ["WeightAverage"]


class WeightAverage:
    """Averages the trained parameters over the steps of the optimizer: ``average += (1 - decay) (weight - average)``.

    At the end of each epoch the averages go into the network, so that validation, best model, `TrainingState` and
    whoever comes after the training get them; when the next epoch begins, the weights of the training come back. For
    the first steps the decay is ``(1 + steps) / (10 + steps)``, since an average of few steps would be that of the
    start. Only steps that the optimizer takes count: not the iterations of which gradients are accumulated, and not
    those that a ``GradScaler`` skips. Running statistics of normalisations stay those of the training.

    ignite's ``EMAHandler`` is not used: it copies the whole network, of which nearly all is frozen, into another one,
    which validation and whoever saves would have to be told, and it counts iterations.

    Attach to the *trainer*, before ``ValidationHandler``. In ``save_dict`` of `TrainingState` it must come after the
    network, in which a resumed run finds the averages.

    Args:
        decay: from 0 to below 1, such as 0.99; 0 does nothing.

    Raises:
        ValueError: another decay.
    """

    def __init__(self, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be from 0 to below 1, got {decay}")
        self.decay, self.steps = decay, 0
        self._trained: list[Parameter] = []
        self._average: list[Tensor] = []
        self._own: list[Tensor] = []  # of the training, while the averages are in the network

    def attach(self, engine: SupervisedTrainer) -> None:
        """Follow ``engine``, the trainer."""
        if self.decay:
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.EPOCH_STARTED, self._take_back)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._put_in)

    def settings(self) -> dict[str, Any]:
        """What a resumed run must share."""
        return {"ema": self.decay}

    def state_dict(self) -> dict[str, Any]:
        """Number of steps, averages, and the weights of the training while the averages are in the network."""
        if not self.decay:
            return {}
        return {"steps": self.steps, "average": _copies(self._average, "cpu"), "own": _copies(self._own, "cpu")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, for the network that held these weights.

        Raises:
            ValueError: averages of other weights.
        """
        if not self.decay:
            return
        shapes = [parameter.shape for parameter in self._trained]
        average, own = state_dict["average"], state_dict["own"]
        if [one.shape for one in average] != shapes or (own and [one.shape for one in own] != shapes):
            raise ValueError("the averages are of other weights than this network trains")
        self.steps = int(state_dict["steps"])
        device = self._trained[0].device
        self._average, self._own = _copies(average, device), _copies(own, device)

    def _start(self, engine: SupervisedTrainer) -> None:
        if self._trained:  # the same engine runs again, and goes on
            return
        groups = engine.optimizer.param_groups
        self._trained = [one for group in groups for one in group["params"] if one.requires_grad]
        self._average = _copies(self._trained)
        engine.optimizer.register_step_post_hook(self._follow)

    @torch.no_grad()
    def _follow(self, optimizer: Optimizer, *_: Any) -> None:
        """Average after a step; a fused optimizer is also called for a step that it must not take."""
        found = getattr(optimizer, "found_inf", None)
        if found is not None and float(found) > 0:
            return
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._average, [one.detach() for one in self._trained], 1 - decay)

    def _put_in(self, engine: Engine) -> None:
        self._own = _copies(self._trained)
        _fill(self._trained, self._average)

    def _take_back(self, engine: Engine) -> None:
        if self._own:
            _fill(self._trained, self._own)
            self._own = []


def _copies(tensors: Sequence[Tensor], device: torch.device | str | None = None) -> list[Tensor]:
    return [one.detach().to(device or one.device, copy=True) for one in tensors]


@torch.no_grad()
def _fill(parameters: Sequence[Parameter], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
