# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Visitors of the page, each with files, models and answers that nobody else sees."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from monai_vlsm.demo.answers import Answer
from monai_vlsm.demo.models import Models
from monai_vlsm.errors import UserError

__all__ = ["NotThereError", "Visit", "Visits"]

_IDLE = 1800  # seconds until a visit is forgotten
_VISITS, _ANSWERS, _FILES, _MODELS = 16, 6, 2, 3  # that are kept


class NotThereError(UserError, LookupError):
    """Something was asked for that is gone by now, or of somebody else."""


@dataclass
class Visit:
    """What one browser has dropped and got.

    Args:
        folder: of its files.
        models: names that it sees, and those by which they are loaded.
        files: dropped files by their keys.
        answers: by their keys, the one that was used last at the end.
    """

    folder: Path
    models: dict[str, str] = field(default_factory=dict)
    files: OrderedDict[str, Path] = field(default_factory=OrderedDict)
    answers: OrderedDict[str, Answer] = field(default_factory=OrderedDict)
    used: float = field(default_factory=time.monotonic)

    def place(self, name: str) -> tuple[str, Path]:
        """A key and a path for a file of this name, in a folder of its own."""
        key = secrets.token_hex(8)
        (self.folder / key).mkdir()
        return key, self.folder / key / (Path(name.replace("\\", "/")).name[-100:].lstrip(".") or "image")

    def add_file(self, key: str, path: Path) -> None:
        """Take a file; older ones go."""
        self.files[key] = path
        while len(self.files) > _FILES:
            shutil.rmtree(self.files.popitem(last=False)[1].parent, ignore_errors=True)

    def file(self, key: str) -> Path:
        """A file.

        Raises:
            NotThereError: it is gone.
        """
        if key not in self.files:
            raise NotThereError("the file is gone from the server; drop it again")
        return self.files[key]

    def add_answer(self, answer: Answer) -> str:
        """Keep an answer; the oldest goes. Returns its key."""
        key = secrets.token_hex(8)
        self.answers[key] = answer
        while len(self.answers) > _ANSWERS:
            self.answers.popitem(last=False)
        return key

    def answer(self, key: str) -> Answer:
        """An answer.

        Raises:
            NotThereError: it is gone.
        """
        if key not in self.answers:
            raise NotThereError("these masks are gone from the server; press Segment again")
        self.answers.move_to_end(key)
        return self.answers[key]


class Visits:
    """All visits; those that are idle are forgotten, with their files.

    Args:
        models: of which those of a visit are unloaded.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._home = tempfile.TemporaryDirectory(prefix="monai_vlsm_demo_")
        self._visits: OrderedDict[str, Visit] = OrderedDict()

    def of(self, key: str | None) -> tuple[str, Visit]:
        """The visit of a key, or a new one with its key."""
        self._forget()
        if key is None or key not in self._visits:
            key = secrets.token_urlsafe(24)
            self._visits[key] = Visit(Path(tempfile.mkdtemp(dir=self._home.name)))
        visit = self._visits[key]
        visit.used = time.monotonic()
        self._visits.move_to_end(key)
        return key, visit

    def add_model(self, visit: Visit, name: str, path: Path) -> str:
        """Load a model for one visit; returns the name that it sees.

        Raises:
            UserError: it does not fit the base, or there are enough.
        """
        if len(visit.models) >= _MODELS:
            raise NotThereError(f"{_MODELS} models of your own are loaded, the most; reload the page later")
        shown, own = f"{name} (yours)", secrets.token_hex(8)
        self._models.load(own, path)
        if shown in visit.models:
            self._models.unload(visit.models[shown])
        visit.models[shown] = own
        return shown

    def _forget(self) -> None:
        now = time.monotonic()
        while self._visits:
            key, visit = next(iter(self._visits.items()))
            if len(self._visits) <= _VISITS and now - visit.used < _IDLE:
                return
            for name in visit.models.values():
                self._models.unload(name)
            shutil.rmtree(visit.folder, ignore_errors=True)
            del self._visits[key]

    def close(self) -> None:
        """Remove all files."""
        self._home.cleanup()
