# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""All trainings of a study as runs of one experiment of MLflow."""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.io import PART
from monai_vlsm.names import file_stem
from monai_vlsm.studies.keys import StudyError
from monai_vlsm.studies.plan import Run

__all__ = ["Tracking"]

_DATABASE, _ARTIFACTS = "mlruns.db", "mlruns"


@dataclass(frozen=True)
class Tracking:
    """Where trainings are tracked.

    MONAI's own default is a database for each training, and a name for its run that is the time; with one database for
    all, workers would write into the runs of each other.

    Args:
        experiment: its name.
        database: file of MLflow's store; None leaves the store to ``MLFLOW_TRACKING_URI``.
    """

    experiment: str
    database: Path | None

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
        database = None if os.environ.get("MLFLOW_TRACKING_URI") else (root / _DATABASE).absolute()
        return cls(file_stem(experiment), database)

    def prepare(self) -> None:
        """Make the database, unless it is there; whole, since workers that make its tables at once meet errors."""
        if self.database is None or self.database.exists():
            return
        mlflow: Any = importlib.import_module("mlflow")
        part = self.database.with_name(f".{_DATABASE}.{secrets.token_hex(6)}{PART}")
        try:
            client = mlflow.MlflowClient(tracking_uri=_uri(part))
            client.create_experiment(self.experiment, artifact_location=self.database.with_name(_ARTIFACTS).as_uri())
            with suppress(FileExistsError):  # another worker was quicker
                self.database.hardlink_to(part)
        finally:
            part.unlink(missing_ok=True)

    def words(self, run: Run) -> list[str]:
        """Behind the command of a training."""
        names = {"experiment_name": self.experiment, "run_name": run.name}
        given = [f"--{key}={name!r}" for key, name in names.items()]  # in quotes: a name of digits is a text too
        where = [f"--tracking_uri={_uri(self.database)}"] if self.database else []
        return ["--tracking=mlflow", *given, *where]


def _uri(database: Path) -> str:
    return f"sqlite:///{database}"
