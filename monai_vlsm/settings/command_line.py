# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The overrides on the command line of ``python -m monai.bundle``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

__all__ = ["is_bundle_command", "overrides"]


def is_bundle_command() -> bool:
    """Whether this process is ``python -m monai.bundle ...``, by itself or under torchrun."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return getattr(spec, "name", None) == "monai.bundle.__main__"


def overrides(words: Sequence[str]) -> dict[str, str | None]:
    """Names and values of ``--name value``, ``--name=value`` and ``--name``, told apart as fire tells them apart.

    Args:
        words: what follows ``python -m monai.bundle``.

    Returns:
        Id, with ``::`` between its parts, to the word as it was typed, the last if there are several; None without one.
    """
    found: dict[str, str | None] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not _is_flag(word):
            continue
        key, equals, value = word.lstrip("-").partition("=")
        name = key.replace("-", "_").replace("#", "::")
        if equals:
            found[name] = value
        else:
            found[name] = rest.pop(0) if rest and not _is_flag(rest[0]) else None
    return found


def _is_flag(word: str) -> bool:
    return word.startswith("--") or bool(re.match("-[a-zA-Z]", word))
