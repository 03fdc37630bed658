# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How far a study is, from its files alone."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

from monai_vlsm.counts import counted
from monai_vlsm.studies.claim import Claims, holder
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.plan import Run

__all__ = ["DONE", "FAILED", "RUNNING", "WAITING", "Status", "study_status"]

DONE, RUNNING, FAILED, WAITING = "done", "running", "failed", "waiting"
_BAR = 30


@dataclass(frozen=True)
class Status:
    """The state of each run.

    Args:
        states: of each run, in the order of the plan.
        seconds: that the runs took of which that is known.
        notes: who works on a run, or why it has failed.
    """

    states: dict[str, str]
    seconds: list[float]
    notes: dict[str, str]

    def count(self, state: str) -> int:
        """How many runs are in a state."""
        return list(self.states.values()).count(state)

    @property
    def seconds_left(self) -> float | None:
        """If all other runs take the mean of those that are done, by as many workers as work now; None before that.

        Runs that others work on count whole.
        """
        left = self.count(RUNNING) + self.count(WAITING)
        return None if not self.seconds else mean(self.seconds) * left / max(1, self.count(RUNNING))

    def text(self, noun: str = "run") -> str:
        """For the terminal: a bar, the counts, the time left, and each run that runs or has failed."""
        over, total = self.count(DONE) + self.count(FAILED), len(self.states)
        filled = _BAR * over // max(1, total)
        counts = ", ".join(f"{self.count(state)} {state}" for state in (DONE, RUNNING, FAILED, WAITING))
        left = self.seconds_left
        time = "" if left is None or over == total else f"; about {_duration(left)} left"
        lines = [f"[{'#' * filled}{'.' * (_BAR - filled)}] {over} of {counted(total, noun)}: {counts}{time}"]
        lines += [f"{self.states[name]}: {name}: {note}" for name, note in self.notes.items()]
        return "\n".join(lines)


def study_status(folder: StudyFolder) -> Status:
    """Look at every run; nothing is changed."""
    claims = Claims(folder.root, folder.study.lease)
    states = {run.name: _state(folder, claims, run) for run in folder.runs}
    results = [folder.result(run) for run in folder.runs if states[run.name] == DONE]
    seconds = [result["total_seconds"] for result in results if result and result.get("total_seconds")]
    notes = {run.name: _note(folder, run) for run in folder.runs if states[run.name] in (RUNNING, FAILED)}
    return Status(states, seconds, notes)


def _state(folder: StudyFolder, claims: Claims, run: Run) -> str:
    if folder.is_done(run):
        return DONE
    if folder.failure(run):
        return FAILED
    return RUNNING if claims.is_alive(folder.of_run(run)) else WAITING


def _note(folder: StudyFolder, run: Run) -> str:
    failure = folder.failure(run)
    return f"{failure['error']} (see {folder.of_run(run) / failure['log']})" if failure else holder(folder.of_run(run))


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 60:
        return counted(minutes, "minute")
    hours = round(minutes / 60)
    return counted(hours, "hour") if hours < 48 else counted(round(hours / 24), "day")
