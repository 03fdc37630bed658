# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables that people write: only known keys, values of the right kind, and a plain word on what is wrong."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from monai_vlsm.errors import UserError

__all__ = ["MachineError", "StudyError", "known", "listed", "nearest", "shown", "take"]

Value = TypeVar("Value")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


class StudyError(UserError, ValueError):
    """A study file, or the folder of a study, that cannot be used."""


class MachineError(StudyError):
    """This machine cannot go on; its run waits for another worker."""


def shown(value: Any) -> str:
    """A value in a message: its beginning if it is long, since what aliases of YAML hold may have no end."""
    return _SHORT.repr(value)


def nearest(word: str, words: Iterable[str]) -> str:
    """Half a sentence that helps: the word that was meant, or all that there are."""
    names = sorted(words)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"


def known(place: str, table: Any, keys: Iterable[str]) -> dict[str, Any]:
    """A table of which all keys are known; None is an empty one.

    Raises:
        StudyError: no table, or another key.
    """
    keys = list(keys)
    if not isinstance(table, Mapping | None):
        raise StudyError(f"{place}: expected a table with {', '.join(keys)}, got {shown(table)}")
    for key in table or {}:
        if key not in keys:
            raise StudyError(f"{place}: unknown key {shown(key)}; {nearest(str(key), keys)}")
    return dict(table or {})


def take(place: str, value: Any, expected: str, fits: Callable[[Any], bool]) -> Any:
    """The value, if it fits.

    Raises:
        StudyError: it does not; says what was expected.
    """
    if not fits(value):
        raise StudyError(f"{place}: expected {expected}, got {shown(value)}")
    return value


def listed(place: str, values: Any, expected: str, fits: Callable[[Any], bool]) -> list[Any]:
    """A list of different values that all fit, not empty.

    Raises:
        StudyError: anything else.
    """
    if not isinstance(values, list) or not values or not all(map(fits, values)):
        raise StudyError(f"{place}: expected a list of {expected}, got {shown(values)}")
    twice = [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise StudyError(f"{place}: {shown(twice[0])} is there twice")
    return values
