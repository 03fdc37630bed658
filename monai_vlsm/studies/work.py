# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A worker: takes a run, does its steps, writes what came of it, and takes the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai_vlsm.studies.claim import Claim, Claims
from monai_vlsm.studies.commands import PROGRAM
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.leaks import leaks_of
from monai_vlsm.studies.plan import Run
from monai_vlsm.studies.process import ClaimLostError
from monai_vlsm.studies.run_files import RESULT
from monai_vlsm.studies.steps import InUseError, RunFailedError, Steps
from monai_vlsm.studies.tracking import Tracking

__all__ = ["Worker"]


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
        leaks: finds leaks of a dataset, or of one that is tested into one that is trained on.
        tracking: of the trainings by MLflow.
    """

    folder: StudyFolder
    environment: Mapping[str, str] = field(default_factory=dict)
    program: Sequence[str] = PROGRAM
    wait: bool = True
    tell: Callable[[str], None] = print
    ready: Callable[[], None] = lambda: None
    leaks: Callable[..., Mapping[str, int] | None] = leaks_of
    tracking: Tracking | None = None

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

    def _why_undone(self, result: Mapping[str, Any]) -> str:
        styles = list(self.folder.study.styles)
        if any(one.get("styles") != styles for one in result["evaluations"].values()):
            return f"its evaluations do not say that they are of {', '.join(styles)}"
        return f"{RESULT} in its folder does not give back what was written; look at the disk, and at its settings"

    def _is_over(self, run: Run) -> bool:
        return self.folder.is_done(run) or self.folder.failure(run) is not None

    def _do(self, run: Run, claim: Claim) -> bool:
        """A whole run; whether it is over."""
        steps = Steps(self.folder, run, claim.lost, self.environment, self.program, self.leaks, self.tracking)
        began = time.monotonic()
        self.tell(f"{run.name}: begins")
        try:
            result, seconds = steps.result(), round(time.monotonic() - began, 1)
            known = result.get("seconds")  # None after a stop; more than this worker took, if another one trained
            self.folder.finish(run, {**result, "total_seconds": None if known is None else max(known, seconds)})
            if not self.folder.is_done(run):  # else it would be done again and again
                raise RunFailedError(self._why_undone(result))
        except (ClaimLostError, InUseError) as error:
            self.tell(f"{run.name}: waits: {error}")
            return False
        except RunFailedError as error:
            self.folder.fail(run, str(error), steps.log)
            self.tell(f"{run.name}: failed: {error}")
            return True
        self.tell(f"{run.name}: done in {seconds:.0f} s")
        return True
