# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation was: model, data, versions, command."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import ignite.distributed as idist
from ignite.engine import Events
from monai.engines import Workflow
from monai.utils import ensure_tuple

from monai_vlsm.evaluations import RECORD, EvaluationFiles
from monai_vlsm.handlers.engine_state import is_best_epoch
from monai_vlsm.handlers.run_facts import records_digest

__all__ = ["RunInfoWriter", "package_versions"]

SHOWN_BY = "shown_by"  # in the meta of an image, from `monai_vlsm.transforms.ToRGB`
PACKAGES = ("monai_vlsm", "monai", "torch")


def package_versions() -> dict[str, str]:
    """Versions of monai_vlsm, monai and torch as installed; ``"not installed"`` for a plain source folder."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


class RunInfoWriter:
    """Writes ``run.json`` when an evaluation has ended: plain values that say what its numbers belong to.

    It has ``created`` (date and time), ``model`` (a digest of what was trained), ``data`` (one of the records),
    ``settings`` (what ``model.pt`` says about its network), ``versions``, ``command``, ``shown_by`` (of how many images
    the window of the file, their own range or 8 bits said what is black and what white; those of process 0), ``files``
    (the digests of all that belongs to it, by which readers know a mix), and all of ``facts``. Of the best epoch, as
    `ScoreWriter`.

    Attach to the *evaluator*, on all processes; process 0 writes.

    Args:
        output_dir: folder of the file, or the files of the evaluation, which all of its handlers share.
        state: has the methods ``settings()`` and ``digest()`` (``monai_vlsm.checkpoints.TrainedState``).
        facts: further plain values, for example bundle, dataset_dir, split, styles, seed.
        records: what is evaluated.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str] | EvaluationFiles,
        state: Any,
        facts: Mapping[str, Any],
        records: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.files = EvaluationFiles.of(output_dir)
        self.state = state
        self.facts = dict(facts)
        self.records = records
        self.shown_by: Counter[str] = Counter()

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``."""
        self.files.require_free(RECORD)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._count)  # later the batch is taken apart
        engine.add_event_handler(Events.COMPLETED, self)  # when the other handlers have written

    def _start(self, engine: Workflow) -> None:
        self.shown_by.clear()
        self.files.await_new()

    def _count(self, engine: Workflow) -> None:
        batch = engine.state.batch
        for item in batch if isinstance(batch, list) else [batch]:
            meta = getattr(item.get("image"), "meta", {}) if isinstance(item, Mapping) else {}
            self.shown_by.update(ensure_tuple(meta.get(SHOWN_BY, ())))

    @cached_property
    def _data(self) -> str:
        return records_digest(self.records)

    def __call__(self, engine: Workflow) -> None:
        """Write the file."""
        if idist.get_rank() != 0 or not is_best_epoch(engine):
            return
        content = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": self.state.digest(),
            "data": self._data,
            **self.facts,
            "settings": self.state.settings(),
            "versions": package_versions(),
            SHOWN_BY: dict(self.shown_by),
            "command": shlex.join(sys.orig_argv),
        }
        self.files.seal(content)
