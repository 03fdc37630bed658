# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What help texts say of the package's own files, without the imports that reading them in earnest takes."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["finding_rules", "shipped"]

PACKAGE = Path(__file__).parents[1]


def shipped(folder: str) -> list[str]:
    """Names of the files in a folder of the package, without suffix, sorted."""
    return sorted(file.stem for file in (PACKAGE / folder).iterdir() if file.is_file())


def finding_rules() -> str:
    """What ``data check`` looks for, one line each."""
    kinds = json.loads((PACKAGE / "data" / "kinds.json").read_text(encoding="utf-8"))
    return "\n".join(f"  {severity}: {kind}: {rule}" for kind, (severity, rule) in kinds.items())
