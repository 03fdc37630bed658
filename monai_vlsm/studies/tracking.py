# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""All trainings of a study as runs of one experiment of MLflow."""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from monai_vlsm.io import PART, replacing
from monai_vlsm.names import file_stem
from monai_vlsm.studies.claim import Claims
from monai_vlsm.studies.keys import MachineError, StudyError
from monai_vlsm.studies.plan import Run
from monai_vlsm.studies.study import LEASE

__all__ = ["Tracking"]

_DATABASE, _ARTIFACTS = "mlruns.db", "mlruns"
_PORTS = {"http": 80, "https": 443}
_PAUSE = 1.0  # seconds between two looks at what another worker does
_ANSWER = 20  # seconds that a server has to answer


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
        """Make the database, unless it is there; whole, since workers that make its tables at once meet errors.

        Raises:
            MachineError: the server that the environment names does not answer, for which MLflow would try minutes
                long at each training.
            WriteError: the database cannot be made.
        """
        if self.database is None:
            _require_server(os.environ.get("MLFLOW_TRACKING_URI", ""))
        if self.database is None or self.database.exists():
            return
        mlflow: Any = importlib.import_module("mlflow")
        part = self.database.with_name(f".{_DATABASE}.{secrets.token_hex(6)}{PART}")
        try:
            client = mlflow.MlflowClient(tracking_uri=_uri(part))
            client.create_experiment(self.experiment, artifact_location=self.database.with_name(_ARTIFACTS).as_uri())
            _put(part, self.database)
        finally:
            part.unlink(missing_ok=True)

    def words(self, run: Run) -> list[str]:
        """Behind the command of a training."""
        names = {"experiment_name": self.experiment, "run_name": run.name}
        given = [f"--{key}={name!r}" for key, name in names.items()]  # in quotes: a name of digits is a text too
        where = [f"--tracking_uri={_uri(self.database)}"] if self.database else []
        return ["--tracking=mlflow", *given, *where]


def _put(part: Path, database: Path) -> None:
    """Give a file its name, unless another worker was quicker."""
    try:
        database.hardlink_to(part)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        _put_alone(part, database)


def _put_alone(part: Path, database: Path) -> None:
    """As `_put`, one worker after the other: another one's database may hold trainings by now."""
    claims = Claims(database.parent, LEASE)
    while not database.exists():
        claim = claims.take(database.parent)
        if claim is None:
            time.sleep(_PAUSE)
            continue
        with claim:
            if not database.exists():
                with replacing(database) as temporary:
                    part.replace(temporary)


def _require_server(address: str) -> None:
    parts = urlsplit(address)
    host = parts.hostname
    if parts.scheme not in _PORTS or not host or (parts.scheme in getproxies() and not proxy_bypass(host)):
        return
    try:
        socket.create_connection((host, parts.port or _PORTS[parts.scheme]), timeout=_ANSWER).close()
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MachineError(
            f"MLFLOW_TRACKING_URI: no answer from {host}: {reason}. Start the server, or leave out --tracking"
        ) from error


def _uri(database: Path) -> str:
    return f"sqlite:///{database}"
