# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the time of a training step goes: the plain way ("before") and the package ("after"), by kind of work.

Dense VL on random inputs under torch's profiler; the row "data" is the time of getting one batch of 640 x 480 images
in the training process, and not part of the sum. Prints a Markdown table and writes one JSON file::

    python benchmarks/profile_step.py
    python benchmarks/profile_step.py --precision fp32 --batch 8
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cases_epoch import reading
from cases_network import our_step, plain_step
from conditions import Conditions, machine
from measure import Side, time_once
from speed import RESULTS
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.profiler import ProfilerActivity, profile, record_function

from monai_vlsm.precision import cpu_has_bf16

OPTIMIZER, OTHER, PYTHON = "optimizer", "other", "between operators"
KINDS = {  # the first pattern that an operator's name fits counts; times exclude what an operator calls
    "attention (products of queries, keys, values; softmax)": r"scaled_dot_product|softmax|bmm",
    "matrix products": r"addmm|::mm$|mkldnn_linear|linear",
    "convolutions": r"conv",
    "layer norm": r"layer_norm",
    "copies and casts": r"copy_|_to_copy|clone|::cat|stack|repeat|fill_|zero_|index|gather|embedding|upsample",
    "element-wise": r"::(add|mul|sub|div|relu|threshold|sigmoid|sum|mean|pow|sqrt|rsub|neg|exp|clamp|where|eq|g|l|ne)",
}
MODULES = {"loss (forward)": r"Loss$", "GELU (forward)": r"Activation$|GELU"}  # by class; backward is element-wise
STEP = "one step"


def kind_of(names: list[str]) -> str:
    """Which kind of work an operator is.

    Args:
        names: its name, then that of what called it, and so on.
    """
    if any(name.startswith(("Optimizer.step", "Optimizer.zero")) for name in names):
        return OPTIMIZER
    for kind in MODULES:
        if kind in names:
            return kind
    if names[0] == STEP:  # time of the step outside of all operators
        return PYTHON
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, names[0])), OTHER)


def shares(side: Side, device: str, steps: int) -> dict[str, Any]:
    """Milliseconds of a step by kind, and the longest operators that fit none.

    Args:
        side: its ``run`` is one step; it is run once before.
        device: where the time is counted.
        steps: how many steps are recorded.
    """
    side.run()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with named_modules(), profile(activities=activities) as recorded:
        for _ in range(steps):
            with record_function(STEP):
                side.run()
    own = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    milliseconds = dict.fromkeys([*KINDS, *MODULES, OPTIMIZER, PYTHON, OTHER], 0.0)
    rest: dict[str, float] = {}
    for event in recorded.events():
        names = list(_callers(event))
        kind, taken = kind_of(names), getattr(event, own) / 1000 / steps
        milliseconds[kind] += taken
        if kind == OTHER:
            rest[event.name] = rest.get(event.name, 0.0) + taken
    largest = sorted(rest.items(), key=lambda item: -item[1])[:5]
    return {
        "milliseconds": {key: round(value, 2) for key, value in milliseconds.items()},
        "largest_other": {name: round(value, 2) for name, value in largest},
    }


@contextmanager
def named_modules() -> Iterator[None]:
    """Record the calls of the modules in `MODULES` under their names."""
    running: list[tuple[nn.Module, Any]] = []

    def enter(module: nn.Module, _inputs: Any) -> None:
        kind = next((name for name, pattern in MODULES.items() if re.search(pattern, type(module).__name__)), None)
        if kind is not None:
            running.append((module, record_function(kind)))
            running[-1][1].__enter__()

    def leave(module: nn.Module, _inputs: Any, _output: Any) -> None:
        if running and running[-1][0] is module:
            running.pop()[1].__exit__(None, None, None)

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _callers(event: Any) -> Iterator[str]:
    while event is not None:
        yield event.name
        event = event.cpu_parent


def milliseconds_of_data(name: str, conditions: Conditions) -> float:
    """Time of getting one batch from files that were read before."""
    side = reading(640, 480)[name](conditions)
    time_once(side, conditions.device)
    return round(time_once(side, conditions.device) / side.items * conditions.batch * 1000, 2)


def markdown(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows by kind, columns before and after: milliseconds of a step and share."""
    before, after = (measured[name]["milliseconds"] for name in ("plain", "ours"))
    rows = ["| | before, ms | share | after, ms | share |", "|---|---|---|---|---|"]
    for kind in sorted(before, key=lambda name: -before[name]):
        cells = [f"{part[kind]:.1f} | {part[kind] / sum(part.values()):.0%}" for part in (before, after)]
        rows.append(f"| {kind} | {' | '.join(cells)} |")
    rows.append(f"| all of a step | {sum(before.values()):.1f} | | {sum(after.values()):.1f} | |")
    data = (measured[name]["data_milliseconds"] for name in ("plain", "ours"))
    rows.append(f"| data | {' | | '.join(f'{value:.1f}' for value in data)} | |")
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
    conditions = Conditions(given.batch, given.device, precision, quick=given.quick)
    measured = {}
    for name, build in {"plain": plain_step("dense_vl"), "ours": our_step("dense_vl")}.items():
        data = milliseconds_of_data(name, conditions)
        measured[name] = {**shares(build(conditions), given.device, given.steps), "data_milliseconds": data}
    result = {"profile": "dense_vl", **measured, "conditions": asdict(conditions), "machine": machine(given.device)}
    given.output.mkdir(parents=True, exist_ok=True)
    name = f"{'quick--' if given.quick else ''}profile--dense_vl--{given.device}-{precision}--b{given.batch}.json"
    (given.output / name).write_text(json.dumps(result, indent=4) + "\n")
    print(markdown(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
