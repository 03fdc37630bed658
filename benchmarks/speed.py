# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Compare the package with the plain way of doing the same, case by case, on this machine.

Both sides run in one process in turn, with equal weights; where the maths is equal, so must the logits be. Each case
writes one JSON file, from which ``table.py`` makes a table and a plot::

    python benchmarks/speed.py --list
    python benchmarks/speed.py dense_vl ten_prompts
    python benchmarks/speed.py all
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from cases import Case
from conditions import Conditions, machine
from measure import alternate, largest_difference, matmul_tflops, peak_memory, work_done
from registry import CASES, find_case

RESULTS = Path(__file__).parent / "results"
TOLERANCE = 1e-4  # largest difference of float32 logits
MODES = ("default", "reduce-overhead", "max-autotune")  # of torch.compile; the second and third use CUDA graphs


def run_case(case: Case, conditions: Conditions, repeats: int, output: Path) -> dict[str, Any]:
    """Measure one case and write its file.

    Raises:
        SystemExit: when the logits of the two sides differ by more than `TOLERANCE`.
    """
    facts = {**machine(conditions.device), **({} if conditions.quick else products_per_second(conditions))}
    sides = {name: build(conditions) for name, build in case.sides.items()}
    difference = largest_difference(sides["plain"], sides["ours"]) if "plain" in sides else None
    if difference and difference["largest"] > TOLERANCE:
        raise SystemExit(f"{case.name}: logits differ by {difference['largest']:.1e}, allowed are {TOLERANCE:.0e}")
    measured = alternate(sides, conditions.device, repeats, case.name)
    if case.counted:
        for name, side in sides.items():
            measured[name] |= work_done(side, measured[name]["seconds"], conditions.device)
        sides.clear()
        for name in measured:
            measured[name]["peak_memory_gib"] = memory_in_fresh_process(case, conditions, name)
    value = case.figure.of(measured)
    result = {
        "case": case.name,
        "title": case.title,
        "value": round(value, 3),
        "unit": case.figure.unit,
        "target": case.target,
        "at_least": case.figure.at_least,
        "holds": case.holds(value),
        **measured,
        "logits_difference": difference,
        "conditions": {**asdict(conditions), "image_size": conditions.image_size, "repeats": repeats},
        "machine": facts,
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / file_name(case, conditions)).write_text(json.dumps(result, indent=4) + "\n")
    return result


def products_per_second(conditions: Conditions) -> dict[str, float]:
    """What the machine reaches in one large matrix product, in the precision of each side: the limit of any network."""
    plain = torch.float16 if conditions.device == "cuda" else torch.float32
    return {
        "plain_matmul_tflop_per_second": matmul_tflops(conditions.device, plain),
        "ours_matmul_tflop_per_second": matmul_tflops(conditions.device, conditions.dtype),
    }


def file_name(case: Case, conditions: Conditions) -> str:
    """Name of the result file: the case and all conditions that change its figures."""
    where = conditions.device
    if where == "cuda":
        where = re.sub(r"[^a-z0-9]+", "_", torch.cuda.get_device_name().lower())
    version = ".".join(torch.__version__.split("+")[0].split(".")[:2])
    parts = [case.name, case.kind, f"{where}-{conditions.precision}", f"b{conditions.batch}", f"torch{version}"]
    chosen = [f"compile_{conditions.compile.replace('-', '_')}"] if conditions.compile else []
    if conditions.attention != Conditions.attention:
        chosen.append(conditions.attention)
    return "--".join([*(["quick"] if conditions.quick else []), *parts, *chosen]) + ".json"


def conditions_of(case: Case, arguments: argparse.Namespace) -> Conditions:
    """The conditions of the command line with what the case itself sets."""
    cuda = arguments.device == "cuda"
    defaults: dict[str, Any] = {"batch": 2, "precision": "fp16" if cuda else "fp32", **case.settings}
    given = {key: getattr(arguments, key) for key in ("batch", "precision", "attention")}
    chosen = {key: value for key, value in given.items() if value is not None}
    return replace(
        Conditions(device=arguments.device, quick=arguments.quick, compile=arguments.compile, **defaults), **chosen
    )


def report(case: Case, result: dict[str, Any]) -> str:
    """One line for the screen."""
    seconds = ", ".join(f"{name} {result[name]['seconds']:.3f} s" for name in ("plain", "ours") if name in result)
    verdict = "holds" if result["holds"] else "FAILS"
    difference = result["logits_difference"]
    equal = f", logits equal within {difference['largest']:.0e}" if difference else ""
    note = " (small network: the figures mean nothing)" if result["conditions"]["quick"] else ""
    return f"{verdict}  {case.title}: {result['value']} {case.figure.unit}, {case.wanted()} ({seconds}{equal}){note}"


def memory_in_fresh_process(case: Case, conditions: Conditions, side: str) -> float:
    """Peak memory of one side in GiB, in a process that ran nothing before."""
    script = [sys.executable, str(Path(__file__).absolute()), case.name, "--side", side]
    given = ["--batch", conditions.batch, "--precision", conditions.precision, "--attention", conditions.attention]
    flags = [
        *(["--quick"] if conditions.quick else []),
        *(["--compile", conditions.compile] if conditions.compile else []),
    ]
    command = [*script, *map(str, given), "--device", conditions.device, *flags]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(json.loads(printed.splitlines()[-1])["peak_memory_gib"])


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("cases", nargs="*", metavar="CASE", help="names from --list, or all")
    made.add_argument("--list", action="store_true", help="print the cases and their targets")
    made.add_argument("--repeats", type=int, default=5)
    made.add_argument("--batch", type=int)
    made.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    made.add_argument("--precision", choices=("fp32", "bf16", "fp16"), help="of our side")
    made.add_argument("--attention", choices=("eager", "sdpa"), help="of our side")
    made.add_argument("--compile", choices=MODES, default="", help="compile our side with torch.compile in this mode")
    made.add_argument("--quick", action="store_true", help="the small network, to see that everything runs")
    made.add_argument("--output", type=Path, default=RESULTS, help="folder of the result files")
    made.add_argument("--side", choices=("plain", "ours"), help="print the peak memory of one side, nothing else")
    return made


def main(argv: list[str] | None = None) -> int:
    """Run the cases; 1 when a target is missed."""
    arguments = parser().parse_args(argv)
    if arguments.list or not arguments.cases:
        for case in CASES:
            print(f"{case.name:18} {case.title}; {case.wanted()}; about {case.expected} s")
        return 0
    chosen = list(CASES) if "all" in arguments.cases else [find_case(name) for name in arguments.cases]
    if arguments.side:
        conditions = conditions_of(chosen[0], arguments)
        peak = peak_memory(lambda: chosen[0].sides[arguments.side](conditions), conditions.device)
        print(json.dumps({"peak_memory_gib": peak}))
        return 0
    if not arguments.quick:
        print(f"{len(chosen)} cases, about {sum(case.expected for case in chosen) / 60:.0f} minutes on two cores")
    held = []
    for case in chosen:
        start = time.perf_counter()
        result = run_case(case, conditions_of(case, arguments), arguments.repeats, arguments.output)
        held.append(result["holds"])
        print(f"{report(case, result)}, took {time.perf_counter() - start:.0f} s", flush=True)
    return 0 if all(held) or arguments.quick else 1


if __name__ == "__main__":
    sys.exit(main())
