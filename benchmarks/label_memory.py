# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Memory of a MONAI Label server with one and with several adapters on one base, all of them in use.

The architecture is that of CIDAS/clipseg-rd64-refined with dense VL adapters, the weights are random. Each count starts
a server of its own, asks each model for one mask and reads the memory of the process that is not shared with files.
Needs monailabel (see docs/monai_label.md)::

    PYTHONPATH=. python benchmarks/label_memory.py --counts 1 4
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from transformers import CLIPSegForImageSegmentation

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.apps.label import install_app
from monai_vlsm.backbones import load_config
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.networks import CLIPSegNet
from tests.apps.server import running

ROOT = Path(__file__).parents[1]
SPECIAL = ("<|startoftext|>", "<|endoftext|>")


def write_backbone(folder: Path) -> Path:
    """Random weights at real size; the tokenizer of the embedded backbone, with unused words up to CLIP's number."""
    torch.manual_seed(0)
    config = load_config("CIDAS/clipseg-rd64-refined")
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    mini = ROOT / "monai_vlsm" / "backbones" / "clipseg_mini"
    for name in ("merges.txt", "tokenizer_config.json"):
        shutil.copy(mini / name, folder / name)
    words = [word for word in json.loads((mini / "vocab.json").read_text(encoding="utf-8")) if word not in SPECIAL]
    words += [f"unused{index}</w>" for index in range(config.text_config.vocab_size - len(words) - len(SPECIAL))]
    vocabulary = {word: index for index, word in enumerate([*words, *SPECIAL])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    return folder


def write_files(folder: Path, backbone: Path, count: int) -> list[Path]:
    """Trained files, each with other adapters."""
    folder.mkdir()
    network = CLIPSegNet(backbone, DenseAdaptation("vl"))
    files = []
    for index in range(count):
        for name, parameter in network.named_parameters():
            if name in network.trained_names:
                torch.nn.init.normal_(parameter, std=0.01)
        files.append(folder / f"adapter_{index}.pt")
        torch.save(TrainedState(network).state_dict(), files[-1])
    return files


def measure(files: list[Path], folder: Path) -> int:
    """Bytes of a server that has answered for each file."""
    bundle = folder / "vlsm_dense"
    shutil.copytree(ROOT / "bundles" / "vlsm_dense", bundle, ignore=shutil.ignore_patterns("models", "eval"))
    (bundle / "models").mkdir()
    shutil.copy(files[0], bundle / "models" / "model.pt")
    (folder / "studies").mkdir()
    Image.fromarray(np.zeros((352, 352, 3), np.uint8)).save(folder / "studies" / "a.png")
    app = install_app(folder / "app", [bundle], files[1:])
    with running(app, folder / "studies", folder, "skip_trainers", "true") as client:
        for name in ("vlsm_dense", *(file.stem for file in files[1:])):
            answer = client.infer(name, "a", prompt="polyp")
            if answer.status_code != 200:
                raise RuntimeError(answer.text)
        return int(psutil.Process(client.process.pid).memory_full_info().uss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 4], help="numbers of adapters")
    counts = parser.parse_args().counts
    with tempfile.TemporaryDirectory() as place:
        backbone = write_backbone(Path(place) / "backbone")
        weights = sum(file.stat().st_size for file in backbone.glob("*.safetensors"))
        files = write_files(Path(place) / "files", backbone, max(counts))
        print(f"base {weights / 1e6:.0f} MB, an adapter file {files[0].stat().st_size / 1e6:.0f} MB")
        for count in counts:
            folder = Path(place) / f"server_{count}"
            folder.mkdir()
            print(f"{count} adapters: {measure(files[:count], folder) / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
