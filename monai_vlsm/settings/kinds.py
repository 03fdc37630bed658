# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Kinds of settings: what a value must be, in words, and the value in the form that the bundle takes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from monai_vlsm.data.volumes import WindowError, plain_window
from monai_vlsm.prompts import FlipWords, FlipWordsError

__all__ = ["Kind", "choice", "device", "flip_words", "number", "switch", "table", "text", "triple", "window"]

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Types of devices that a network of this package can be on."""


@dataclass(frozen=True)
class Kind:
    """What a value must be.

    Args:
        expected: that in words, to stand behind "expected".
        take: value to the value as the bundle takes it; raises ValueError for one of another kind, with a text where
            that says more than ``expected``.
        optional: None is a value too.
        is_text: the value is what was typed, whatever it looks like.
        many: a list of such values is one too.
        verbatim: never an expression, not even if a program sets it: words that people are asked for.
    """

    expected: str
    take: Callable[[Any], Any]
    optional: bool = False
    is_text: bool = False
    many: bool = False
    verbatim: bool = False


def number(
    low: float,
    high: float = math.inf,
    whole: bool = False,
    above: bool = False,
    optional: bool = False,
    words: Sequence[str] = (),
) -> Kind:
    """A finite number.

    Args:
        low: the smallest; itself too small if ``above``.
        high: the largest.
        whole: only whole numbers; ``1e3`` is one.
        above: see ``low``.
        optional: None is a value too.
        words: texts that are values too.
    """

    def take(value: Any) -> Any:
        if isinstance(value, str) and value in words:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError
        if not low <= value <= high or (above and value == low) or (whole and int(value) != value):
            raise ValueError
        return int(value) if whole else value

    kind = "a whole number" if whole else "a number"
    if above:
        bounds = f"above {low:g}" + ("" if math.isinf(high) else f", at most {high:g}")
    else:
        bounds = f"of at least {low:g}" if math.isinf(high) else f"from {low:.0f} to {high:.10g}"
    return Kind(" or ".join([f"{kind} {bounds}", *map(repr, words)]), take, optional)


def triple(above: float = -math.inf) -> Kind:
    """Three numbers, one for each channel."""

    def take(value: Any) -> list[float]:
        if not isinstance(value, list | tuple) or len(value) != 3:
            raise ValueError
        numbers: list[float] = [number(-math.inf).take(one) for one in value]
        if not min(numbers) > above:
            raise ValueError
        return numbers

    bound = "" if math.isinf(above) else f", each above {above:g}"
    return Kind(f"three numbers such as [0.5,0.5,0.5]{bound}", take)


def window() -> Kind:
    """A window, see `monai_vlsm.data.volumes.parse_window`, or None."""

    def take(value: Any) -> Any:
        try:
            return plain_window(value)
        except WindowError as error:
            raise ValueError(str(error).removeprefix("a window must be ").partition(", got ")[0]) from None

    return Kind("", take, optional=True)


def flip_words() -> Kind:
    """Words that change places when an image is flipped, see `monai_vlsm.prompts.FlipWords`."""

    def take(value: Any) -> Any:
        try:
            FlipWords(value)
        except FlipWordsError as error:
            raise ValueError(str(error).partition("expected ")[2].partition("; got ")[0]) from None
        return value

    return Kind("", take)


def choice(*words: str) -> Kind:
    """One of several words."""

    def take(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError
        return value

    return Kind(f"one of {', '.join(words)}", take)


def _instance(expected: str, kind: type, optional: bool) -> Kind:
    def take(value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError
        return value

    return Kind(expected, take, optional)


def switch() -> Kind:
    """True or False; the text ``false``, which Python takes for true, is refused."""
    return _instance("True or False", bool, optional=False)


def table() -> Kind:
    """A dict; None is an empty one."""

    def take(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict | None):
            raise ValueError
        return value or {}

    return Kind("a dict or None", take)


def text(many: bool = False, optional: bool = False, empty: bool = False, verbatim: bool = False) -> Kind:
    """A text as it was typed.

    Args:
        many: a list of texts is a value too.
        optional: None is a value too.
        empty: so is a text of nothing.
        verbatim: never an expression, see `Kind`.
    """

    def one(value: Any) -> str:
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        if isinstance(value, int) and not isinstance(value, bool):  # a name that is a number
            value = str(value)
        if not isinstance(value, str) or not (value.strip() or empty) or "\0" in value:
            raise ValueError
        return value

    def take(value: Any) -> str | list[str]:
        return [one(item) for item in value] if many and isinstance(value, list | tuple) and value else one(value)

    what = "a text" if empty else "a text that is not empty"
    return Kind(f"{what}{', or a list of such texts' if many else ''}", take, optional, True, many, verbatim)


def device() -> Kind:
    """A device that is there, as ``torch.device``."""
    expected = "cpu, cuda or cuda:NUMBER"

    def take(value: Any) -> Any:
        import torch  # here, so that the words alone need no torch

        try:
            found = torch.device(value) if isinstance(value, str | torch.device) else None
        except RuntimeError:
            found = None
        if found is None or found.type not in DEVICES:
            raise ValueError
        try:
            torch.empty(0, device=found)
        except (RuntimeError, AssertionError, NotImplementedError):  # built without it, no driver, no such index
            here = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
            raise ValueError(f"a device that is there ({', '.join(here)})") from None
        return found

    return Kind(expected, take)
