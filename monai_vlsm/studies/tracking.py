# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""All trainings of a study as runs of one experiment of MLflow."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from monai_vlsm.names import file_stem
from monai_vlsm.studies.keys import StudyError
from monai_vlsm.studies.plan import Run

__all__ = ["Tracking"]

_DATABASE = "mlruns.db"


@dataclass(frozen=True)
class Tracking:
    """Where trainings are tracked.

    MONAI's own default is a database for each training, and a name for its run that is the time, which makes workers
    that begin while others train write into the runs of those.

    Args:
        experiment: its name.
        uri: of MLflow's store; empty leaves it to ``MLFLOW_TRACKING_URI``.
    """

    experiment: str
    uri: str

    @classmethod
    def of(cls, kind: str | None, experiment: str, root: Path) -> Tracking | None:
        """What an option says; None for no tracking.

        Raises:
            StudyError: MLflow is not installed.
        """
        if kind is None:
            return None
        if importlib.util.find_spec("mlflow") is None:
            raise StudyError("--tracking mlflow needs MLflow: pip install 'monai_vlsm[track]'")
        given = os.environ.get("MLFLOW_TRACKING_URI", "")
        return cls(file_stem(experiment), "" if given else f"sqlite:///{(root / _DATABASE).absolute()}")

    def words(self, run: Run) -> list[str]:
        """Behind the command of a training."""
        names = {"experiment_name": self.experiment, "run_name": run.name}
        given = [f"--{key}={name!r}" for key, name in names.items()]  # in quotes: a name of digits is a text too
        return ["--tracking=mlflow", *given, *([f"--tracking_uri={self.uri}"] if self.uri else [])]
