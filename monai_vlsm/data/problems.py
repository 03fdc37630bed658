# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a dataset, and the error that lists all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_vlsm.counts import counted
from monai_vlsm.errors import UserError

__all__ = ["DatasetProblems", "MissingFileError", "Problem"]


@dataclass(frozen=True)
class Problem:
    """One fault of one file or of one record in a list.

    Args:
        file: path of the file, or path of the list and the record in it.
        expected: what should have been there.
        found: what was there instead.
    """

    file: str
    expected: str
    found: str

    def __str__(self) -> str:
        """One line: the file, what was expected, what was found."""
        return f"{self.file}: expected {self.expected}, found {self.found}"


class DatasetProblems(UserError, ValueError):  # noqa: N818 - it lists problems, the count makes the name
    """Everything that is wrong with the data: a count, then one line for each problem.

    Args:
        problems: the problems; or the finished message, which is how PyTorch rebuilds an error that a worker process
            raised.
    """

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems: tuple[Problem, ...] = () if isinstance(problems, str) else tuple(problems)
        super().__init__(problems if isinstance(problems, str) else _message(self.problems))


def _message(problems: Sequence[Problem]) -> str:
    count = f"{counted(len(problems), 'problem')} in the data"
    return "\n  ".join([f"{count}:", *map(str, problems)])


class MissingFileError(UserError, FileNotFoundError):
    """No file at a path that should have one."""
