# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""By which words the prompts of a dataset name its classes, for networks that do not read prompts.

Words are given only where they are sure: every prompt of a class contains those of the class, and of no other class but
such as these contain themselves ("kidney" in "left kidney").
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from monai_vlsm.data.catalogue import dataset_card, known_datasets
from monai_vlsm.data.lists.classes import LabelClass, PromptTable, first_text
from monai_vlsm.data.rows import Row

__all__ = ["words_of_classes", "words_of_rows"]

logger = logging.getLogger(__name__)
Named = tuple[str, PromptTable]


def words_of_classes(classes: Iterable[LabelClass], dataset: str) -> list[str]:
    """The first prompt of each class of a table of labels; none where there is one class only.

    Args:
        classes: of the table.
        dataset: its name, for the warning where words are not sure.
    """
    named = [(one.name, one.prompt) for one in classes if not one.ignored]
    words = _sure({name: first_text(prompt) for name, prompt in named}, named)
    if len(named) > 1 and not words:
        _warn(dataset)
    return words


def words_of_rows(rows: Sequence[Row], dataset: str) -> list[str]:
    """The same of a list of images: of its structures, if all have names and none is in one image only, else as the
    catalogue has them.

    Args:
        rows: of the list.
        dataset: its name.
    """
    named: list[Named] = []
    images: dict[str, set[Path]] = {}
    for row in rows:
        classes = [(one.name, one.prompt) for one in row.classes if not one.ignored]
        for name, prompt in classes or [(row.structure or "", row.prompt)]:
            named.append((name, prompt))
            images.setdefault(name, set()).add(row.image)
    words: list[str] = []
    if "" not in images and all(len(found) > 1 for found in images.values()):
        firsts = {name: first_text(prompt) for name, prompt in reversed(named)}
        words = _sure({name: firsts[name] for name in images}, named)
    elif dataset in known_datasets():
        targets = dataset_card(dataset).targets
        own = [(_meant(first_text(row.prompt), targets) or "", row.prompt) for row in rows]
        words = _sure({target: target for target in targets}, own)
    if not words and len(named) > len({row.image for row in rows}):
        _warn(dataset)
    return words


def _sure(words: Mapping[str, str], named: Iterable[Named]) -> list[str]:
    """The words of each class in the order of ``words``, if there are several and all prompts mean their own class."""
    texts = list(words.values())
    if len({_split(text) for text in texts}) < max(2, len(texts)):
        return []
    asked = {(name, text) for name, prompt in named for text in _texts(prompt)}  # lists repeat themselves
    fits = all(name in words and _meant(text, texts) == words[name] for name, text in asked)
    return texts if fits else []


def _texts(prompt: PromptTable) -> Iterator[str]:
    """All texts of all styles but the empty ones, such as p0."""
    for value in prompt.values():
        yield from (text for text in ([value] if isinstance(value, str) else value) if text.strip())


def _meant(text: str, targets: Collection[str]) -> str | None:
    """The target that a text contains; None if there is none, or more than one of which neither contains the other."""
    found = sorted((target for target in targets if _within(target, text)), key=lambda one: -len(_split(one)))
    return found[0] if found and all(_within(other, found[0]) for other in found) else None


def _within(part: str, text: str) -> bool:
    words, own = _split(text), _split(part)
    return any(words[start : start + len(own)] == own for start in range(len(words) - len(own) + 1)) and bool(own)


def _split(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+|[^\w\s]", text.lower()))


def _warn(dataset: str) -> None:
    logger.warning(
        "%s: images have several structures, and nothing says for sure by which words prompts name them: a U-Net draws "
        "one mask for all prompts of an image, unless --targets lists these words",
        dataset,
    )
