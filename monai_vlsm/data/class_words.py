# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""By which words the prompts of a dataset name its classes, for networks that do not read prompts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from monai_vlsm.data.catalogue import dataset_card, known_datasets
from monai_vlsm.data.lists.classes import LabelClass, first_text
from monai_vlsm.data.rows import Row

__all__ = ["words_of_classes", "words_of_rows"]

logger = logging.getLogger(__name__)


def words_of_classes(classes: Iterable[LabelClass]) -> list[str]:
    """The prompt of each class of a table of labels; none where there is one class only."""
    return _several({one.text: None for one in classes if not one.ignored})


def words_of_rows(rows: Sequence[Row], dataset: str) -> list[str]:
    """The same of a list of images: of its structures, if each has a prompt of its own, else as the catalogue has them.

    Args:
        rows: of the list.
        dataset: its name.
    """
    named: dict[str, dict[str, None]] = {}
    for row in rows:
        for one in row.classes:
            if not one.ignored:
                named.setdefault(one.name, {})[one.text] = None
        if row.structure and not row.classes:
            named.setdefault(row.structure, {})[first_text(row.prompt)] = None
    if len(named) > 1 and all(len(texts) == 1 for texts in named.values()):
        return _several({text: None for texts in named.values() for text in texts})
    if dataset in known_datasets():
        return _several(dict.fromkeys(dataset_card(dataset).targets))
    if any(count > 1 for count in Counter(row.image for row in rows).values()):
        logger.warning(
            "%s: images have several structures, and nothing says by which words prompts name them: a U-Net draws one "
            "mask for all prompts of an image, unless --targets lists these words",
            dataset,
        )
    return []


def _several(words: dict[str, None]) -> list[str]:
    return list(words) if len(words) > 1 else []
