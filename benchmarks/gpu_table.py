# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The results of ``gpu.py`` as tables, one for each card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["gpu_tables", "read_gpu_results"]

HEAD = ("", "ms", "images a second", "GiB", "TFLOP a second", "of the peak", "waits")
NOTHING = "Nothing was measured on a GPU."
Result = dict[str, Any]


def read_gpu_results(folder: Path) -> list[Result]:
    """Results of ``gpu.py`` at real size, by card."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("gpu--*.json"))]
    return [one for one in found if not one["conditions"]["quick"]]


def gpu_tables(results: Sequence[Result]) -> str:
    """Markdown."""
    return "\n\n".join(_table(one) for one in results) or NOTHING


def _table(result: Result) -> str:
    facts, conditions = result["machine"], result["conditions"]
    rows = [HEAD, ("---",) * len(HEAD), *(_row(one) for one in result["gpu"] if "error" not in one)]
    failed = [f"{one['title']}: {one['error']}." for one in result["gpu"] if "error" in one]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([_where(facts, conditions["batch"]), "", *lines, *([""] if failed else []), *failed])


def _where(facts: Result, batch: int) -> str:
    peak = facts.get("peak")
    limit = f" Peak {peak['half']:g} TFLOP a second in 16 bits ({peak['source']})." if peak else ""
    reached = f" One large product in float16: {facts['matmul_tflop_per_second']:.0f} TFLOP a second." if peak else ""
    versions = ", ".join(f"{name} {facts[name]}" for name in ("torch", "monai", "transformers"))
    return f"{facts['card']}, {facts['cores']} CPU cores, {facts['date']}; {versions}; batch {batch}.{limit}{reached}"


def _row(row: Result) -> tuple[str, ...]:
    def shown(key: str, form: str) -> str:
        return format(row[key], form) if key in row else ""

    waits = shown("host_syncs", "d") or (
        f"{row['host_syncs_of_epoch']} in {row['steps_of_epoch']} steps" if "host_syncs_of_epoch" in row else ""
    )
    time = "" if "first_epoch_seconds" in row else f"{row['seconds'] * 1000:.1f}" if row["seconds"] < 2 else ""
    return (
        row["title"],
        time,
        shown("images_per_second", ".0f"),
        shown("peak_memory_gib", ".2f"),
        shown("tflop_per_second", ".0f"),
        shown("share_of_peak", ".1%"),
        waits,
    )
