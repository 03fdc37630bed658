# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Prediction of volumes: its time against one call for each slice and prompt, and its memory.

``speed`` segments a volume with several prompts, and some of its slices with one call for each slice and prompt, half
of them before and half behind, whose time is scaled to all slices. Counted are the seconds of the processor, so that
other work on the machine does not matter, and those of the clock. ``memory`` runs ``python -m monai_vlsm predict`` on a
CT of real size in a process of its own, and reads its largest resident set from the system (Linux). ``uncertainty``
does so without and with ``--uncertainty flips``, four predictions of each slice. The network is the embedded one, or
has the size of CIDAS/clipseg-rd64-refined and random weights. Each prints a line and writes a JSON file::

    python benchmarks/volume_prediction.py speed memory uncertainty
    python benchmarks/volume_prediction.py speed --real
    python benchmarks/volume_prediction.py speed memory --slices 12   # to try the script: nothing is written
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from conditions import Conditions, machine, write_backbone

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.backbones import MINI
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.data.volumes import Address
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.serving import Segmentation, Segmenter

RESULTS = Path(__file__).parent / "results"
PROMPTS = (
    "liver",
    "spleen",
    "left kidney",
    "right kidney",
    "aorta",
    "stomach",
    "pancreas",
    "left lung",
    "heart",
    "bone",
)
FASTEST, MOST_GB, MORE_GB = 4.0, 6.0, 0.5


def write_ct(path: Path, shape: tuple[int, int, int]) -> Path:
    """A CT-like volume of int16: air, a body whose values change from slice to slice, and grain."""
    generator = np.random.default_rng(0)
    x, y = (np.linspace(-1, 1, size)[:, None] for size in shape[:2])
    body = x**2 / 0.7 + y.T**2 / 0.5 < 1
    grain = generator.integers(-20, 20, shape[:2], dtype=np.int16)
    volume = np.empty(shape, np.int16, order="F")
    for index in range(shape[2]):
        waves = 80 * np.sin(6 * x + index / 9) * np.cos(5 * y.T - index / 7)
        volume[..., index] = np.where(body, 40 + waves, -1000) + np.roll(grain, index, axis=0)
    nib.save(nib.Nifti1Image(volume, np.diag([-0.8, -0.8, 1.5, 1])), path)
    return path


def build(folder: Path, real: bool = False) -> CLIPSegNet:
    """Dense VL adapters on the embedded backbone, or on one of real size."""
    torch.manual_seed(0)
    backbone = str(write_backbone(folder, Conditions())) if real else MINI
    return CLIPSegNet(backbone, adaptation=DenseAdaptation("vl"), default_prompt="liver")


def timed(work: Callable[[], Any]) -> tuple[np.ndarray, Any]:
    """Seconds of the processor and of the clock, and what came of it."""
    start = np.array([time.process_time(), time.perf_counter()])
    found = work()
    return np.array([time.process_time(), time.perf_counter()]) - start, found


def one_by_one(segment: Segmenter, file: Path, slices: Sequence[int], prompts: Sequence[str]) -> list[Segmentation]:
    """A call for each slice and prompt."""
    calls = [(index, prompt) for index in slices for prompt in prompts]
    record = {"name": "slice"}
    return [
        segment.segment({**record, "image": str(Address(str(file), "axial", index)), "prompt": prompt})
        for index, prompt in calls
    ]


def speed(folder: Path, real: bool, slices: int, prompts: int, plain_slices: int) -> dict[str, Any]:
    """Seconds of both ways, and how often their masks differ."""
    file = write_ct(folder / "ct.nii.gz", (512, 512, slices))
    segment = Segmenter(build(folder, real), device="cpu", window="abdomen")
    texts, chosen = PROMPTS[:prompts], np.linspace(0, slices - 1, plain_slices).astype(int).tolist()
    one_by_one(segment, file, chosen[:1], texts[:1])  # unpacks the volume, which is told of neither
    before, first = timed(lambda: one_by_one(segment, file, chosen[::2], texts))
    ours, whole = timed(lambda: segment.segment({"image": str(file), "prompt": list(texts), "name": "ct"}))
    after, second = timed(lambda: one_by_one(segment, file, chosen[1::2], texts))
    plain = (before + after) * slices / plain_slices
    masks = np.array([one.masks[0] for one in (*first, *second)]).reshape(plain_slices, prompts, 512, 512)
    same = np.array([whole.masks.of_slice(index) for index in (*chosen[::2], *chosen[1::2])])  # type: ignore[union-attr]
    return {
        "case": "volume_prediction",
        "slices": slices,
        "prompts": prompts,
        "network": "real size, random weights" if real else MINI,
        "processor_seconds": round(ours[0], 1),
        "clock_seconds": round(ours[1], 1),
        "plain_processor_seconds": round(plain[0], 1),
        "plain_clock_seconds": round(plain[1], 1),
        "plain_slices_measured": plain_slices,
        "times_as_fast": round(plain[0] / ours[0], 2),
        "target": FASTEST,
        "share_of_pixels_that_differ": float((masks != same).mean()),
        "masks_cover": round(float(same.mean()), 4),
    }


