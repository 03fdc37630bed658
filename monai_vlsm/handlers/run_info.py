# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation was: model, data, versions, command."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Events
from monai.engines import Workflow
from monai.utils import ensure_tuple

from monai_vlsm.io import replacing

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

    It has ``created`` (date and time), ``settings`` (what ``model.pt`` says about its network), ``versions``,
    ``command``, ``shown_by`` (of how many images the window of the file, their own range or 8 bits said what is black
    and what white; those of process 0), and all of ``facts``.

    Attach to the *evaluator*, on all processes; process 0 writes.

    Args:
        output_dir: folder of the file.
        state: has a method ``settings()`` that returns plain values (``monai_vlsm.checkpoints.TrainedState``).
        facts: further plain values, for example bundle, dataset_dir, split, styles, seed.
    """

    def __init__(self, output_dir: str | os.PathLike[str], state: Any, facts: Mapping[str, Any]) -> None:
        self.path = Path(output_dir) / "run.json"
        self.state = state
        self.facts = dict(facts)
        self.shown_by: Counter[str] = Counter()

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda _: self.shown_by.clear())
        engine.add_event_handler(Events.ITERATION_STARTED, self._count)  # later the batch is taken apart
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _count(self, engine: Workflow) -> None:
        batch = engine.state.batch
        meta = getattr(batch.get("image"), "meta", {}) if isinstance(batch, Mapping) else {}
        self.shown_by.update(ensure_tuple(meta.get(SHOWN_BY, ())))

    def __call__(self, engine: Workflow) -> None:
        """Write the file."""
        if idist.get_rank() != 0:
            return
        content = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **self.facts,
            "settings": self.state.settings(),
            "versions": package_versions(),
            SHOWN_BY: dict(self.shown_by),
            "command": shlex.join(sys.orig_argv),
        }
        with replacing(self.path) as path:
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
