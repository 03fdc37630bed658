# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The temperature of a model: found on the validation set, kept in ``model.pt``."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Workflow
from scipy.optimize import minimize_scalar
from torch import Tensor

from monai_vlsm.checkpoints import SETTINGS_KEY, read, seal
from monai_vlsm.errors import UserError
from monai_vlsm.handlers.rows import gather_rows
from monai_vlsm.handlers.scores import texts_of
from monai_vlsm.io import save_atomically
from monai_vlsm.prompts import CLASS

__all__ = ["TemperatureError", "TemperatureSetter", "count_logits", "fit_temperature", "require_validation"]

logger = logging.getLogger(__name__)

LOWEST, HIGHEST = 0.05, 20.0
_STEP, _REACH = 0.002, 10.0  # bins of asinh(logit): 0.002 wide at 0, 0.2 % of a large logit, up to 11,000
_BINS = round(2 * _REACH / _STEP)
_VALIDATION = ("val", "valid", "validation")


class TemperatureError(UserError, ValueError):
    """There is nothing that a temperature can be fitted on."""


def require_validation(enabled: bool, split: str, zero_shot: bool = False) -> None:
    """Check that a temperature is fitted on validation data, and for a model that can keep it.

    Raises:
        TemperatureError: another split, or no model.
    """
    if enabled and split.lower() not in _VALIDATION:
        raise TemperatureError(
            f"fit_temperature needs the validation data, val_split val, got {split!r}: on images that the model was "
            "trained on it would be too low, and on those that it is tested on its error would be no test any more"
        )
    if enabled and zero_shot:
        raise TemperatureError("fit_temperature writes into a model.pt, and zero_shot has none: leave one of them out")


def count_logits(logits: Tensor, truth: Tensor) -> Tensor:
    """Count pixels by logit and truth, so that all of a data set take little memory.

    Args:
        logits: any shape.
        truth: of the same shape, 0 and 1.

    Returns:
        ``(2, 2, bins)`` float64: of background and foreground the number of pixels and the sum of their logits.
    """
    flat = logits.detach().flatten().cpu().double()
    true = truth.detach().flatten().cpu() > 0.5
    bins = ((flat.asinh() + _REACH) / _STEP).long().clamp(0, _BINS - 1)
    index = bins + _BINS * true
    sums = [torch.bincount(index, weights, 2 * _BINS) for weights in (torch.ones_like(flat), flat)]
    return torch.stack(sums).view(2, 2, _BINS).transpose(0, 1)


def fit_temperature(counts: Tensor) -> float:
    """The temperature T with the lowest cross entropy of ``sigmoid(logit / T)``.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2. The cross entropy has one minimum.

    Args:
        counts: sums of what `count_logits` returned.

    Returns:
        T, from 0.05 to 20.

    Raises:
        TemperatureError: no foreground or no background; with one of them alone, the surer is always the better. Or
            logits that are NaN or infinite.
    """
    if not counts.isfinite().all():
        raise TemperatureError(
            "a temperature needs logits that are numbers, and some of this model are NaN or infinite: its training "
            "went wrong, or its precision is too narrow (--amp_dtype bfloat16, or --amp False)"
        )
    pixels, sums = counts.unbind(1)
    background, foreground = pixels.sum(1).tolist()
    if not (background and foreground):
        raise TemperatureError(
            "a temperature needs validation images with class prompts, with pixels inside and outside of their masks, "
            f"got {foreground:.0f} and {background:.0f}: add a validation list that has both"
        )
    number, total = pixels.sum(0), sums.sum(0)
    used = number > 0
    number, logits, true = number[used], total[used] / number[used], sums[1].sum()

    def cross_entropy(log_temperature: float) -> float:
        slope = math.exp(-log_temperature)
        return float((number * torch.nn.functional.softplus(slope * logits)).sum() - slope * true)

    found = minimize_scalar(
        cross_entropy, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded", options={"xatol": 1e-6}
    )
    return round(math.exp(float(found.x)), 6)


class TemperatureSetter:
    """Fits a temperature to the class prompts of an evaluation and writes it into the ``model.pt`` that was evaluated.

    Uses ``logits`` and ``logits_target`` of the engine's output, at the size of the network. Nothing of the running
    evaluation changes; the next one uses the new temperature.

    Attach to the *evaluator*, with decollation, on all processes.

    Args:
        path: the ``model.pt``.
        enabled: False does nothing.
    """

    def __init__(self, path: str | Path, enabled: bool = True) -> None:
        self.path, self.enabled = Path(path), enabled
        self._counts = torch.zeros(2, 2, _BINS, dtype=torch.float64)

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``."""
        if self.enabled:
            engine.add_event_handler(Events.EPOCH_STARTED, self._clear)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _clear(self, engine: Workflow) -> None:
        self._counts.zero_()

    def _collect(self, engine: Workflow) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            logits, target = (torch.as_tensor(output[key]) for key in ("logits", "logits_target"))
            for index, tag in enumerate(texts_of(item, "prompt_tag", CLASS, len(logits))):
                if tag == CLASS:
                    self._counts += count_logits(logits[index], target[index])

    def _save(self, engine: Workflow) -> None:
        counts = torch.stack(gather_rows([self._counts], engine)).sum(0)
        temperature = fit_temperature(counts)
        if idist.get_rank() != 0:
            return
        state = read(self.path)
        settings = {**state[SETTINGS_KEY], "temperature": temperature}
        save_atomically(seal({**state, SETTINGS_KEY: settings}), self.path)
        bound = not 1.001 * LOWEST < temperature < 0.999 * HIGHEST
        logger.info(
            "temperature %.4g, fitted to %d pixels%s: now in %s",
            temperature,
            int(counts[:, 0].sum()),
            " (as far as it goes: the masks are nearly all right or all wrong)" if bound else "",
            self.path,
        )