def peak(command: Sequence[str], environment: dict[str, str]) -> float:
    """GB of the largest resident set of a command, by itself.

    Raises:
        SystemExit: when it fails.
    """
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return used.ru_maxrss * 1024 / 1e9  # KiB on Linux


def memory(folder: Path, slices: int, prompts: int, *methods: str) -> dict[str, Any]:
    """The largest resident set of ``predict``, without an uncertainty and with each of some methods."""
    model = folder / "model.pt"
    torch.save(TrainedState(build(folder)).state_dict(), model)
    file = write_ct(folder / "ct.nii.gz", (512, 512, slices))
    words = ["predict", str(file), "--prompt", *PROMPTS[:prompts], "--adapters", str(model)]
    command = [sys.executable, "-m", "monai_vlsm", *words, "--output", str(folder / "out"), "--window", "abdomen"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    seconds, plain = timed(lambda: peak(command, environment))
    more = {f"{method}_gb": round(peak([*command, "--uncertainty", method], environment), 2) for method in methods}
    return {
        "case": "volume_uncertainty" if methods else "volume_memory",
        "shape": [512, 512, slices],
        "prompts": prompts,
        "peak_gb": round(plain, 2),
        **more,
        "target_gb": round(plain + MORE_GB, 2) if methods else MOST_GB,
        "clock_seconds": round(seconds[1], 1),
    }


def report(result: dict[str, Any]) -> str:
    """One line for the screen."""
    if "peak_gb" in result:
        size = " x ".join(map(str, result["shape"]))
        if "flips_gb" in result:
            return (
                f"{size} voxels, {result['prompts']} prompts: at most {result['peak_gb']} GB in memory, with "
                f"--uncertainty flips {result['flips_gb']} GB, allowed are {result['target_gb']:g}"
            )
        return (
            f"{size} voxels, {result['prompts']} prompts: at most {result['peak_gb']} GB in memory, "
            f"allowed are {MOST_GB:g} ({result['clock_seconds']} s)"
        )
    ours, plain = result["processor_seconds"], result["plain_processor_seconds"]
    return (
        f"{result['slices']} slices, {result['prompts']} prompts: {ours} s, one call for each slice and prompt "
        f"{plain} s: "
        f"{result['times_as_fast']} times as fast, wanted are {FASTEST:g}; "
        f"{result['share_of_pixels_that_differ']:.1e} of the pixels differ"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=("speed", "memory", "uncertainty"))
    parser.add_argument("--slices", type=int, help="default: 300 for speed and uncertainty, 1000 for memory")
    parser.add_argument("--prompts", type=int, help="default: 5 for speed and uncertainty, 10 for memory")
    parser.add_argument("--plain-slices", type=int, default=20, help="slices that are segmented one by one")
    parser.add_argument("--real", action="store_true", help="a network of real size for speed")
    arguments = parser.parse_args()
    for what in arguments.what:
        with tempfile.TemporaryDirectory() as name:
            os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
            if what == "speed":
                sizes = arguments.slices or 300, arguments.prompts or 5, arguments.plain_slices
                result = speed(Path(name), arguments.real, *sizes)
            elif what == "uncertainty":
                result = memory(Path(name), arguments.slices or 300, arguments.prompts or 5, "flips")
            else:
                result = memory(Path(name), arguments.slices or 1000, arguments.prompts or 10)
        print(report(result), flush=True)
        if not arguments.slices:
            file = RESULTS / f"{result['case']}{'--real' if arguments.real and what == 'speed' else ''}.json"
            file.write_text(json.dumps({**result, "machine": machine("cpu")}, indent=4) + "\n")


if __name__ == "__main__":
    main()
