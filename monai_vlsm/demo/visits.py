# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""All visitors of the page, and what they may keep."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections import OrderedDict
from pathlib import Path

from monai_vlsm.demo.answers import Answer
from monai_vlsm.demo.models import Models
from monai_vlsm.demo.visit import NotThereError, Visit
from monai_vlsm.serving import Segmenter

__all__ = ["Visits"]

_IDLE = 1800  # seconds until a visit is forgotten
_VISITS, _MODELS = 16, 3  # that are kept
_MOST_KEPT = 2**31  # bytes of all answers


class Visits:
    """All visits; those that are idle are forgotten, with their files.

    Args:
        models: that all of them may choose.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._home = tempfile.TemporaryDirectory(prefix="monai_vlsm_demo_")
        self._visits: OrderedDict[str, Visit] = OrderedDict()

    def of(self, key: str | None) -> tuple[str, Visit]:
        """The visit of a key, or a new one with its key."""
        visit = self.known(key)
        if key is None or visit is None:
            key, visit = secrets.token_urlsafe(24), Visit(Path(tempfile.mkdtemp(dir=self._home.name)))
            self._visits[key] = visit
        return key, visit

    def known(self, key: str | None) -> Visit | None:
        """The visit of a key, which it prolongs; None where there is none, or it was forgotten."""
        self._forget()
        visit = None if key is None else self._visits.get(key)
        if key is not None and visit is not None:
            visit.used = time.monotonic()
            self._visits.move_to_end(key)
        return visit

    def names(self, visit: Visit) -> list[str]:
        """Models that a visit may choose."""
        return [*self._models.names, *visit.models]

    def segmenter(self, visit: Visit, name: str) -> Segmenter:
        """A model, by the name that a visit sees.

        Raises:
            NotThereError: there is none.
        """
        if name not in self.names(visit):
            raise NotThereError(f"there is no model {name!r} any more; choose another, or add it again")
        return self._models.segmenter(visit.models.get(name, name))

    def add_model(self, visit: Visit, name: str, path: Path) -> str:
        """Load a model for one visit; its oldest goes. Returns the name that the visit sees.

        Raises:
            UserError: it does not fit the base.
        """
        shown, own = f"{name} (yours)", secrets.token_hex(8)
        self._models.load(own, path)
        if shown in visit.models:
            self._models.unload(visit.models.pop(shown))
        visit.models[shown] = own
        while len(visit.models) > _MODELS:
            self._models.unload(visit.models.popitem(last=False)[1])
        return shown

    def add_answer(self, visit: Visit, answer: Answer) -> str:
        """Keep an answer. Those that others have not looked at for the longest go where memory ends."""
        key = visit.add_answer(answer)
        for other in list(self._visits.values()):
            while self._kept() > _MOST_KEPT and next(iter(other.answers), key) != key:
                other.answers.popitem(last=False)
        return key

    def _kept(self) -> int:
        return sum(answer.bytes for visit in self._visits.values() for answer in visit.answers.values())

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
