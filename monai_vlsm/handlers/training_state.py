# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Everything a run needs to go on after it was stopped, in one file, written at each epoch boundary."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Workflow

from monai_vlsm.errors import UserError
from monai_vlsm.handlers.random_state import get_random_state, set_random_state
from monai_vlsm.handlers.run_facts import Facts, differences, run_facts
from monai_vlsm.io import save_atomically

__all__ = ["NothingToResumeError", "ResumeError", "TrainingState", "require_state"]

logger = logging.getLogger(__name__)


class ResumeError(UserError, ValueError):
    """A run cannot go on from the file it was given."""


class NothingToResumeError(ResumeError, FileNotFoundError):
    """There is no file to go on from."""


def require_state(path: str | os.PathLike[str], resume: bool = True) -> None:
    """Check that there is a file to resume from, if that is wanted, before data is looked at and networks are made.

    Raises:
        NothingToResumeError: there is none.
    """
    if resume and not Path(path).is_file():
        raise NothingToResumeError(
            f"nothing to resume: {path} does not exist; start afresh without --resume True, or give the folder of the "
            "run as --output_dir"
        )


class TrainingState:
    """Writes ``last.pt`` when training starts and after each epoch, and resumes from it.

    Attach to the trainer as the *last* handler, on all processes: what it writes after an epoch then includes the
    validation, the learning rate, the early stop and the best score of that epoch. An epoch that was cut short is run
    again from its start; together with :class:`EpochSeed` a resumed run ends with the same weights, bit for bit on
    the same kind of CPU, as one that was never stopped.

    The file is a dict: ``epoch``, ``iteration``, ``epoch_length``, ``max_epochs``, ``finished``, ``stopped_early``,
    ``facts`` (what must be the same in a resumed run), ``rng``, ``scaler`` (mixed precision on GPU, else None) and
    ``objects`` with the state of each entry of ``save_dict``. It loads with ``torch.load(path, weights_only=True)``.

    Args:
        save_dict: objects with ``state_dict`` and ``load_state_dict`` by name, for example model, optimizer,
            lr_scheduler, early_stop (:class:`EarlyStop`), best (:class:`ModelSaver`), curves (:class:`CurvePlot`).
        path: the file, usually ``last.pt`` in the output folder.
        resume: restore everything from ``path`` before the first epoch. ``max_epochs`` stays that of the trainer, and
            the patience that of :class:`EarlyStop`, so that a run can be prolonged; one that is finished does nothing.
        settings: name to plain value, what a resumed run must share with the run before beyond what the objects, the
            loss and the loader tell by themselves (`monai_vlsm.handlers.run_facts`), such as the seed.
        records: lists of records by what they are for, such as ``training``; a resumed run needs the same.

    Raises:
        NothingToResumeError: when training starts, ``resume`` is set and there is no file.
        ResumeError: when the file is damaged, of another kind, belongs to other objects, or was written with other
            data or settings; says both values.
    """

    def __init__(
        self,
        save_dict: Mapping[str, Any],
        path: str | os.PathLike[str],
        resume: bool = False,
        settings: Mapping[str, Any] | None = None,
        records: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self.save_dict = dict(save_dict)
        self.path = Path(path)
        self.resume = resume
        self.settings = dict(settings or {})
        self.records = dict(records or {})
        self._facts: Facts = {}

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, the trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _start(self, engine: Workflow) -> None:
        self._facts = run_facts(engine, self.save_dict, self.settings, self.records)
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
            "stopped_early": self._patience_ended(),
            "max_epochs": state.max_epochs,
            "facts": self._facts,
            "rng": get_random_state(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "objects": {name: obj.state_dict() for name, obj in self.save_dict.items()},
        }
        save_atomically(content, self.path)

    def _patience_ended(self) -> bool:
        return any(getattr(obj, "exhausted", False) for obj in self.save_dict.values())

    def _read(self, engine: Workflow) -> dict[str, Any]:
        require_state(self.path)
        content = self._content()
        changed = differences(self._facts, content.get("facts", {}))
        if changed:
            early = f" It was stopped early after epoch {content['epoch']}." if content.get("stopped_early") else ""
            raise ResumeError(
                f"{self.path} belongs to a run with other data or settings: {'; '.join(changed)}.{early} Resume with "
                f"those of the run, or {self._afresh()}"
            )
        if "facts" not in content:
            logger.warning(
                "%s is of an earlier version: nothing tells whether data and settings are the same", self.path
            )
        if content["epoch_length"] != engine.state.epoch_length:
            raise ResumeError(
                f"{self.path} was written with {content['epoch_length']} iterations per epoch, this run has "
                f"{engine.state.epoch_length}: resume with the same data and total batch size, or {self._afresh()}"
            )
        return content

    def _content(self) -> dict[str, Any]:
        try:
            with zipfile.ZipFile(self.path) as archive:  # torch.load does not look at the checksums
                damaged = archive.testzip()
            if damaged:
                raise ValueError(f"wrong checksum of {damaged}")
            content = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a reader stumbles on in a file that is not whole
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ResumeError(f"{self.path} is damaged or not a training state ({reason}); {self._afresh()}") from error
        expected = {"epoch", "iteration", "epoch_length", "max_epochs", "finished", "rng", "scaler", "objects"}
        if not isinstance(content, dict) or not expected <= content.keys():
            raise ResumeError(f"{self.path} is a file of another kind, not a training state; {self._afresh()}")
        if content["objects"].keys() != self.save_dict.keys():
            raise ResumeError(
                f"{self.path} holds {sorted(content['objects'])}, expected {sorted(self.save_dict)}; {self._afresh()}"
            )
        return content

    def _afresh(self) -> str:
        """What can still be done: the best weights of the run are in a file of their own."""
        for obj in self.save_dict.values():
            model = getattr(obj, "path", None)
            if model is not None and Path(model) != self.path and Path(model).suffix == ".pt" and Path(model).is_file():
                return f"start a new run, without --resume True, from its best weights with --start_from {model}"
        return "start afresh without --resume True"

    def _restore(self, engine: Workflow, content: dict[str, Any]) -> None:
        scaler = getattr(engine, "scaler", None)
        try:
            for name, obj in self.save_dict.items():
                obj.load_state_dict(content["objects"][name])
            if scaler is not None and content["scaler"]:
                scaler.load_state_dict(content["scaler"])
            set_random_state(content["rng"])
            engine.state.epoch, engine.state.iteration = int(content["epoch"]), int(content["iteration"])
        except UserError:
            raise
        except Exception as error:  # parts that this network, optimizer or version cannot take
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ResumeError(f"{self.path} does not fit this run ({reason}); {self._afresh()}") from error
        finished = self._finished(engine, content)
        if finished:
            logger.warning("nothing to do: %s", finished)
            engine.terminate()
        else:
            logger.info("resumed from %s after epoch %d", self.path, content["epoch"])

    def _finished(self, engine: Workflow, content: dict[str, Any]) -> str:
        """Why there is nothing to go on with; empty if there is."""
        epoch = content["epoch"]
        if self._patience_ended():
            waited = next(obj.waited for obj in self.save_dict.values() if getattr(obj, "exhausted", False))
            return (
                f"the run in {self.path} was stopped early after epoch {epoch} of {content['max_epochs']}, after "
                f"{waited} validations without a better score; with more patience it goes on: --early_stop above "
                f"{waited}, or 0 for no early stop"
            )
        if epoch >= engine.state.max_epochs:
            return f"the run in {self.path} is finished, after epoch {epoch}; it goes on with more --epochs"
        if content["finished"] and epoch < content["max_epochs"] and not content.get("stopped_early", True):
            return f"the run in {self.path} is finished, after epoch {epoch}"
        return ""
