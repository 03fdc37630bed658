# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Everything a run needs to go on after it was stopped, in one file, written at each epoch boundary."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Workflow

from monai_vlsm.errors import UserError
from monai_vlsm.handlers.random_state import get_random_state, set_random_state
from monai_vlsm.io import save_atomically

__all__ = ["ResumeError", "TrainingState"]

logger = logging.getLogger(__name__)


class ResumeError(UserError, ValueError):
    """A run cannot go on from the file it was given."""


class TrainingState:
    """Writes ``last.pt`` when training starts and after each epoch, and resumes from it.

    Attach to the trainer as the *last* handler, on all processes: what it writes after an epoch then includes the
    validation, the learning rate, the early stop and the best score of that epoch. An epoch that was cut short is run
    again from its start; together with :class:`EpochSeed` a resumed run ends with the same weights, bit for bit on
    CPU, as one that was never stopped.

    The file is a dict: ``epoch``, ``iteration``, ``epoch_length``, ``max_epochs``, ``finished``, ``rng``, ``scaler``
    (mixed precision on GPU, else None) and ``objects`` with the state of each entry of ``save_dict``. It loads with
    ``torch.load(path, weights_only=True)``.

    Args:
        save_dict: objects with ``state_dict`` and ``load_state_dict`` by name, for example model, optimizer,
            lr_scheduler, early_stop (:class:`EarlyStop`), best (:class:`ModelSaver`), curves (:class:`CurvePlot`).
        path: the file, usually ``last.pt`` in the output folder.
        resume: restore everything from ``path`` before the first epoch. ``max_epochs`` stays that of the trainer, so
            that a finished run can be prolonged; a run that is finished does nothing.

    Raises:
        FileNotFoundError: when training starts, ``resume`` is set and there is no file.
        ResumeError: when the file is damaged, belongs to other objects, or was written with other iterations per
            epoch (other data or batch size).
    """

    def __init__(self, save_dict: Mapping[str, Any], path: str | os.PathLike[str], resume: bool = False) -> None:
        self.save_dict = dict(save_dict)
        self.path = Path(path)
        self.resume = resume

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, the trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _start(self, engine: Workflow) -> None:
        if self.resume:
            self._restore(engine, self._read(engine))
            self.resume = False  # a second run of the same engine goes on from where it is
        else:
            self._save(engine)

    def _save(self, engine: Workflow) -> None:
        state, scaler = engine.state, getattr(engine, "scaler", None)
        if idist.get_rank() != 0:
            return
        content = {
            "epoch": state.epoch,
            "iteration": state.iteration,
            "epoch_length": state.epoch_length,
            "finished": bool(engine.should_terminate) or state.epoch >= state.max_epochs,
            "max_epochs": state.max_epochs,
            "rng": get_random_state(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "objects": {name: obj.state_dict() for name, obj in self.save_dict.items()},
        }
        save_atomically(content, self.path)

    def _read(self, engine: Workflow) -> dict[str, Any]:
        afresh = "start afresh without --resume True"
        if not self.path.is_file():
            raise FileNotFoundError(f"nothing to resume: {self.path} does not exist; {afresh}")
        try:
            content: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ResumeError(
                f"{self.path} is damaged or not a training state ({type(error).__name__}); {afresh}"
            ) from error
        names, length = content.get("objects", {}).keys(), engine.state.epoch_length
        if names != self.save_dict.keys():
            raise ResumeError(f"{self.path} holds {sorted(names)}, expected {sorted(self.save_dict)}; {afresh}")
        if content["epoch_length"] != length:
            raise ResumeError(
                f"{self.path} was written with {content['epoch_length']} iterations per epoch, this run has {length}: "
                f"resume with the same data and batch size, or {afresh}"
            )
        return content

    def _restore(self, engine: Workflow, content: dict[str, Any]) -> None:
        for name, obj in self.save_dict.items():
            obj.load_state_dict(content["objects"][name])
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and content["scaler"]:
            scaler.load_state_dict(content["scaler"])
        set_random_state(content["rng"])
        engine.state.epoch, engine.state.iteration = content["epoch"], content["iteration"]
        stopped_early = content["finished"] and content["epoch"] < content["max_epochs"]
        if stopped_early or content["epoch"] >= engine.state.max_epochs:
            logger.warning("nothing to do: the run in %s is finished, after epoch %d", self.path, content["epoch"])
            engine.terminate()
        else:
            logger.info("resumed from %s after epoch %d", self.path, content["epoch"])
