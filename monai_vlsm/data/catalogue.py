# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The eight datasets of the VLSM papers: what they are, where to get them, what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

from monai_vlsm.errors import UserError

__all__ = ["DatasetCard", "UnknownDatasetError", "dataset_card", "known_datasets", "recognise", "recognise_archive"]

_CARDS = files("monai_vlsm.data") / "cards"
ENOUGH = 0.5  # share of the names that must fit for a folder to look like a dataset


class UnknownDatasetError(UserError, ValueError):
    """A name that is not in the catalogue; the message lists those that are."""


@dataclass(frozen=True)
class DatasetCard:
    """What is known of one dataset.

    Args:
        name: as the folders of the official annotations have it.
        title: as its makers call it.
        modality: kind of image.
        targets: structures that its prompts ask for.
        splits: records in each official list; one record is one structure of one image.
        styles: number of prompt styles, p0 included.
        images_from: where the images are.
        prompts_from: where the official lists with the prompts are.
        licence: of the images, as far as it is certain.
        conditions: what has to be done to get or use them.
        citation: paper to cite.
        archive: what ``data prepare`` looks for in the download.
        archive_pattern: regular expression that paths in the download match.
        name_pattern: regular expression that ``img_name`` in the official lists matches.
        patient_pattern: regular expression for the part of ``img_name`` that stands for the patient; None if the name
            does not tell.
        boxes: whether the official lists hold the box around each mask, in pixels of the download.
        defects: what one should know before trusting scores.
    """

    name: str
    title: str
    modality: str
    targets: tuple[str, ...]
    splits: Mapping[str, int] = field(hash=False)
    styles: int
    images_from: str
    prompts_from: str
    licence: str
    conditions: str
    citation: str
    archive: str
    archive_pattern: str
    name_pattern: str
    patient_pattern: str | None
    boxes: bool
    defects: tuple[str, ...]

    def patient(self, image: str) -> str | None:
        """The patient whom an image shows, from its name below ``images/``; None if the name does not tell."""
        found = re.search(self.patient_pattern, image) if self.patient_pattern else None
        return found.group() if found else None


@lru_cache(maxsize=1)
def _cards() -> dict[str, DatasetCard]:
    cards = [_card(json.loads(file.read_text(encoding="utf-8"))) for file in _CARDS.iterdir() if file.is_file()]
    return {card.name: card for card in sorted(cards, key=lambda card: card.name)}


def _card(values: dict[str, object]) -> DatasetCard:
    fixed = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return DatasetCard(**fixed)  # type: ignore[arg-type]


def known_datasets() -> list[str]:
    """Names of the datasets in the catalogue, sorted."""
    return list(_cards())


def dataset_card(name: str) -> DatasetCard:
    """The card of one dataset.

    Raises:
        UnknownDatasetError: (a ValueError) no such dataset; the message lists the known ones.
    """
    if name not in _cards():
        raise UnknownDatasetError(f"unknown dataset {name!r}, known: {', '.join(known_datasets())}")
    return _cards()[name]


def recognise(names: Iterable[str]) -> DatasetCard | None:
    """The dataset that names of images (``img_name``) are most like; None if less than half of them fit any."""
    return _best(list(names), {name: card.name_pattern for name, card in _cards().items()}, ENOUGH)


def recognise_archive(paths: Iterable[str]) -> DatasetCard | None:
    """The dataset whose download the paths in a folder are most like; None if none of them fits any."""
    return _best(list(paths), {name: card.archive_pattern for name, card in _cards().items()}, 0.0)


def _best(names: list[str], patterns: Mapping[str, str], share: float) -> DatasetCard | None:
    fits = {name: _fitting(names, pattern) for name, pattern in patterns.items()}
    best = max(fits, key=lambda name: fits[name])
    return dataset_card(best) if fits[best] and fits[best] >= share * len(names) else None


def _fitting(names: list[str], pattern: str) -> int:
    expression = re.compile(pattern, re.IGNORECASE)
    return sum(expression.search(name) is not None for name in names)
