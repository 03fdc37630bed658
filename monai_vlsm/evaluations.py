# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of one evaluation in a folder: written as one, and read only where they belong together."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_vlsm.errors import UserError
from monai_vlsm.io import json_text
from monai_vlsm.outputs import Outputs, file_digest

__all__ = ["OVERLAYS", "RECORD", "EvaluationFiles", "MixedFilesError", "own_files"]

RECORD = "run.json"
"""Says which model, data and time the numbers belong to, and by their digests which files hold them."""

OVERLAYS = "overlays"
_TABLES = ("metrics.csv", "metrics.json", "cases.csv", "probes.csv", "calibration.json")  # what an evaluation may write
_FILES = "files"  # key in the record


class MixedFilesError(UserError, ValueError):
    """A folder holds files of several evaluations, or files that were changed since."""


class EvaluationFiles:
    """What the handlers of an evaluation write to: one object for all of them.

    With the first file of a new evaluation the record of the one before goes, and when the new one is `sealed`, all
    else that the old one left. So a folder with a record holds one evaluation, whole; one without was interrupted.
    Files that others put there, or changed, are neither replaced nor removed (`monai_vlsm.outputs`).

    Args:
        folder: of the evaluation; overlays go to ``overlays`` in it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.tables, self.overlays = Outputs(self.folder, "evaluation"), Outputs(self.folder / OVERLAYS, OVERLAYS)
        self._facts: Mapping[str, Any] | None = None
        self._awaited = False

    @classmethod
    def of(cls, folder: str | os.PathLike[str] | EvaluationFiles) -> EvaluationFiles:
        """The object itself, or one for a folder: for handlers that somebody uses on their own."""
        return folder if isinstance(folder, cls) else cls(folder)  # type: ignore[arg-type]

    def await_new(self) -> None:
        """The next file that is written is the first one of another evaluation."""
        self._awaited = True

    def open(self) -> None:
        """Before a file is written: if it is the first one, what was there before has no record any more."""
        if self._awaited:
            self._awaited, self._facts = False, None
            self.tables.start()
            self.overlays.start()
            self.tables.clear(only=[RECORD])

    def require_free(self, *names: str) -> None:
        """Check that no file that is somebody else's has one of these names.

        Raises:
            NotOursError: names these files.
        """
        self.tables.require_free(names)

    def write(self, name: str, text: str) -> None:
        """Write a file of text; what comes after the record is added to it.

        Raises:
            WriteError: when it cannot be done.
        """
        self.open()
        with self.tables.writing(name) as path:
            path.write_bytes(text.encode())
        if self._facts is not None:
            self.seal(self._facts)

    def seal(self, facts: Mapping[str, Any]) -> None:
        """Write the record, if anything else was written, and remove what is left of earlier evaluations.

        Args:
            facts: plain values that say what was evaluated, and when.
        """
        if self._awaited:
            return
        files = self.tables.finish() | {f"{OVERLAYS}/{name}": digest for name, digest in self.overlays.finish().items()}
        files.pop(RECORD, None)
        with self.tables.writing(RECORD) as path:
            path.write_bytes(json_text({**facts, _FILES: files}).encode())
        self._facts = facts


def own_files(folder: Path) -> dict[str, Path]:
    """The files that belong to the evaluation in a folder, by their names there; `RECORD` is not among them.

    Without a record a lone ``metrics.csv`` may be read, which others may have written.

    Raises:
        MixedFilesError: a file is of another evaluation, or was changed since; or the evaluation was interrupted.
    """
    there = {name: folder / name for name in _TABLES if (folder / name).is_file()}
    told = _told(folder / RECORD)
    if told is None:
        others = sorted(there.keys() - {"metrics.csv", "metrics.json"})
        if others:
            raise MixedFilesError(
                f"{folder} has {', '.join(others)} but no {RECORD}, which says which evaluation they are of: it was "
                "interrupted, or files were put together. Run the evaluation again"
            )
        return there
    there |= {name: folder / name for name in told if (folder / name).is_file()}
    for name, path in there.items():
        if told.get(name) != file_digest(path):
            fault = "was changed since the evaluation" if name in told else "is of another evaluation"
            raise MixedFilesError(
                f"{path} {fault} that {RECORD} tells of: put the file back, or run the evaluation again"
            )
    return there


def _told(path: Path) -> dict[str, str] | None:
    """Digests by name as the record has them; None without a record."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        return {str(name): str(digest) for name, digest in content[_FILES].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise MixedFilesError(
            f"{path} does not say which files are of its evaluation: it is damaged, or another version or program "
            "wrote it. Run the evaluation again"
        ) from error
