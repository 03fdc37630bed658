# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The folder of a study: what is planned, and what the files in it say of each run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.io import json_text, write_bytes, write_json
from monai_vlsm.studies.keys import StudyError
from monai_vlsm.studies.plan import Run, plan_runs, require_parts
from monai_vlsm.studies.study import Study

__all__ = ["StudyFolder", "read_json"]

_STUDY, _PLAN, _RESULT, _FAILURE = "study.json", "plan.json", "result.json", "failure.json"


def read_json(path: Path) -> dict[str, Any] | None:
    """A table that was written whole, or None without one; a file that somebody damaged counts as none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@dataclass(frozen=True)
class StudyFolder:
    """A study and its folder.

    Args:
        root: of the study.
        study: what its file says now.
        runs: that follow from it.
    """

    root: Path
    study: Study
    runs: Sequence[Run]

    @classmethod
    def of(cls, study: Study, root: Path) -> StudyFolder:
        """A study in a folder, new or not.

        Raises:
            StudyError: the folder belongs to another study.
        """
        before = read_json(root / _STUDY)
        if before is not None and before.get("name") != study.name:
            raise StudyError(
                f"{root} belongs to the study {before.get('name')!r}, not to {study.name!r}: give another folder with "
                "--output"
            )
        return cls(root, study, plan_runs(study))

    def plan(self) -> list[str]:
        """Make the folder of each run, after all parts of the study were found.

        Returns:
            What there is to say of runs of an earlier version of the study file, a line each.

        Raises:
            StudyError: a bundle, a setting or a dataset is not there.
            WriteError: the folder cannot be written to.
        """
        require_parts(self.study)
        for run in self.runs:
            if read_json(self.of_run(run) / _PLAN) != run.facts:
                write_bytes(self.of_run(run) / _PLAN, json_text(run.facts).encode(), sync=False)  # can be made again
        write_json(self.root / _STUDY, {"name": self.study.name, "runs": [run.name for run in self.runs]})
        return self.left_over()

    def left_over(self) -> list[str]:
        """Runs in the folder that the study file as it is now does not have, and how many of its own are valid."""
        planned = {run.name for run in self.runs}
        plans = {path.parent.name: read_json(path) for path in sorted(self.root.glob(f"runs/*/{_PLAN}"))}
        others = {name: facts for name, facts in plans.items() if name not in planned and facts}
        if not others:
            return []
        valid = sum(self.is_done(run) for run in self.runs)
        head = f"the study file was changed: {counted(valid, 'run')} with results stay valid, "
        head += f"{counted(len(others), 'run')} of before no longer belong to it and are left alone:"
        return [head, *(f"  {name}: {self._why(facts)}" for name, facts in others.items())]

    def _why(self, facts: Mapping[str, Any]) -> str:
        """What differs from the run that stands in the same place of the tables now."""
        place = ("system", "dataset", "seed", "fraction")
        same = [run.facts for run in self.runs if all(run.facts[key] == facts.get(key) for key in place)]
        if not same:
            return "its system, dataset, seed or fraction is not in the file any more"
        now, before = ({"bundle": one["bundle"], **one["settings"]} for one in (same[0], facts))
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        return ", ".join(f"{name} was {before.get(name)} and is {now.get(name)}" for name in changed)

    def of_run(self, run: Run) -> Path:
        """The folder of a run."""
        return self.root / "runs" / run.name

    def result(self, run: Run) -> dict[str, Any] | None:
        """What a run gave, if it is done: all that is evaluated now is in it."""
        result = read_json(self.of_run(run) / _RESULT)
        wanted = {name: list(self.study.styles) for name in self.tested(run)}
        found = (result or {}).get("evaluations", {})
        return result if all(found.get(name, {}).get("styles") == styles for name, styles in wanted.items()) else None

    def tested(self, run: Run) -> list[str]:
        """The datasets on which a run is evaluated, its own first."""
        others = self.study.transfer.get(run.dataset, ())
        return [run.dataset, *(name for name in others if name != run.dataset)]

    def is_done(self, run: Run) -> bool:
        """Whether there is nothing left to do."""
        return self.result(run) is not None

    def finish(self, run: Run, result: Mapping[str, Any]) -> None:
        """Write what a run gave; from then on it is done."""
        write_json(self.of_run(run) / _RESULT, result)
        (self.of_run(run) / _FAILURE).unlink(missing_ok=True)

    def failure(self, run: Run) -> dict[str, Any] | None:
        """Why a run has failed, if it has."""
        return read_json(self.of_run(run) / _FAILURE)

    def fail(self, run: Run, error: str, log: Path) -> None:
        """Write that a run has failed; nobody tries again until `forgive`."""
        write_json(self.of_run(run) / _FAILURE, {"error": error, "log": log.name})

    def forgive(self) -> int:
        """Let all runs that have failed wait again; returns how many."""
        failures = [self.of_run(run) / _FAILURE for run in self.runs if self.failure(run)]
        for path in failures:
            path.unlink(missing_ok=True)
        return len(failures)
