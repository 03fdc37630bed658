# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a GPU makes of a training step of dense VL at real size, in the plain way and in ours, and whether the data side
keeps up.

The weights are random: time and memory do not depend on them. Each row is printed when it is there, and all of them are
written to one JSON file after each, from which ``table.py`` makes the table in docs/speed_benchmarks.md. A row that
fails says why and the next one is taken; one that does not begin within ``--seconds`` is left out::

    python benchmarks/gpu.py --output results
    python benchmarks/gpu.py --tiny --output /tmp/results      # on a CPU, to see that everything runs
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gpu_files
import torch
from conditions import Conditions, machine
from gpu_steps import STEPS, Ways, ours, plain, step_row
from measure import matmul_tflops
from peaks import peak_of

RESULTS = Path(__file__).parent / "results"
OURS = Ways()
Measure = Callable[[Conditions, int], dict[str, Any]]


class RowTimeoutError(Exception):
    """A row took longer than it may."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: what it is called on the command line.
        title: what is measured, for people.
        measure: measures it under conditions, with so many steps in a block.
        most: seconds that it may take.
    """

    name: str
    title: str
    measure: Measure
    most: int = 25


def _step(name: str, title: str, ways: Ways, **more: Any) -> Row:
    counted = ways.compile is None
    return Row(name, title, lambda seen, steps: step_row(ours(ways), seen, ways, steps, counted), **more)


ROWS = (
    Row(
        "plain",
        "step, plain way, float16",
        lambda seen, steps: step_row(plain, seen, replace(OURS, tf32=False), steps),
    ),
    _step("ours", "step, ours, float16", OURS),
    _step("bf16", "step, ours, bfloat16", replace(OURS, precision="bf16")),
    _step("fp32", "step, ours, float32", replace(OURS, precision="fp32", tf32=False)),
    _step("tf32", "step, ours, float32 as TF32", replace(OURS, precision="fp32")),
    _step("no_tf32", "step, ours, float16, decoder not in TF32", replace(OURS, tf32=False)),
    _step("cast", "step, ours, float16, frozen weights rounded in each step", replace(OURS, rounded=False)),
    _step("checkpointing", "step, ours, float16, checkpointing", replace(OURS, checkpointing=True)),
    _step("benchmark", "step, ours, float16, not deterministic", replace(OURS, deterministic=False)),
    Row("data_before", "data, 1000 x 1000 JPEG, nothing kept, 4 workers", lambda seen, _: _data_before(seen)),
    Row("data", "data, 1000 x 1000 JPEG, as set, after the first epoch", lambda seen, _: gpu_files.reading(seen)),
    Row("together", "data and step, float16", lambda seen, _: gpu_files.with_steps(seen, OURS)),
    Row("bundle", "trainer of vlsm_dense, float16", lambda seen, _: gpu_files.bundle(seen, OURS), 40),
    _step("compile", "step, ours, float16, compiled", replace(OURS, compile={}), most=240),
)


def _data_before(conditions: Conditions) -> dict[str, Any]:
    return gpu_files.reading(conditions, cache="off", num_workers=0 if conditions.quick else 4)


def measure_row(row: Row, conditions: Conditions, steps: int, seconds: float) -> dict[str, Any]:
    """Measure a row; whatever it fails with is its result."""
    start = time.perf_counter()
    try:
        with _at_most(min(row.most, seconds)):
            found = row.measure(conditions, steps)
    except Exception as error:  # a row that cannot be had must not cost the others
        found = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
    return {"name": row.name, "title": row.title, **found, "took": round(time.perf_counter() - start, 1)}


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise RowTimeoutError(f"not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def line(row: dict[str, Any]) -> str:
    """A row for the screen."""
    if "error" in row:
        return f"{row['title']}: {row['error']}"
    parts = [f"{row['seconds'] * 1000:.1f} ms" if row["seconds"] < 1 else f"{row['seconds']:.2f} s"]
    parts += [f"{row['images_per_second']:.0f} images/s"]
    parts += [f"{row['peak_memory_gib']:.2f} GiB"] if "peak_memory_gib" in row else []
    parts += [f"{row['share_of_peak']:.1%} of peak"] if "share_of_peak" in row else []
    parts += [f"{row[key]} {key.replace('_', ' ')}" for key in ("host_syncs", "host_syncs_of_epoch") if key in row]
    return f"{row['title']}: {', '.join(parts)} (took {row['took']:.0f} s)"


def facts(conditions: Conditions) -> dict[str, Any]:
    """The machine, the date, and what the card can do by its data sheet and in one large product."""
    card = torch.cuda.get_device_name() if conditions.device == "cuda" else None
    peak = peak_of(card) if card else None
    reached = {} if conditions.quick else {"matmul_tflop_per_second": matmul_tflops(conditions.device, torch.float16)}
    return {
        **machine(conditions.device),
        "date": datetime.now(UTC).date().isoformat(),
        "peak": None if peak is None else peak._asdict(),
        **reached,
    }


def file_name(conditions: Conditions) -> str:
    """Of the results: card, batch and version of torch."""
    card = torch.cuda.get_device_name() if conditions.device == "cuda" else "cpu"
    version = ".".join(torch.__version__.split("+")[0].split(".")[:2])
    start = "tiny--gpu" if conditions.quick else "gpu"
    return f"{start}--{re.sub(r'[^a-z0-9]+', '_', card.lower())}--b{conditions.batch}--torch{version}.json"


def main(argv: list[str] | None = None) -> int:
    """Measure the rows; 1 when none could be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the result file")
    parser.add_argument("--batch", type=int, help="images in a step, by default 32")
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in ROWS], help="only these")
    parser.add_argument("--seconds", type=float, default=150, help="after which no further row begins")
    parser.add_argument("--tiny", action="store_true", help="a small network and few images; the figures mean nothing")
    given = parser.parse_args(argv)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not given.tiny:
        parser.error("there is no GPU here; --tiny runs everything on a CPU, small")
    start = time.perf_counter()
    conditions = Conditions(given.batch or (2 if given.tiny else 32), device, "fp16", quick=given.tiny)
    if device == "cpu":
        conditions = replace(conditions, precision="fp32")
    result = {"gpu": [], "conditions": asdict(conditions), "machine": facts(conditions)}
    print(f"{result['machine']['card'] or 'CPU'}, torch {torch.__version__}, {result['machine']['date']}", flush=True)
    given.output.mkdir(parents=True, exist_ok=True)
    for row in [row for row in ROWS if not given.rows or row.name in given.rows]:
        left = given.seconds - (time.perf_counter() - start)
        if left < 5:
            print(f"{row.title}: left out, the time is used up", flush=True)
            continue
        result["gpu"].append(measure_row(row, conditions, 1 if given.tiny else STEPS, left))
        print(line(result["gpu"][-1]), flush=True)
        (given.output / file_name(conditions)).write_text(json.dumps(result, indent=4) + "\n", encoding="utf-8")
    return 0 if any("error" not in row for row in result["gpu"]) else 1


if __name__ == "__main__":
    sys.exit(main())
