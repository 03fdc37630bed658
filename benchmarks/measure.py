# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Time, memory and FLOPs of two sides of a comparison."""

from __future__ import annotations

import gc
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from tqdm import tqdm

GIB = 2**30


@dataclass
class Side:
    """One of the two things that are compared.

    Args:
        run: what is timed.
        logits: float32 logits of the network as it is now on the inputs of ``run``, where the maths is that of the
            other side.
        items: how many (image, prompt) pairs, images or files ``run`` works through.
        facts: figures about what ``run`` did last, for the result file.
    """

    run: Callable[[], Any]
    logits: Callable[[], Tensor] | None = None
    items: int = 1
    facts: Callable[[], dict[str, Any]] | None = None


def time_once(side: Side, device: str) -> float:
    """Seconds that ``side.run`` takes, on a GPU until its last kernel has ended."""
    _wait(device)
    start = time.perf_counter()
    side.run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def alternate(sides: Mapping[str, Side], device: str, repeats: int, title: str, warm_up: int = 1) -> dict[str, Any]:
    """Run the sides in turn, A B A B, so that whatever else the machine does meets both.

    Returns:
        For each side the median, quickest and slowest time in seconds, and all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    start = time.perf_counter()
    with tqdm(total=(repeats + warm_up) * len(sides), desc=title, file=sys.stderr, leave=False) as bar:
        for turn in range(repeats + warm_up):
            for name, side in sides.items():
                seconds[name].append(time_once(side, device))
                bar.update()
            if turn + 1 == warm_up:
                rest = (time.perf_counter() - start) / warm_up * repeats
                bar.write(f"{title}: about {rest:.0f} s for {repeats} repetitions", file=sys.stderr)
    return {name: _summary(values[warm_up:], sides[name]) for name, values in seconds.items()}


def _summary(seconds: list[float], side: Side) -> dict[str, Any]:
    return {
        "seconds": round(statistics.median(seconds), 4),
        "fastest": round(min(seconds), 4),
        "slowest": round(max(seconds), 4),
        "items": side.items,
        "all_seconds": [round(value, 4) for value in seconds],
        **(side.facts() if side.facts else {}),
    }


def gflop(side: Side) -> float:
    """Floating point operations of one run in 10^9, two for each multiply-add, as torch counts them."""
    ops = torch.ops.aten
    cpu_attention = {  # torch 2.13 counts the kernels of GPUs only
        ops._scaled_dot_product_flash_attention_for_cpu: _attention_flop,
        ops._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flop,
    }
    with FlopCounterMode(display=False, custom_mapping=cpu_attention) as counter:
        side.run()
    return round(counter.get_total_flops() / 1e9, 2)


def work_done(side: Side, seconds: float, device: str) -> dict[str, Any]:
    """Operations of one run, how many a second, and on a GPU how often the CPU waits for it in one run."""
    operations = gflop(side)
    done = {"gflop": operations, "tflop_per_second": round(operations / seconds / 1000, 4)}
    return {**done, "host_syncs": host_syncs(side)} if device == "cuda" else done


def host_syncs(side: Side) -> int:
    """How often one run makes the CPU wait for the GPU."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            side.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in seen)


def matmul_tflops(device: str, dtype: torch.dtype) -> float:
    """10^12 operations a second in a square matrix product, best of five."""
    width = 8192 if device == "cuda" else 2048
    factors = [torch.randn(width, width, device=device, dtype=dtype) for _ in range(2)]
    product = Side(lambda: factors[0] @ factors[1])
    best = min(time_once(product, device) for _ in range(6))
    return round(2 * width**3 / best / 1e12, 3)


def _attention_flop(query: Any, key: Any, value: Any, *_args: Any, **_kwargs: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward_flop(gradient: Any, query: Any, key: Any, value: Any, *_args: Any, **_kwargs: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


def largest_difference(plain: Side, ours: Side) -> dict[str, float] | None:
    """How far the logits are apart, and how far they spread; None where the two are not to be compared."""
    if plain.logits is None or ours.logits is None:
        return None
    with torch.no_grad():
        first, second = plain.logits(), ours.logits()
    if first.shape != second.shape:
        raise ValueError(f"logits of the two sides differ in shape: {tuple(first.shape)} and {tuple(second.shape)}")
    return {
        "largest": float((first - second).abs().max()),
        "spread": round(float(first.std()), 4),
    }


def peak_memory(build: Callable[[], Side], device: str) -> float:
    """GiB that building a side and running it twice needs at its highest, over what the imports need.

    Call it in a fresh process. On Linux the peak is that of the second run, with all that lives then; elsewhere the
    peak of the whole process counts.
    """
    if device == "cuda":
        side = build()
        side.run()
        torch.cuda.reset_peak_memory_stats()
        side.run()
        return round(torch.cuda.max_memory_allocated() / GIB, 3)
    gc.collect()
    before = _status("VmRSS")
    side = build()
    side.run()
    gc.collect()
    _forget_peak()
    side.run()
    return round((_status("VmHWM") - before) / GIB, 3)


def _status(entry: str) -> int:
    # ru_maxrss of a child starts with the peak of its parent; /proc does not
    file = Path("/proc/self/status")
    if file.is_file():
        lines = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        return int(lines[entry].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _forget_peak() -> None:
    file = Path("/proc/self/clear_refs")
    try:
        file.write_text("5")
    except OSError:  # not Linux, or not allowed in a container: then the peak of the building counts too
        return


def half(device: str, dtype: torch.dtype) -> Any:
    """Autocast to ``dtype``, or nothing for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype)
