# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of a table from all processes, and the table as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ignite.distributed as idist
import torch

from monai_vlsm.handlers.files import replacing

__all__ = ["gather_rows", "write_rows"]

Entry = TypeVar("Entry")


def gather_rows(rows: list[Entry]) -> list[Entry]:
    """Rows of all processes, in the order of their ranks, which is that of MONAI's metric details."""
    if idist.get_world_size() == 1:
        return rows
    gathered: list[Any] = [None] * idist.get_world_size()
    torch.distributed.all_gather_object(gathered, rows)
    return [row for part in gathered for row in part]


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV in UTF-8 with a header, all or nothing."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(columns))
        writer.writeheader()
        writer.writerows(rows)
