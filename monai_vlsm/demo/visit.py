# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One visitor of the page, with files, models and answers that nobody else sees."""

from __future__ import annotations

import secrets
import shutil
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from monai_vlsm.demo.answers import Answer
from monai_vlsm.errors import UserError

__all__ = ["NotThereError", "Visit"]

_ANSWERS, _FILES = 6, 2  # that are kept
_NAME = 200  # bytes of a file name; file systems take 255


class NotThereError(UserError, LookupError):
    """Something was asked for that is gone by now, or of somebody else."""


@dataclass
class Visit:
    """What one browser has dropped and got.

    Args:
        folder: of its files.
        models: names that it sees, and those by which they are loaded, the newest at the end.
        files: dropped files by their keys, the newest at the end.
        answers: by their keys, the one that was used last at the end.
        used: when it was here last.
    """

    folder: Path
    models: OrderedDict[str, str] = field(default_factory=OrderedDict)
    files: OrderedDict[str, Path] = field(default_factory=OrderedDict)
    answers: OrderedDict[str, Answer] = field(default_factory=OrderedDict)
    used: float = field(default_factory=time.monotonic)

    def place(self, name: str) -> Path:
        """A path for a file of this name, in a folder of its own."""
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        return folder / _file_name(name)

    def add_file(self, path: Path) -> str:
        """Take a file; older ones go. Returns its key."""
        self.files[path.parent.name] = path
        while len(self.files) > _FILES:
            shutil.rmtree(self.files.popitem(last=False)[1].parent, ignore_errors=True)
        return path.parent.name

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


def _file_name(name: str) -> str:
    """The name that a visitor's file has here; ``::`` would mean a part of a file."""
    own = name.replace("\\", "/").rpartition("/")[2].replace("::", "_")
    shown = "".join(letter if letter.isprintable() else " " for letter in own).strip().lstrip(".")
    return shown.encode("utf-8", "ignore")[-_NAME:].decode("utf-8", "ignore") or "image"
