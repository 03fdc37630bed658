# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Texts of the command line as they were typed, past what fire and MONAI make of them.

Fire reads ``brain,tumor`` as a tuple, ``4`` as a number, and cuts ``brain #2`` at its ``#``. MONAI puts ``::`` for
every ``#`` in a config, and takes what begins with ``$``, ``@`` and ``%`` for an expression, a reference and a macro.
"""

from __future__ import annotations

import ast
import csv
import re
from typing import Any

from monai_vlsm.settings.table import SettingError

__all__ = ["literal", "read_text", "unquoted"]

_ESCAPED = re.compile(r"[#@%$:]")


def read_text(word: str, many: bool = False) -> str | list[str]:
    """What a word of the command line says, as a text setting.

    Quotes around a whole word are taken off, as fire does, so that every text can be written: ``"'[x]'"`` is ``[x]``.

    Args:
        word: one word, as the shell passed it on.
        many: whether a list in brackets is several texts. Quotes inside are optional: ``[brain, white matter]``.

    Raises:
        SettingError: a list without a text, or a word that begins with ``@`` and has no quotes: it may be meant as one
            of MONAI's references, or as a text.
    """
    if word.startswith("@"):
        raise SettingError(f"{word} may be a text or the name of a setting; a text is written \"'{word}'\"")
    value = _python(unquoted(word))
    if isinstance(value, str):
        return value
    if many and isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value):
        return list(value)
    inside = re.fullmatch(r"\[(.*)\]", word.strip(), re.DOTALL)
    return _items(inside[1], word) if many and inside else word


def unquoted(word: str) -> str:
    """``$'text'``, MONAI's way to write a text that begins with a sign of its own, as ``'text'``; else the word."""
    return word[1:] if word.startswith("$") and isinstance(_python(word[1:]), str) else word


def _python(word: str) -> Any:
    """The value of a word that is a literal of Python to its last character; else None."""
    text = word.strip()
    try:
        tree = ast.parse(text, mode="eval")
        whole = tree.body.end_col_offset == len(text.splitlines()[-1].encode())  # else a comment would be cut off
        return ast.literal_eval(tree) if whole else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _items(inside: str, word: str) -> list[str]:
    """The texts of a list in brackets whose items have no quotes, or not all."""
    quoted = inside.replace("'", '"') if _even_quotes(inside) else inside
    items = [item.strip() for item in next(csv.reader([quoted], skipinitialspace=True), [])]
    if not items or not all(items) or any(item[0] in "[(" for item in items):
        raise SettingError(f"expected a list of texts such as \"['brain','white matter']\", got {word!r}")
    return items


def _even_quotes(inside: str) -> bool:
    """Whether single quotes stand around items, and not within words as in ``Crohn's lesion``."""
    return bool(re.search(r"(^|,)\s*'", inside)) and not re.search(r"[^,\s]'[^,\s]", inside) and '"' not in inside


def literal(text: str) -> str:
    """A text as a value in a config that MONAI reads as exactly that text, and never evaluates.

    For programs that set up a workflow with texts from elsewhere: ``create_workflow(..., dataset_dir=literal(text))``.

    Args:
        text: any text, such as ``"brain #2"`` or ``"$5 lesion"``.
    """
    if not _ESCAPED.search(text):
        return text
    return "$" + _ESCAPED.sub(lambda match: f"\\x{ord(match[0]):02x}", repr(text))
