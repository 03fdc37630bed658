# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Licences of the weights of backbones, as far as they are known."""

from __future__ import annotations

import re
from pathlib import Path

from monai_vlsm.backbones.catalogue import BIOMEDCLIP, MINI, PUBMEDCLIP

__all__ = ["weights_licence"]

_KNOWN = {BIOMEDCLIP: "MIT", PUBMEDCLIP: "MIT", MINI: "Apache-2.0"}
_HEAD = re.compile(r"---\s*\n(.*?)\n---", re.DOTALL)


def weights_licence(backbone: str | Path) -> str | None:
    """The licence that the publisher of a backbone states: of a folder the ``license`` in the head of its README.

    Args:
        backbone: a name or a folder. A folder that is not here has none.
    """
    if str(backbone) in _KNOWN:
        return _KNOWN[str(backbone)]
    readme = Path(backbone, "README.md")
    head = _HEAD.match(readme.read_text(encoding="utf-8", errors="replace")) if readme.is_file() else None
    found = re.search(r"^license:\s*[\"']?([\w.+-]+)", head[1], re.MULTILINE) if head else None
    return found[1] if found else None
