# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Memory of one base with many adapters (`AdapterBank`), against as many networks of their own; and the time to switch.

CLIPSeg at the size of CIDAS/clipseg-rd64-refined with random weights, dense VL adapters. The weights are counted, and
the memory that the process takes for them is read from the system (Linux). For each pair of models it is checked that
both ways compute the same. 20 networks of their own take 12.5 GB; ``--separate`` builds fewer and says so in the
result::

    python benchmarks/bank.py --adapters 20
    python benchmarks/bank.py --adapters 20 --separate 5
    python benchmarks/bank.py --mini --adapters 3       # to try the script: nothing is written
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import transformers
from real_size import RESULTS, processor
from tqdm import tqdm
from transformers import CLIPSegForImageSegmentation

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.backbones import load_config
from monai_vlsm.checkpoints import TrainedState, load_trained
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.serving import AdapterBank

ADAPTATION = DenseAdaptation("vl")
SWITCHES = 20_000
COMPARED = 3  # networks whose output is compared
MB = 1e6


def write_models(backbone: str, count: int, folder: Path) -> list[Path]:
    """Model files with random adapters, as training would write them."""
    network = CLIPSegNet(backbone, adaptation=ADAPTATION)
    state = TrainedState(network)
    files = [folder / f"{index}.pt" for index in range(count)]
    for file in tqdm(files, "model files", file=sys.stderr):
        for parameter in network.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.02)
        torch.save(state.state_dict(), file)
    return files


def fill_bank(backbone: str, files: list[Path]) -> tuple[AdapterBank, list[float]]:
    """A bank with all files, named by their numbers, and the seconds that each took."""
    bank = AdapterBank(backbone)
    loads = [timed(lambda file=file: bank.load(file.stem, file)) for file in tqdm(files, "bank", file=sys.stderr)]
    return bank, loads


def build_separate(backbone: str, files: list[Path]) -> list[CLIPSegNet]:
    """The same models the usual way, each with a base of its own."""
    networks = []
    for file in tqdm(files, "networks of their own", file=sys.stderr):
        networks.append(CLIPSegNet(backbone, adaptation=ADAPTATION).eval())
        load_trained(networks[-1], file)
    return networks


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def resident() -> float:
    """Megabytes of this process that are no copies of files such as libraries (Linux; 0 elsewhere)."""
    gc.collect()
    file = Path("/proc/self/smaps_rollup")
    if not file.is_file():
        return 0.0
    ctypes.CDLL(None).malloc_trim(0)  # memory that was freed goes back to the system first
    lines = file.read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon:")) / MB


def weights(networks: list[CLIPSegNet]) -> float:
    """Megabytes of all weights; what networks share counts once."""
    storages = {}
    for network in networks:
        for tensor in (*network.parameters(), *network.buffers()):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return sum(storages.values()) / MB


@torch.no_grad()
def compare(bank: AdapterBank, networks: list[CLIPSegNet]) -> None:
    """Stop when a network of the bank computes anything else than one of its own."""
    for index, network in enumerate(networks[:COMPARED]):
        image = torch.randn(1, 3, network.image_size, network.image_size)
        if not torch.equal(network(image), bank.network(str(index))(image)):
            raise SystemExit(f"model {index}: the bank computes something else")


def measure(backbone: str, count: int, separate: int, folder: Path) -> dict[str, Any]:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # what it leaves behind would count as memory of ours
        files = pool.submit(write_models, backbone, count, folder).result()
    AdapterBank("clipseg-mini")  # loads code
    base = resident()
    bank, loads = fill_bank(backbone, files)
    bank_resident = resident() - base
    base = resident()
    networks = build_separate(backbone, files[:separate])
    separate_resident = resident() - base
    compare(bank, networks)
    names = [str(index % count) for index in range(SWITCHES)]
    switching = timed(lambda: [bank.network(name) for name in names])
    into_one = [timed(lambda file=file: load_trained(networks[0], file)) for file in files]
    memory = bank.memory()
    return {
        "adapters": count,
        "file_mb": round(statistics.median(file.stat().st_size for file in files) / MB, 2),
        "base_mb": round(memory["base"] / MB, 1),
        "adapter_mb": round(statistics.median(memory["adapters"].values()) / MB, 2),
        "bank_mb": round((memory["base"] + sum(memory["adapters"].values())) / MB, 1),
        "bank_resident_mb": round(bank_resident, 1),
        "separate_networks": separate,
        "separate_mb": round(weights(networks), 1),
        "separate_resident_mb": round(separate_resident, 1),
        "first_load_s": round(loads[0], 3),
        "load_s": round(statistics.median(loads[1:] or loads), 3),
        "switch_us": round(switching / SWITCHES * 1e6, 3),
        "load_into_one_network_s": round(statistics.median(into_one), 3),
        "adaptation": ADAPTATION.settings(),
        "weights": "random",
        "threads": torch.get_num_threads(),
        "processor": processor(),
        "transformers": transformers.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapters", type=int, default=20)
    parser.add_argument("--separate", type=int, help="how many networks of their own; default: as many as adapters")
    parser.add_argument("--mini", action="store_true", help="the small backbone; nothing is written")
    arguments = parser.parse_args()
    separate = min(arguments.separate or arguments.adapters, arguments.adapters)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        backbone = "clipseg-mini"
        if not arguments.mini:
            backbone = f"{folder}/base"
            CLIPSegForImageSegmentation(load_config("CIDAS/clipseg-rd64-refined")).save_pretrained(backbone)
        result = measure(backbone, arguments.adapters, separate, Path(folder))
    version = torch.__version__.split("+")[0]
    result = {"case": f"dense_vl--bank--cpu-fp32--n{arguments.adapters}--torch{version}", **result}
    if not arguments.mini:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{result['case']}.json").write_text(json.dumps(result, indent=4) + "\n")
    print(
        "one base and {adapters} adapters: {bank_mb} MB of weights ({base_mb} + {adapters} x {adapter_mb}), "
        "{bank_resident_mb} MB in the process\n"
        "{separate_networks} networks of their own: {separate_mb} MB of weights, {separate_resident_mb} MB in the "
        "process\n"
        "a file: {file_mb} MB; to load the first {first_load_s} s, each other {load_s} s; to switch {switch_us} us, "
        "against {load_into_one_network_s} s to load a file into one network".format_map(result)
    )


if __name__ == "__main__":
    main()
