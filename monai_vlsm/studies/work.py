# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A worker: takes a run, trains, evaluates, writes what came of it, and takes the next."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_vlsm.io import append_text, write_json
from monai_vlsm.studies.claim import Claim, Claims
from monai_vlsm.studies.commands import PROGRAM, RESUME, TRAINING, evaluate_words, evaluation_folder, train_words
from monai_vlsm.studies.energy import EnergyMeter
from monai_vlsm.studies.folder import StudyFolder, read_json
from monai_vlsm.studies.keys import StudyError
from monai_vlsm.studies.leaks import leaks_of, list_digests
from monai_vlsm.studies.outcome import commit, evaluation_facts, is_evaluated, trained_parameters
from monai_vlsm.studies.plan import Run, dataset_folder
from monai_vlsm.studies.process import ClaimLostError, last_error, run_logged

__all__ = ["MachineError", "RunFailedError", "Worker"]

_LOG, _TRAINED = "log.txt", "trained.json"
# what a program says when not the run is at fault but the machine; the run waits for another one
_OF_MACHINE = ("No space left on device", "Disk quota exceeded", "Read-only file system", "a device that is there")
_IN_USE = "another run ("  # how the bundle begins to say so


class MachineError(StudyError):
    """This machine cannot go on; its run waits for another worker."""


class RunFailedError(StudyError):
    """A run has failed."""


@dataclass
class Worker:
    """One worker of a study; as many as one likes may work in one folder.

    Args:
        folder: of the study, planned.
        environment: variables for the programs of the bundle, beside those of this process.
        program: what trains and evaluates, before the words of `monai_vlsm.studies.commands`.
        wait: False ends when nothing is free, though others still work and might die.
        tell: gets a line for each run that begins or ends.
        ready: called before each run; raises when the machine cannot take one.
        leaks: finds leaks of a dataset.
    """

    folder: StudyFolder
    environment: Mapping[str, str] = field(default_factory=dict)
    program: Sequence[str] = PROGRAM
    wait: bool = True
    tell: Callable[[str], None] = print
    ready: Callable[[], None] = lambda: None
    leaks: Callable[[StudyFolder, str], Mapping[str, int] | None] = leaks_of

    def __post_init__(self) -> None:
        self.claims = Claims(self.folder.root, self.folder.study.lease)

    def work(self) -> int:
        """Work until every run is done or has failed.

        Returns:
            The number of runs that this worker did.

        Raises:
            MachineError: the disk is full or the GPU is gone.
            WriteError: the folder of the study cannot be written to.
        """
        done = 0
        while True:
            took, busy = self._round()
            done += took
            if not took and not (busy and self.wait):
                return done
            if not took:
                time.sleep(min(5.0, self.folder.study.lease / 8))

    def _round(self) -> tuple[int, int]:
        """Take each run that is free, in order; how many that were, and how many others have."""
        took = busy = 0
        for run in self.folder.runs:
            if self._is_over(run):
                continue
            self.ready()
            claim = self.claims.take(self.folder.of_run(run))
            if claim is None:
                busy += 1
                continue
            with claim:
                if not self._is_over(run):  # somebody may have finished it between the two looks
                    over = self._do(run, claim)
                    took, busy = took + over, busy + (not over)
        return took, busy

    def _is_over(self, run: Run) -> bool:
        return self.folder.is_done(run) or self.folder.failure(run) is not None

    def _do(self, run: Run, claim: Claim) -> bool:
        """A whole run; whether it is over."""
        began = time.monotonic()
        self.tell(f"{run.name}: begins")
        try:
            result = self._result(run, claim)
            seconds = time.monotonic() - began
            self.folder.finish(
                run, {**result, "total_seconds": None if result["seconds"] is None else round(seconds, 1)}
            )
        except ClaimLostError as error:
            self.tell(f"{run.name}: {error}")
            return False
        except RunFailedError as error:
            if str(error).startswith(_IN_USE):
                self.tell(f"{run.name}: waits: {error}")
                return False
            self.folder.fail(run, str(error), self._log(run))
            self.tell(f"{run.name}: failed: {error}")
            return True
        self.tell(f"{run.name}: done in {seconds:.0f} s")
        return True

    def _command(self, run: Run, words: Sequence[str]) -> list[str]:
        """With a GPU, it is asked for: a driver that fails must not send a training to the CPU without a word."""
        on_gpu = self.environment.get("CUDA_VISIBLE_DEVICES") and "device" not in run.settings
        return [*self.program, *words, *(["--device=cuda"] if on_gpu else [])]

    def _log(self, run: Run) -> Path:
        return self.folder.of_run(run) / _LOG

    def _result(self, run: Run, claim: Claim) -> dict[str, Any]:
        trained = self._train(run, claim)
        found = {name: self._evaluate(run, claim, name) for name in self.folder.tested(run)}
        lists = list_digests(dataset_folder(self.folder.study, self.folder.study.datasets[run.dataset]))
        facts = {"run": run.facts, **trained, "evaluations": found, "log": _LOG, "commit": commit()}
        return facts | {"lists": lists, "leaks": self.leaks(self.folder, run.dataset)}

    def _train(self, run: Run, claim: Claim) -> dict[str, Any]:
        """Train unless that is done; the time of a training that was stopped on the way is not known."""
        path = self.folder.of_run(run)
        model = path / TRAINING / "model.pt"
        before = read_json(path / _TRAINED) or {}
        if before.get("finished") and model.is_file():
            return before
        words = train_words(self.folder.study, run, path)
        gpu = self.environment.get("CUDA_VISIBLE_DEVICES", "")
        with EnergyMeter(gpu) as meter:
            seconds = self._run(run, claim, words)
        if not model.is_file():
            raise RunFailedError(f"the training ended, but there is no {model}")
        facts: dict[str, Any] = {"finished": True, "seconds": None, "watt_hours": None}
        if RESUME not in words:
            facts |= {"seconds": round(seconds, 1), "watt_hours": meter.watt_hours}
        facts |= {"parameters": trained_parameters(self._log(run)), "host": socket.gethostname()}
        facts |= {"gpu": gpu}
        write_json(path / _TRAINED, facts)
        return facts

    def _evaluate(self, run: Run, claim: Claim, dataset: str) -> dict[str, Any]:
        path = self.folder.of_run(run)
        place = evaluation_folder(path, dataset)
        if not is_evaluated(place, list(self.folder.study.styles)):
            self._run(run, claim, evaluate_words(self.folder.study, run, path, dataset))
        try:
            return evaluation_facts(self.folder.root, place)
        except StudyError as error:
            raise RunFailedError(str(error)) from error

    def _run(self, run: Run, claim: Claim, words: Sequence[str]) -> float:
        log = self._log(run)
        append_text(log, "")
        since = log.stat().st_size
        try:
            environment = {**os.environ, **self.environment}
            return run_logged(self._command(run, words), environment, log, claim.lost)
        except subprocess.CalledProcessError as error:
            reason = last_error(log, since, error.returncode)
            if any(sign in reason for sign in _OF_MACHINE):
                raise MachineError(f"{run.name} waits for another worker, this one ends: {reason}") from error
            raise RunFailedError(reason) from error
