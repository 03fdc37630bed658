# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What each adaptation costs in training: parameters, time and memory of a step of CLIPSeg at real size.

The weights are random: time and memory do not depend on them. On a GPU all are measured in one process, on a CPU each
in one of its own, whose memory nothing else has used; one after the other. After each they go to one JSON file, and at
the end a table for docs/adaptations.md beside it::

    python benchmarks/adaptations.py                        # batch 32 in bfloat16 on a GPU, 2 in float32 on a CPU
    python benchmarks/adaptations.py --tiny --output /tmp   # a small network, to see that everything runs
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from conditions import Conditions, machine
from gpu_steps import STEPS, Ways, ours, step_row
from measure import Side, peak_memory
from ours import ADAPTATIONS, our_network
from tqdm import tqdm

from monai_vlsm.adapters import count_parameters
from monai_vlsm.tables import markdown_table

RESULTS = Path(__file__).parent / "results"
HEAD = ("trained", "parameters", "ms", "of dense VL", "GiB", "of dense VL")
BASE = "dense_vl"


def measure(kind: str, conditions: Conditions, steps: int) -> dict[str, Any]:
    """Parameters, seconds and memory of one."""
    ways, sides = Ways(precision=conditions.precision, kind=kind), []

    def build() -> Side:
        sides.append(ours(ways)(conditions))
        return sides[0]

    memory = {} if conditions.device == "cuda" else {"peak_memory_gib": peak_memory(build, conditions.device)}
    side = sides[0] if sides else build()
    row = step_row(lambda _: side, conditions, ways, steps, counted=False)
    with torch.device(conditions.device):
        trained, _ = count_parameters(our_network(kind, conditions))
    return {"kind": kind, "trained": trained, **row, **memory}


def measure_apart(kind: str, given: Sequence[str]) -> dict[str, Any]:
    """The same in a fresh process."""
    words = [sys.executable, str(Path(__file__).absolute()), *given, "--kind", kind]
    printed = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    row: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, the fewest parameters first."""
    base = next(row for row in rows if row["kind"] == BASE)

    def share(row: dict[str, Any], key: str, form: str, scale: float = 1) -> list[str]:
        part = f"{row[key] / base[key]:.2f}" if base.get(key) else ""
        return [format(row[key] * scale, form) if key in row else "", part]

    cells = [
        [
            row["kind"].replace("_", " "),
            f"{row['trained']:,}",
            *share(row, "seconds", ".1f", 1000),
            *share(row, "peak_memory_gib", ".2f"),
        ]
        for row in sorted(rows, key=lambda row: int(row["trained"]))
    ]
    return markdown_table(HEAD, cells)


def main(argv: list[str] | None = None) -> int:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the result files")
    parser.add_argument("--batch", type=int, help="images in a step, by default 32, or 2 on a CPU")
    parser.add_argument("--tiny", action="store_true", help="a small network; the figures mean nothing")
    parser.add_argument("--kind", choices=ADAPTATIONS, help="print the numbers of one, nothing else")
    words = sys.argv[1:] if argv is None else argv
    given = parser.parse_args(words)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = "bf16" if device == "cuda" else "fp32"
    conditions = Conditions(given.batch or (32 if device == "cuda" else 2), device, precision, quick=given.tiny)
    steps = STEPS if device == "cuda" else 1
    if given.kind:
        print(json.dumps(measure(given.kind, conditions, steps)))
        return 0
    facts = {**machine(device), "date": datetime.now(UTC).date().isoformat()}
    where = re.sub(r"[^a-z0-9]+", "_", (facts["card"] or "cpu").lower())
    name = f"{'tiny--' if given.tiny else ''}adaptations--{where}--b{conditions.batch}"
    given.output.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for kind in tqdm(ADAPTATIONS):  # written after each: a lent machine may be taken back before the last
        rows.append(measure(kind, conditions, steps) if device == "cuda" else measure_apart(kind, words))
        result = {"adaptations": rows, "conditions": asdict(conditions), "machine": facts}
        (given.output / f"{name}.json").write_text(json.dumps(result, indent=4) + "\n", encoding="utf-8")
    (given.output / f"{name}.md").write_text(table(rows) + "\n", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
