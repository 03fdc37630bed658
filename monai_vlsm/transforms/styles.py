# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records in several prompt styles, to compare the styles in one evaluation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai_vlsm.transforms.naming import record_name
from monai_vlsm.transforms.select import RandSelectPromptd, SelectPromptd, StyleError, texts_of_style

__all__ = ["RANDOM", "in_styles", "require_style"]

RANDOM = "random"
"""The style that stands for a prompt drawn for each record."""


def in_styles(
    records: Sequence[Mapping[Hashable, Any]], styles: Sequence[str] | str, seed: int = 0
) -> list[dict[Hashable, Any]]:
    """Each record once for each style, with the prompt of that style chosen; the names stay.

    Args:
        records: with a table of prompts each, as from :func:`monai_vlsm.data.load_datalist`.
        styles: for example ``["p1", "p6"]``; all records of the first come first. `RANDOM` draws a prompt for each
            record as training does, which is how VLSM-Adapter was tested; the tag is that of the drawn prompt.
        seed: of these draws.

    Returns:
        records with ``prompt``, ``prompt_style`` and ``prompt_tag``, as from :class:`SelectPromptd`.

    Raises:
        StyleError: (a ValueError) no style, the same twice, or one that a record does not have.
    """
    names = [styles] if isinstance(styles, str) else list(styles)
    if not names or len(set(names)) != len(names):
        raise StyleError(f"styles must be different styles, such as ['p1','p6'], got {styles!r}")
    return [chosen for style in names for chosen in _in_style(records, style, seed)]


def _in_style(records: Sequence[Mapping[Hashable, Any]], style: str, seed: int) -> list[dict[Hashable, Any]]:
    if style != RANDOM:
        return [SelectPromptd("prompt", style)(record) for record in records]
    draw = RandSelectPromptd("prompt")
    draw.set_random_state(seed)
    return [_as_random(draw(record)) for record in records]


def _as_random(record: dict[Hashable, Any]) -> dict[Hashable, Any]:
    """A record whose prompt was drawn; its style is that it was, whichever it became."""
    style = record.get("prompt_style", "")
    record["prompt_style"] = [RANDOM] * len(style) if isinstance(style, list) else RANDOM
    return record


def require_style(records: Sequence[Mapping[Hashable, Any]], style: str) -> None:
    """Make sure that every record has prompts of a style, before the work.

    Args:
        records: with a table of prompts each, or a list of tables; texts and records without prompts pass.
        style: for example ``"p1"``.

    Raises:
        StyleError: (a ValueError) the first record without; the message lists the styles that it has.
    """
    for record in records:
        prompt = record.get("prompt")
        for table in prompt if isinstance(prompt, list | tuple) else [prompt]:
            if isinstance(table, Mapping):
                texts_of_style(table, style, record_name(record))
