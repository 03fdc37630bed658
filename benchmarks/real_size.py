# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Seconds per optimizer step and peak memory of a full-size network, by default CLIPSeg with dense VL adapters.

The weights are random, for dense VL a folder written by transformers from the architecture of
CIDAS/clipseg-rd64-refined. Time and memory do not depend on the values. One line is printed and one JSON written for
each precision::

    python benchmarks/real_size.py --steps 6
    python benchmarks/real_size.py --system CRIS --batch 1 --steps 2
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from tqdm import tqdm
from transformers import CLIPSegForImageSegmentation

from monai_vlsm.adapters import DenseAdaptation, count_parameters, trainable_parameters
from monai_vlsm.backbones import load_config
from monai_vlsm.commands.systems import SYSTEMS
from monai_vlsm.inferers import PromptInferer
from monai_vlsm.losses import PromptedSegmentationLoss
from monai_vlsm.networks import CLIPSegNet, PromptedNet

RESULTS = Path(__file__).parent / "results"
DENSE = "dense VL"
PROMPT_LENGTHS = (13, 21)  # tokens; mean and longest of a usual batch of the datasets of the paper


def build(system: str, device: torch.device) -> PromptedNet:
    """The network of a row of ``python -m monai_vlsm models``; dense VL is read from a folder."""
    torch.manual_seed(0)
    if system != DENSE:
        return next(row.build for row in SYSTEMS if row.name == system)().to(device)
    with tempfile.TemporaryDirectory() as folder:
        CLIPSegForImageSegmentation(load_config("CIDAS/clipseg-rd64-refined")).save_pretrained(folder)
        return CLIPSegNet(folder, adaptation=DenseAdaptation("vl")).to(device)


def batch(size: int, images: int, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Random images, tokens padded to 77 with lengths from `PROMPT_LENGTHS`, random masks."""
    ids = torch.full((images, 77), 49407)
    mask = torch.zeros(images, 77, dtype=torch.int64)
    for row in range(images):
        length = PROMPT_LENGTHS[row % len(PROMPT_LENGTHS)]
        ids[row, : length - 1] = torch.randint(0, 49405, (length - 1,))
        ids[row, 0], mask[row, :length] = 49406, 1
    target = (torch.rand(images, 1, size, size) > 0.7).float()
    return tuple(t.to(device) for t in (torch.randn(images, 3, size, size), ids, mask, target))


def measure(system: str, precision: str, images: int, steps: int, warm_up: int = 1) -> dict[str, Any]:
    """Train for a few steps in this process and return the measurements."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build(system, device).train()
    inferer = PromptInferer(cpu_autocast=precision == "bf16")
    loss_function = PromptedSegmentationLoss()
    parameters = trainable_parameters(network)
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-3)
    image, ids, mask, target = batch(network.image_size, images, device)
    seconds = []
    for _ in tqdm(range(steps + warm_up), f"{system}, {precision}, batch {images}", file=sys.stderr):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss_function(inferer(image, network, ids, mask), target).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    seconds = seconds[warm_up:]
    trainable, total = count_parameters(network)
    return {
        "case": f"{slug(system)}--train--{device.type}-{precision}--b{images}--torch{torch.__version__.split('+')[0]}",
        "seconds_per_step": round(statistics.median(seconds), 3),
        "fastest": round(min(seconds), 3),
        "slowest": round(max(seconds), 3),
        "steps": steps,
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "trainable": trainable,
        "total": total,
        "image_size": network.image_size,
        "weights": "random",
        "threads": torch.get_num_threads(),
        "processor": processor(),
        "transformers": transformers.__version__,
    }


def slug(system: str) -> str:
    """The name of a system as part of a file name."""
    return system.lower().replace(",", "").replace(" ", "_").replace("-", "_")


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    """Measure both precisions, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", default=DENSE, choices=[row.name for row in SYSTEMS if row.trains != "nothing"])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="measure one, in this process")
    arguments = parser.parse_args()
    if arguments.precision is None:
        for precision in ("fp32", "bf16"):  # a process each: peak memory is counted for a whole process
            subprocess.run([sys.executable, *sys.argv, "--precision", precision], check=True)
        return
    result = measure(arguments.system, arguments.precision, arguments.batch, arguments.steps)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{result['case']}.json").write_text(json.dumps(result, indent=4) + "\n")
    print("{case}: {seconds_per_step} s per step, peak memory {peak_memory_gib} GiB".format_map(result))


if __name__ == "__main__":
    main()
