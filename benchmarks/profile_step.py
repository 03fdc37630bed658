# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the time of a training step goes: the plain way ("before") and the package ("after"), by kind of work.

Prints a Markdown table and writes one JSON file::

    python benchmarks/profile_step.py
    python benchmarks/profile_step.py --precision fp32 --batch 8
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cases_network import our_step, plain_step
from conditions import Conditions, machine
from measure import Side
from speed import RESULTS
from torch.profiler import ProfilerActivity, profile

from monai_vlsm.inferers import cpu_has_bf16

KINDS = {  # the first pattern that an operator's name fits counts; times exclude what an operator calls
    "optimizer": r"Optimizer|_foreach|_fused_adam|norm_except|linalg_vector_norm|clip|lerp|addcdiv|addcmul",
    "attention": r"scaled_dot_product|softmax|bmm|baddbmm|flash|dropout",
    "matrix products": r"::(addmm|mm|linear|matmul|_addmm|mkldnn_linear|gemm)|mkldnn|Addmm|\bMm",
    "convolutions": r"conv",
    "GELU": r"gelu|::sigmoid|::silu|sigmoid_backward",
    "layer norm": r"layer_norm|LayerNorm",
    "copies and casts": r"copy_|::to\b|_to_copy|contiguous|clone|transpose|::cat|stack|repeat|expand|view|reshape|slice|"
    r"index|select|empty|fill_|zero|resize_|as_strided|unsafe|split|permute|pad",
    "loss": r"binary_cross|cross_entropy|log_sigmoid|softplus|l1|logit",
    "element-wise": r"::(add|mul|sub|div|relu|threshold|sum|mean|pow|sqrt|rsub|neg|exp|clamp|where|eq|gt|lt|ge|le|ne)"
    r"|threshold_backward",
}
OTHER = "other"


def kind_of(operator: str) -> str:
    """Which kind of work an operator is, by its name."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, operator)), OTHER)


def shares(side: Side, device: str, steps: int) -> dict[str, Any]:
    """Milliseconds of a step by kind, and the longest operators that fit none.

    Args:
        side: its ``run`` is one step; it is run once before.
        device: where the time is counted.
        steps: how many steps are recorded.
    """
    side.run()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as recorded:
        for _ in range(steps):
            side.run()
    own = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    milliseconds = dict.fromkeys([*KINDS, OTHER], 0.0)
    rest: dict[str, float] = {}
    for event in recorded.key_averages():
        kind, taken = kind_of(event.key), getattr(event, own) / 1000 / steps
        milliseconds[kind] += taken
        if kind == OTHER:
            rest[event.key] = round(taken, 2)
    largest = dict(sorted(rest.items(), key=lambda item: -item[1])[:5])
    return {"milliseconds": {key: round(value, 2) for key, value in milliseconds.items()}, "largest_other": largest}


def markdown(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows by kind, columns before and after: milliseconds of a step and share."""
    before, after = (measured[name]["milliseconds"] for name in ("plain", "ours"))
    rows = ["| | before, ms | share | after, ms | share |", "|---|---|---|---|---|"]
    for kind in sorted(before, key=lambda name: -before[name]):
        cells = [f"{part[kind]:.1f} | {part[kind] / sum(part.values()):.0%}" for part in (before, after)]
        rows.append(f"| {kind} | {' | '.join(cells)} |")
    rows.append(f"| all | {sum(before.values()):.1f} | | {sum(after.values()):.1f} | |")
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    """Profile both sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), help="of our side; the bundle's if not given")
    parser.add_argument("--quick", action="store_true", help="the small network, to see that everything runs")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args(argv)
    cuda = given.device == "cuda"
    precision = given.precision or ("fp16" if cuda else "bf16" if cpu_has_bf16() else "fp32")
    conditions = Conditions(given.batch, given.device, precision, "sdpa" if cuda else "eager", given.quick)
    builders: dict[str, Callable[[Conditions], Side]] = {"plain": plain_step("dense_vl"), "ours": our_step("dense_vl")}
    measured = {name: shares(build(conditions), given.device, given.steps) for name, build in builders.items()}
    result = {"profile": "dense_vl", **measured, "conditions": asdict(conditions), "machine": machine(given.device)}
    given.output.mkdir(parents=True, exist_ok=True)
    name = f"{'quick--' if given.quick else ''}profile--dense_vl--{given.device}-{precision}--b{given.batch}.json"
    (given.output / name).write_text(json.dumps(result, indent=4) + "\n")
    print(markdown(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
