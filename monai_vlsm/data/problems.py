# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a dataset, and the error that lists all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from monai_vlsm.counts import counted
from monai_vlsm.errors import UserError

__all__ = ["DatasetProblems", "MissingFileError", "Problem"]

NAMED = 2  # files that have the problem of the first too
_DETAIL = re.compile(r"[\d,;:('\"]")  # where what was found goes on with what is of this file only


@dataclass(frozen=True)
class Problem:
    """One fault of one file or of one record in a list.

    Args:
        file: path of the file, or path of the list and the record in it.
        expected: what should have been there.
        found: what was there instead.
        kind: of the fault, where what was expected or found differs from file to file.
    """

    file: str
    expected: str
    found: str
    kind: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        """One line: the file, what was expected, what was found."""
        return f"{self.file}: expected {self.expected}, found {self.found}"


class DatasetProblems(UserError, ValueError):  # noqa: N818 - it lists problems, the count makes the name
    """Everything that is wrong with the data: a count, then one line for each problem.

    Args:
        problems: the problems; or the finished message, which is how PyTorch rebuilds an error that a worker process
            raised.
        grouped: of problems of one kind, describe the first and name two more files.
    """

    def __init__(self, problems: Sequence[Problem] | str, grouped: bool = False) -> None:
        self.problems: tuple[Problem, ...] = () if isinstance(problems, str) else tuple(problems)
        super().__init__(problems if isinstance(problems, str) else _message(self.problems, grouped))


def _message(problems: Sequence[Problem], grouped: bool) -> str:
    count = f"{counted(len(problems), 'problem')} in the data"
    return "\n  ".join([f"{count}:", *(_grouped(problems) if grouped else map(str, problems))])


def _grouped(problems: Sequence[Problem]) -> Iterator[str]:
    """The first problem of each kind, and below it the files that have it too."""
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        beginning = _DETAIL.split(problem.found, maxsplit=1)[0]
        kinds.setdefault((problem.kind, "") if problem.kind else (problem.expected, beginning), []).append(problem)
    for first, *others in kinds.values():
        yield str(first)
        files = [other.file for other in others]
        more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
        if files:
            yield f"  likewise {', '.join(files[:NAMED])}{more}"


class MissingFileError(UserError, FileNotFoundError):
    """No file at a path that should have one."""
