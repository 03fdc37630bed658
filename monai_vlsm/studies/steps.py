# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a worker does with a run that is its own: train, evaluate, gather what came of it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.io import append_text, write_json
from monai_vlsm.studies.commands import RESUME, TRAINING, evaluate_words, evaluation_folder, train_words
from monai_vlsm.studies.energy import EnergyMeter
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.keys import MachineError, StudyError
from monai_vlsm.studies.leaks import in_background, list_digests
from monai_vlsm.studies.outcome import commit, evaluation_facts, is_evaluated, trained_parameters, validation_dice
from monai_vlsm.studies.plan import Run, dataset_folder
from monai_vlsm.studies.process import last_error, run_logged, said_since
from monai_vlsm.studies.run_files import has_numbers, read_json
from monai_vlsm.studies.tracking import Tracking

__all__ = ["InUseError", "RunFailedError", "Steps"]

_LOG, _TRAINED = "log.txt", "trained.json"
# what a program says when not the run is at fault but the machine; the run waits for another one
_OF_MACHINE = (
    *("No space left on device", "Disk quota exceeded", "Read-only file system", "a device that is there"),
    *(
        "no CUDA-capable device",
        "CUDA-capable device(s) is/are busy",
        "Found no NVIDIA driver",
        "uncorrectable ECC error",
        "CUDA unknown error",
        "invalid device ordinal",
    ),
)
_NO_ANSWER = re.compile(r"MlflowException: API request to \S+ failed with (timeout )?exception")  # its server is away
_LAST = 12  # lines among which that is: CUDA says how to look for the error behind it
_IN_USE = "another run ("  # how the bundle begins to say so


class InUseError(StudyError):
    """The program of a worker that is gone still writes to the folder of the run."""


class RunFailedError(StudyError):
    """A run has failed."""


@dataclass(frozen=True)
class Steps:
    """All steps of one run; those that are done already are left out.

    Args:
        folder: of the study.
        run: that the worker has claimed.
        lost: set when the claim is lost.
        environment: variables for the programs of the bundle, beside those of this process.
        program: what trains and evaluates, before the words of `monai_vlsm.studies.commands`.
        leaks: finds leaks of a dataset, or of one that is tested into one that is trained on.
        tracking: of the training by MLflow.
    """

    folder: StudyFolder
    run: Run
    lost: threading.Event
    environment: Mapping[str, str]
    program: Sequence[str]
    leaks: Callable[..., Mapping[str, int] | None]
    tracking: Tracking | None = None

    @property
    def log(self) -> Path:
        """Gets all that the programs say."""
        return self.folder.of_run(self.run) / _LOG

    def result(self) -> dict[str, Any]:
        """Do all steps and gather what came of them.

        Raises:
            RunFailedError: the run cannot be done; says why.
            InUseError: somebody else's program is in the way.
            MachineError: this machine is at fault.
            ClaimLostError: another worker has taken over the run.
        """
        leaks = in_background(self._leaks)  # it takes a while, if only once
        trained = self._train()
        validation = self._validation()
        found = {name: self._evaluate(name) for name in self.folder.tested(self.run)}
        leaked = leaks.result()
        found |= {name: {**facts, "leaks": leaked[name]} for name, facts in found.items() if name != self.run.dataset}
        lists = list_digests(dataset_folder(self.folder.study, self.folder.study.datasets[self.run.dataset]))
        facts = {"run": self.run.facts, **trained, "validation": validation, "evaluations": found, "log": _LOG}
        return facts | {"commit": commit(), "lists": lists, "leaks": leaked.get(self.run.dataset)}

    def _leaks(self) -> dict[str, Mapping[str, int] | None]:
        """Those of each test; nothing leaks into a network that was not trained."""
        own, trains = self.run.dataset, self.run.trains
        places = {name: (own,) if name == own else (own, name) for name in self.folder.tested(self.run)}
        return {name: self.leaks(self.folder, *place) if trains else {} for name, place in places.items()}

    def _train(self) -> dict[str, Any]:
        """Train unless that is done; what a training took that was stopped on the way is not known."""
        path = self.folder.of_run(self.run)
        if not self.run.trains:
            return {"finished": True, "seconds": None, "watt_hours": None, "parameters": 0}
        model, before = path / TRAINING / "model.pt", read_json(path / _TRAINED) or {}
        if before.get("finished") and has_numbers(before) and model.is_file():
            return before
        words, gpu = train_words(self.folder.study, self.run, path), self.environment.get("CUDA_VISIBLE_DEVICES", "")
        tracked = self.tracking.words(self.run) if self.tracking else []
        with EnergyMeter(gpu) as meter:
            seconds = self._start([*words, *tracked])
        if not model.is_file():
            raise RunFailedError(f"the training ended, but there is no {model}")
        facts: dict[str, Any] = {"finished": True, "seconds": None, "watt_hours": None}
        if RESUME not in words:
            facts |= {"seconds": round(seconds, 1), "watt_hours": meter.watt_hours}
        facts |= {"parameters": trained_parameters(self.log), "host": socket.gethostname(), "gpu": gpu}
        write_json(path / _TRAINED, facts)
        return facts

    def _validation(self) -> float | None:
        """Mean Dice over the validation images, on which a search rests."""
        training = self.folder.of_run(self.run) / TRAINING
        score = validation_dice(training)
        if score is None and not self.folder.tests:
            raise RunFailedError(
                f"{training} has no Dice of a validation, which a search goes by: give a list of validation images, "
                "and let the training look at it (val_interval)"
            )
        return score

    def _evaluate(self, dataset: str) -> dict[str, Any]:
        path = self.folder.of_run(self.run)
        place = evaluation_folder(path, dataset)
        if is_evaluated(place, list(self.folder.study.styles)):
            with suppress(StudyError):  # damaged since, so it is done again
                return evaluation_facts(self.folder.root, place)
        self._start(evaluate_words(self.folder.study, self.run, path, dataset))
        try:
            return evaluation_facts(self.folder.root, place)
        except StudyError as error:
            raise RunFailedError(str(error)) from error

    def _start(self, words: Sequence[str]) -> float:
        """Run a program to its end; the seconds that it took."""
        append_text(self.log, "")
        since = self.log.stat().st_size
        try:
            return run_logged(self._command(words), {**os.environ, **self.environment}, self.log, self.lost)
        except subprocess.CalledProcessError as error:
            reason = last_error(self.log, since, error.returncode)
            said = [line for line in said_since(self.log, since)[-_LAST:] if _is_of_machine(line)]
            if said:
                raise MachineError(f"{self.run.name} waits for another worker, this one ends: {said[-1]}") from error
            raise (InUseError if reason.startswith(_IN_USE) else RunFailedError)(reason) from error

    def _command(self, words: Sequence[str]) -> list[str]:
        """With a GPU, it is asked for: a driver that fails must not send a training to the CPU without a word."""
        on_gpu = self.environment.get("CUDA_VISIBLE_DEVICES") and "device" not in self.run.settings
        return [*self.program, *words, *(["--device=cuda"] if on_gpu else [])]


def _is_of_machine(line: str) -> bool:
    return any(sign in line for sign in _OF_MACHINE) or _NO_ANSWER.search(line) is not None
