# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a site writes down of its rounds, for itself; of it, only what `Outcome` names leaves the site."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_vlsm.io import append_text

if TYPE_CHECKING:
    from monai_vlsm.federated.site import Outcome

__all__ = ["note_refusal", "note_round", "read_rounds"]

FILE = "rounds.jsonl"


def note_round(folder: Path, number: int, outcome: Outcome) -> None:
    """Write down a round that the site took part in.

    Raises:
        WriteError: when it cannot be done.
    """
    sent = sum(values.nbytes for values in outcome.weights.values())
    _note(folder, {"round": number, "images": outcome.images, "bytes": sent, **outcome.scores})


def note_refusal(folder: Path, number: int, line: str) -> None:
    """Write down why a site sat a round out.

    Raises:
        WriteError: when it cannot be done.
    """
    _note(folder, {"round": number, "refused": line})


def _note(folder: Path, row: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    append_text(folder / FILE, json.dumps(row) + "\n")


def read_rounds(folder: Path) -> list[dict[str, Any]]:
    """The rounds that a site wrote down; none if there is no file."""
    file = folder / FILE
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
