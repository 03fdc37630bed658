# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A folder in which the commands of the documents run: with all that they name, small; and how one is run there."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import runpy
import shutil
import sys
import traceback
from pathlib import Path

import torch
from PIL import Image

from monai_vlsm.adapters import Adaptation, DenseAdaptation, LoRAAdaptation
from monai_vlsm.commands import main
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.samples import sample_dir
from tests.bundles.dataset import write_dataset
from tests.data.volumes.series import slice_datasets, volume, write_series
from tests.docs.shell import ROOT, fenced
from tests.serving.images import write_images, write_model

ABSOLUTE = re.compile(r"^/(?=(?:data|path|tmp)\b)")
DATASETS = ("BUSI", "DATA", "DIR", "mydata", "data/busi", "data/kvasir", "data/polyps", "path/to/folder")
MODELS = ("model.pt", "polyp.pt", "ulcer.pt", "polyp/model.pt", "bundles/vlsm_dense/models/model.pt")


class Place:
    """A folder with the bundles of the repository, data, and models that were trained on a tiny backbone."""

    def __init__(self, folder: Path, backbone: Path) -> None:
        self.folder, self.backbone = folder, backbone
        shutil.copytree(
            ROOT / "bundles", folder / "bundles", ignore=shutil.ignore_patterns("models", "eval", "evaluation")
        )
        for name in MODELS:
            self.write(name, DenseAdaptation())
        data = write_splits(folder / "dataset")
        for name in DATASETS:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(data)
        shutil.copytree(sample_dir("brain_volumes"), folder / "data" / "Task09_Spleen")
        (write_images(folder / "data" / "new") / "volume.nii.gz").rename(folder / "data" / "new" / "ct.nii.gz")
        write_series(folder / "data" / "ct_series", slice_datasets(volume()))
        recipe, _ = (text for language, text in fenced(ROOT / "docs" / "prompts.md") if language == "yaml")
        (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")

    def write(self, name: str, adaptation: Adaptation, backbone: str | Path | None = None) -> None:
        """Write a model; it is trained on the tiny backbone where no other is given."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_model(CLIPSegNet(backbone or self.backbone, adaptation, default_prompt="polyp"), file)

    def run(self, words: tuple[str, ...]) -> None:
        """Run a command to its end; fail with what it said if its status is not 0.

        A training begins in a bundle without results, one that goes on has a run to go on with, prompts are made for
        masks without lists, and what is merged can be.
        """
        typed = [ABSOLUTE.sub(f"{self.folder}/", word) for word in words]
        more = self._more(typed)
        if "--resume" in typed:
            self.run(words[: words.index("--resume")])
            more += ["--epochs", "2"]
        elif bundle := trained_bundle(typed):
            for name in ("models", "eval"):
                shutil.rmtree(self.folder / bundle / name, ignore_errors=True)
        elif typed[3:5] == ["data", "prompts"]:
            write_single_masks(self.folder / typed[5])
        elif "merge" in typed or "--merge" in typed:
            self.write("bundles/vlsm_dense/models/model.pt", LoRAAdaptation())
        self._in_a_fork([*typed, *more])

    def _more(self, typed: list[str]) -> list[str]:
        """What makes a command short, behind its words: the last one counts."""
        if trained_bundle(typed):
            return ["--epochs", "1", "--num_workers", "0", "--backbone", str(self.backbone)]
        if typed[1] == "tools/training_study.py":
            return ["--epochs", "1", "--seeds", "41", "--limit", "4", "--backbone", str(self.backbone)]
        return []

    def _in_a_fork(self, typed: list[str]) -> None:
        """What a program does to its process stays there, and it would be slow to import everything anew."""
        log = self.folder / "log.txt"
        child = multiprocessing.get_context("fork").Process(target=_run, args=(typed, self.folder, log))
        child.start()
        child.join()
        assert child.exitcode == 0, log.read_text(encoding="utf-8")[-3000:]


def trained_bundle(typed: list[str]) -> str | None:
    """The folder of the bundle that a command trains."""
    found = re.search(r"([\w/]+)/configs/train\.json", str(typed))
    return found[1] if found and "evaluate.json" not in str(typed) else None


def write_splits(folder: Path) -> Path:
    """Three lists, with a prompt of every style for each structure; some images lack one."""
    write_dataset(folder, train=6, val=2)
    train, val = (json.loads((folder / f"{name}.json").read_text()) for name in ("train", "val"))
    for split, rows in (("train", train[:4]), ("val", val), ("test", train[4:])):
        rows[0]["structures"].pop()
        for structure in (one for row in rows for one in row["structures"]):
            prompt = structure["name"] = "left polyp" if "left" in structure["mask"] else "right polyp"
            structure["prompt"] = {"p0": "", **{f"p{index}": prompt for index in range(1, 10)}}
        (folder / f"{split}.json").write_text(json.dumps(rows))
    return folder


def write_single_masks(folder: Path) -> None:
    """Images with a mask each, and no lists."""
    folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
    for part, colour in (("images", 90), ("masks", 0)):
        (folder / part).mkdir(parents=True)
        for index in range(3):
            image = Image.new("L", (40, 32), colour)
            image.paste(255, (8, 8, 20 + index, 20))
            image.save(folder / part / f"case{index}.png")


def _run(typed: list[str], folder: Path, log: Path) -> None:
    """In a process of its own, which ends here: taking apart what it shares with its parent could hang."""
    torch.set_num_threads(1)  # a fork has no threads of OpenMP, and would wait for them
    status: object = 1
    with log.open("w", encoding="utf-8") as output:
        sys.stdout = sys.stderr = output
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        try:
            status = _start(typed)
        except SystemExit as end:
            status = end.code
        except BaseException:
            traceback.print_exc(file=output)
        output.flush()
    os._exit(1 if status else 0)


def _start(typed: list[str]) -> int:
    if typed[1:3] == ["-m", "monai_vlsm"]:
        return main(typed[3:])
    if typed[1] == "-m":
        sys.argv = typed[2:]
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    else:
        sys.argv = typed[1:]
        sys.path.insert(0, str((ROOT / typed[1]).parent))
        runpy.run_path(str(ROOT / typed[1]), run_name="__main__")
    return 0
