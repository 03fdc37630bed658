# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The folder of a study: what is planned, and what the files in it say of each run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.io import json_text, write_bytes, write_json
from monai_vlsm.studies.choices import Choice, choices_of, chosen_runs
from monai_vlsm.studies.keys import StudyError
from monai_vlsm.studies.plan import Run, plan_runs, require_parts
from monai_vlsm.studies.run_files import FAILURE, PLAN, RESULT, read_failure, read_json, read_result, run_folder
from monai_vlsm.studies.study import Study
from monai_vlsm.studies.trials import keep_values, kept_values, trial_runs

__all__ = ["StudyFolder"]

_STUDY = "study.json"
_SHOWN = 3  # runs of before that are named for each reason why they do not count


@dataclass(frozen=True)
class StudyFolder:
    """A study and its folder.

    Args:
        root: of the study.
        study: what its file says now.
        runs: that follow from it; of a search that is not over, those of which it has chosen the settings.
        choices: what the search of the study has given, if there is one.
        tests: False for the trials of a search, which see no test images.
    """

    root: Path
    study: Study
    runs: Sequence[Run]
    choices: Sequence[Choice] = ()
    tests: bool = True

    @classmethod
    def of(cls, study: Study, root: Path) -> StudyFolder:
        """A study in a folder, new or not.

        Raises:
            StudyError: the folder belongs to another study.
        """
        _require_owner(root, study)
        found = choices_of(study, root)
        runs = plan_runs(study) if study.search is None else chosen_runs(study, found)
        return cls(root, study, runs, found)

    @classmethod
    def of_search(cls, study: Study, root: Path) -> StudyFolder:
        """The trials of the search of a study, in the same folder: a run that was a trial is not trained again.

        Raises:
            StudyError: the folder belongs to another study, or the study has no search.
        """
        _require_owner(root, study)
        if study.search is None:
            raise StudyError(f"the study {study.name} has no search: say under `search:` in its file what to try")
        return cls(root, study, trial_runs(study, kept_values(study, root)), tests=False)

    @classmethod
    def plan_search(cls, study: Study, root: Path) -> StudyFolder:
        """As `of_search`, with a folder for each trial; what they try is drawn before, once.

        Raises:
            StudyError: see `of_search` and `plan`; or Optuna is not installed.
            WriteError: the folder cannot be written to.
        """
        cls.of_search(study, root)
        require_parts(study)
        keep_values(study, root)
        folder = cls.of_search(study, root)
        folder.plan()
        return folder

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
            if read_json(self.of_run(run) / PLAN) != run.facts:
                write_bytes(self.of_run(run) / PLAN, json_text(run.facts).encode(), sync=False)  # can be made again
        write_json(self.root / _STUDY, {"name": self.study.name})
        return self.left_over()

    def require_planned(self, command: str, runs: bool) -> None:
        """Check that there is something to tell of.

        Args:
            command: that makes a folder for each run.
            runs: whether there must be one of a run of the file as it is now.

        Raises:
            StudyError: there is not.
        """
        if read_json(self.root / _STUDY) is None:
            raise StudyError(f"{self.root} holds no study; first {command}, or say with --output where it is")
        own = [*self.runs, *(trial.run for one in self.choices for trial in one.trials)]
        if runs and own and not any((self.of_run(run) / PLAN).is_file() for run in own):
            raise StudyError(
                f"{self.root} has no run of this study as its file and options are now: give the options of before "
                f"(--epochs, --datasets), or {command}"
            )

    def left_over(self) -> list[str]:
        """Runs in the folder that the study file as it is now does not have, and how many of its own are valid.

        Runs on datasets that are only left out here are none of them.
        """
        if not self.tests:
            return []
        planned = {run.name for run in self.runs} | {trial.run.name for one in self.choices for trial in one.trials}
        plans = {path.parent.name: read_json(path) for path in sorted(self.root.glob(f"runs/*/{PLAN}"))}
        strange = {name: facts for name, facts in plans.items() if name not in planned and facts and _is_plan(facts)}
        others = {name: facts for name, facts in strange.items() if facts["dataset"] not in self.study.left_out}
        if not others:
            return []
        valid = sum(self.is_done(run) for run in self.runs)
        head = f"the study file was changed: {counted(valid, 'run')} with results stay valid, "
        head += f"{counted(len(others), 'run')} of before no longer belong to it and are left alone:"
        reasons: dict[str, list[str]] = {}
        for name, facts in others.items():
            reasons.setdefault(self._why(facts), []).append(name)
        return [head, *(f"  {_some(names)}: {why}" for why, names in reasons.items())]

    def _why(self, facts: Mapping[str, Any]) -> str:
        """What differs from the run that stands in the same place of the tables now."""
        study = self.study
        trained = {name for name, dataset in study.datasets.items() if dataset.train}
        place: dict[str, Collection[Any]] = {"system": study.systems, "dataset": trained}
        place |= {"seed": study.seeds, "fraction": study.fractions}
        gone = [key for key, there in place.items() if facts[key] not in there]
        if gone:  # a dataset that is only tested on now counts too
            return f"its {' and '.join(gone)} {'are' if len(gone) > 1 else 'is'} not in the file any more"
        same = [run.facts for run in self.runs if all(run.facts[key] == facts[key] for key in place)]
        if not same:
            return "the search of its settings is not over"
        now, before = ({"bundle": one["bundle"], **one["settings"]} for one in (same[0], facts))
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        return ", ".join(f"{name} was {before.get(name)} and is {now.get(name)}" for name in changed)

    def of_run(self, run: Run) -> Path:
        """The folder of a run."""
        return run_folder(self.root, run)

    def result(self, run: Run) -> dict[str, Any] | None:
        """What a run gave, if it is done: all that is evaluated now is in it."""
        result = read_result(self.root, run)
        wanted = {name: list(self.study.styles) for name in self.tested(run)}
        found = result["evaluations"] if result else {}
        return result if all(found.get(name, {}).get("styles") == styles for name, styles in wanted.items()) else None

    def tested(self, run: Run) -> list[str]:
        """The datasets on which a run is evaluated, its own first; none for a trial of a search."""
        if not self.tests:
            return []
        others = self.study.transfer.get(run.dataset, ())
        return [run.dataset, *(name for name in others if name != run.dataset)]

    def is_done(self, run: Run) -> bool:
        """Whether there is nothing left to do."""
        return self.result(run) is not None

    def finish(self, run: Run, result: Mapping[str, Any]) -> None:
        """Write what a run gave; from then on it is done."""
        write_json(self.of_run(run) / RESULT, result)
        (self.of_run(run) / FAILURE).unlink(missing_ok=True)

    def failure(self, run: Run) -> dict[str, Any] | None:
        """Why a run has failed, if it has."""
        return read_failure(self.root, run)

    def fail(self, run: Run, error: str, log: Path) -> None:
        """Write that a run has failed; nobody tries again until `forgive`."""
        write_json(self.of_run(run) / FAILURE, {"error": error, "log": log.name})

    def forgive(self) -> int:
        """Let all runs that have failed wait again; returns how many."""
        failures = [self.of_run(run) / FAILURE for run in self.runs if self.failure(run)]
        for path in failures:
            path.unlink(missing_ok=True)
        return len(failures)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _is_plan(facts: Mapping[str, Any]) -> bool:
    keys = ("system", "bundle", "dataset", "seed", "fraction", "settings")
    return all(key in facts for key in keys) and isinstance(facts["settings"], dict)


def _require_owner(root: Path, study: Study) -> None:
    before = read_json(root / _STUDY)
    if before is not None and before.get("name") != study.name:
        raise StudyError(
            f"{root} belongs to the study {before.get('name')!r}, not to {study.name!r}: give another folder with "
            "--output"
        )
