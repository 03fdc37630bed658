# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Metadata of images from a CSV, and which image goes into which list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path

from monai_vlsm.io import TableError, table_lines
from monai_vlsm.prompts.recipe import RecipeError
from monai_vlsm.prompts.templates import FIELDS, METADATA

__all__ = ["assign_splits", "read_metadata"]

METADATA_FIELDS = tuple(name for name, tag in FIELDS.items() if tag == METADATA)


def read_metadata(path: Path) -> dict[str, dict[str, str]]:
    """Metadata of images by their file name, or by whatever stands in the column ``image``.

    Args:
        path: CSV in UTF-8 with commas, semicolons or tabs. Columns other than ``image``, ``patient`` and the metadata
            fields are left out.

    Raises:
        RecipeError: no such file, no UTF-8, or no column ``image``.
    """
    if not path.is_file():
        raise RecipeError(f"no such metadata file: {path}")
    try:
        (_, columns), *lines = table_lines(path.read_text(encoding="utf-8-sig"), by_hand=True) or [(0, [])]
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: expected text in UTF-8, found byte {error.start} in another coding") from error
    except TableError as error:
        raise RecipeError(f"{path}: {error}") from error
    known = ("patient", *METADATA_FIELDS)
    if "image" not in columns or not set(columns) & set(known):
        raise RecipeError(
            f"{path}: expected the columns image and at least one of {', '.join(known)}; "
            f"found {', '.join(columns) or 'an empty file'}"
        )
    rows = [dict(zip_longest(columns, cells[: len(columns)], fillvalue="")) for _, cells in lines]
    return {row["image"]: {name: row[name] for name in known if name in columns} for row in rows if row["image"]}


def assign_splits(groups: Iterable[str], shares: Mapping[str, float]) -> dict[str, str]:
    """Spread groups (patients or images) over the lists.

    The order in which they are dealt out follows from a hash of their names, so that it depends neither on the machine
    nor on a seed. Each list gets at least one group if there are enough.

    Args:
        groups: names.
        shares: name of a list to its share; they add up to 1.

    Returns:
        group to list.
    """
    order = sorted(set(groups), key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    counts = {name: int(share * len(order)) for name, share in shares.items()}
    spare = sorted(shares, key=lambda name: counts[name] - shares[name] * len(order))
    for name in spare[: len(order) - sum(counts.values())]:
        counts[name] += 1
    for name in shares:
        largest = max(counts, key=lambda other: counts[other])
        if not counts[name] and counts[largest] > 1:
            counts[name], counts[largest] = 1, counts[largest] - 1
    names = [name for name, count in counts.items() for _ in range(count)]
    return dict(zip(order, names, strict=True))
