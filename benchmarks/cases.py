# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a case is: two sides, and a figure that is made of their measurements and held against a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conditions import Conditions
from measure import Side

Measured = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Figure:
    """A number that a case is judged by.

    Args:
        of: computes it from the measurements of the sides ``"plain"`` and ``"ours"``.
        unit: printed behind it.
        at_least: whether the target is a lower bound; else it is an upper one.
    """

    of: Callable[[Measured], float]
    unit: str
    at_least: bool


def _per_item(side: Mapping[str, Any]) -> float:
    return float(side["seconds"]) / float(side["items"])


SPEED = Figure(lambda sides: _per_item(sides["plain"]) / _per_item(sides["ours"]), "times as fast", True)
MEMORY = Figure(
    lambda sides: sides["ours"]["peak_memory_gib"] / sides["plain"]["peak_memory_gib"], "of the memory", False
)
SHARE = Figure(lambda sides: sides["ours"]["share"], "of the time", False)
SECONDS = Figure(lambda sides: sides["ours"]["seconds"], "s", False)
EXTRA_SECONDS = Figure(lambda sides: sides["ours"]["seconds"] - sides["plain"]["seconds"], "s more", False)


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Args:
        name: what it is called on the command line.
        title: what is compared, for people.
        target: bound for the figure.
        figure: what it is judged by.
        sides: builders by name, ``"ours"`` and usually ``"plain"``; each may be called in a process of its own.
        kind: last part of the name of its file, ``"train"``, ``"epoch"``, ``"inference"``, ``"memory"`` or ``"start"``.
        expected: seconds that the whole case takes at real size on two cores, to tell people before it starts.
        settings: what differs from the command line's conditions, for example ``{"batch": 8}``.
        counted: whether FLOPs are counted and memory is measured.
    """

    name: str
    title: str
    target: float
    figure: Figure
    sides: Mapping[str, Callable[[Conditions], Side]]
    kind: str
    expected: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    counted: bool = True

    def holds(self, value: float) -> bool:
        """Whether the target is met."""
        return value >= self.target if self.figure.at_least else value <= self.target

    def wanted(self) -> str:
        """The target in words."""
        return f"{'at least' if self.figure.at_least else 'at most'} {self.target:g} {self.figure.unit}"
