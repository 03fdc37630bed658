# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a search gave: of each system on each dataset, the values with the best Dice on the validation images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.studies.keys import StudyError
from monai_vlsm.studies.plan import Run, plan_runs
from monai_vlsm.studies.run_files import read_failure, read_result
from monai_vlsm.studies.study import Study
from monai_vlsm.studies.trials import kept_values, trial_runs

__all__ = ["Choice", "Trial", "choices_of", "chosen_runs", "require_choices"]


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Args:
        run: that trains.
        values: that it tries.
        score: mean Dice over the validation images after its best epoch; None if it is not done.
        failed: whether it has failed, as with a learning rate that is too high.
    """

    run: Run
    values: Mapping[str, Any]
    score: float | None
    failed: bool


@dataclass(frozen=True)
class Choice:
    """The trials of one system on one dataset.

    Args:
        system: its name.
        dataset: its name.
        wanted: how many trials there will be.
        trials: those that are planned: all, or none before the search has begun.
    """

    system: str
    dataset: str
    wanted: int
    trials: Sequence[Trial]

    @property
    def over(self) -> int:
        """How many trials are done or have failed."""
        return sum(trial.failed or trial.score is not None for trial in self.trials)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to try."""
        return self.over == self.wanted

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, the first of equal ones; None before all are over, or if all failed."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return max(scored, key=lambda trial: trial.score or 0.0) if scored and self.is_over else None


def choices_of(study: Study, root: Path) -> list[Choice]:
    """Each system on each dataset that it is trained on, in the order of the plan; none without a search."""
    if study.search is None:
        return []
    found: dict[tuple[str, str], list[Trial]] = {
        (run.system, run.dataset): [] for run in plan_runs(study) if run.trains
    }
    for run in trial_runs(study, kept_values(study, root)):
        found[run.system, run.dataset].append(_trial(study.search.settings, root, run))
    return [Choice(*pair, study.search.trials, trials) for pair, trials in found.items()]


def chosen_runs(study: Study, choices: Sequence[Choice]) -> list[Run]:
    """The runs of a study with what its search has chosen; those are left out of which it has not yet, or cannot."""
    best = {(one.system, one.dataset): one.best.values for one in choices if one.best}
    runs = [run for run in plan_runs(study) if not run.trains or (run.system, run.dataset) in best]
    return [replace(run, settings={**run.settings, **best.get((run.system, run.dataset), {})}) for run in runs]


def require_choices(choices: Sequence[Choice]) -> list[str]:
    """Check that a search is over, so that each run of its study has its settings.

    Returns:
        A line for each system on a dataset that has no runs, since all of its trials failed.

    Raises:
        StudyError: trials are left.
    """
    over, wanted = (sum(numbers) for numbers in ([one.over for one in choices], [one.wanted for one in choices]))
    if over < wanted:
        raise StudyError(
            f"the runs need the search, of which {over} of {counted(wanted, 'trial')} are over; do it first: "
            "python -m monai_vlsm study search"
        )
    return [f"no runs of {one.system} on {one.dataset}: all of its trials failed" for one in choices if not one.best]


def _trial(names: Mapping[str, Any], root: Path, run: Run) -> Trial:
    score = (read_result(root, run) or {}).get("validation")
    values = {name: run.settings[name] for name in names}
    return Trial(run, values, score, score is None and read_failure(root, run) is not None)
