# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records in several prompt styles, to compare the styles in one evaluation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai_vlsm.transforms.naming import record_name
from monai_vlsm.transforms.select import SelectPromptd, StyleError, texts_of_style

__all__ = ["in_styles", "require_style"]


def in_styles(records: Sequence[Mapping[Hashable, Any]], styles: Sequence[str] | str) -> list[dict[Hashable, Any]]:
    """Each record once for each style, with the prompt of that style chosen; the names stay.

    Args:
        records: with a table of prompts each, as from :func:`monai_vlsm.data.load_datalist`.
        styles: for example ``["p1", "p6"]``; all records of the first come first.

    Returns:
        records with ``prompt``, ``prompt_style`` and ``prompt_tag``, as from :class:`SelectPromptd`.

    Raises:
        StyleError: (a ValueError) no style, the same twice, or one that a record does not have.
    """
    names = [styles] if isinstance(styles, str) else list(styles)
    if not names or len(set(names)) != len(names):
        raise StyleError(f"styles must be different styles, such as ['p1','p6'], got {styles!r}")
    return [SelectPromptd("prompt", style)(record) for style in names for record in records]


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
