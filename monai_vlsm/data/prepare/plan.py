# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What has to be made of a download: one recipe for each file of the official layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from monai_vlsm.data.prepare.archive import Archive
from monai_vlsm.data.rows import PromptTable

__all__ = ["Family", "Plan", "Recipe", "Wanted"]


@dataclass(frozen=True)
class Wanted:
    """One record of an official list.

    Args:
        split: train, val or test.
        image: name below ``images/``.
        mask: name below ``masks/``.
        prompt: its prompts.
    """

    split: str
    image: str
    mask: str
    prompt: PromptTable = field(hash=False)


@dataclass(frozen=True)
class Recipe:
    """How one file comes about.

    Args:
        members: files of the download that it is made of.
        make: returns its content; called in any thread, at most once.
    """

    members: tuple[str, ...]
    make: Callable[[], bytes]


@dataclass(frozen=True)
class Plan:
    """Recipes of a dataset. A wanted file without one is missing.

    Args:
        images: name below ``images/`` to recipe.
        masks: name below ``masks/`` to recipe.
        extra: further files, by their names in the folder of the dataset.
        notes: what the user should know.
    """

    images: Mapping[str, Recipe]
    masks: Mapping[str, Recipe]
    extra: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """The archive layout of one dataset.

    Args:
        plan: finds the recipes of the wanted records in a download.
        subfolders: split to the folder below ``images/`` and ``masks/`` that its files go to, where the official names
            of two splits collide; the names in its list get it in front.
    """

    plan: Callable[[Archive, Sequence[Wanted]], Plan]
    subfolders: Mapping[str, str] = field(default_factory=dict)
