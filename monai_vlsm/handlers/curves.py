# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Training curves as an image."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Events
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from monai.engines import Workflow

from monai_vlsm.handlers.engine_state import EpochLoss, scalar_metrics, validated_in
from monai_vlsm.io import replacing

__all__ = ["CurvePlot", "draw_curves"]

Curve = list[tuple[int, float]]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito, told apart by colour-blind readers


def draw_curves(curves: Mapping[str, Curve], losses: Sequence[str], scores: Sequence[str]) -> Figure:
    """Losses above, scores below, over epochs; the first epoch with the highest first score is marked.

    Args:
        curves: (epoch, value) pairs by name; a name without values is left out.
        losses: names for the upper panel.
        scores: names for the lower panel, values within 0..1.
    """
    figure = Figure(figsize=(7.0, 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    _panel(upper, curves, dict(zip(losses, COLOURS, strict=False)), "loss")
    _panel(lower, curves, dict(zip(scores, COLOURS[1:], strict=False)), "score")
    upper.set_ylim(bottom=0)
    lower.set_ylim(0, 1.02)
    lower.set_xlabel("epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    finite = [(value, -epoch) for epoch, value in curves.get(scores[0], []) if math.isfinite(value)] if scores else []
    if finite:
        value, epoch = max(finite)
        for axes in (upper, lower):
            axes.axvline(-epoch, color="0.6", linestyle=":", linewidth=1.2, zorder=0)
        figure.suptitle(f"best {scores[0]} {value:.3f} after epoch {-epoch}", fontsize=11)
    return figure


def _panel(axes: Axes, curves: Mapping[str, Curve], colours: Mapping[str, str], label: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9")
    axes.set_ylabel(label)
    for name, colour in colours.items():
        if curves.get(name):
            epochs, values = zip(*curves[name], strict=True)
            marker = "o" if len(epochs) <= 30 else None
            axes.plot(epochs, values, color=colour, label=name, marker=marker, markersize=4, linewidth=1.8)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


class CurvePlot:
    """Writes an image of the training loss and the validation's losses and scores after each epoch.

    The training loss is the mean over all processes. Attach to the *trainer*, on all of them, after
    ``ValidationHandler``. Its values survive a resume when it is in the ``save_dict`` of :class:`TrainingState`.

    Args:
        path: the PNG to write.
        evaluator: the validating engine, None if there is none.
        losses: names of its metrics to draw beside the training loss; those that it does not have are left out.
        scores: names of its metrics to draw below.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        evaluator: Workflow | None = None,
        losses: Sequence[str] = ("val_loss",),
        scores: Sequence[str] = ("val_dice", "val_iou"),
    ) -> None:
        self.path = Path(path)
        self.evaluator = evaluator
        self.losses = list(losses)
        self.scores = list(scores)
        self.curves: dict[str, Curve] = {}
        self._loss = EpochLoss()

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, the trainer."""
        self._loss.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        """Add the values of this epoch and draw."""
        epoch = engine.state.epoch
        values = {"train_loss": self._loss.mean}
        if self.evaluator is not None and validated_in(self.evaluator, epoch):
            found = scalar_metrics(self.evaluator)
            values.update({name: found[name] for name in [*self.losses, *self.scores] if name in found})
        for name, value in values.items():
            self.curves.setdefault(name, []).append((epoch, value))
        if idist.get_rank() == 0:
            with replacing(self.path) as path:
                draw_curves(self.curves, ["train_loss", *self.losses], self.scores).savefig(path, format="png", dpi=120)

    def state_dict(self) -> dict[str, Any]:
        """All values so far: name to (epoch, value) pairs."""
        return {name: list(curve) for name, curve in self.curves.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        self.curves = {name: [(int(epoch), float(value)) for epoch, value in c] for name, c in state_dict.items()}
