# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Cases of starting: imports, and ``train.json`` until its first step."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bundle import backbone_folder, image_folder, scratch
from cases import EXTRA_SECONDS, SECONDS, Case
from conditions import Conditions
from measure import Side

ROOT = Path(__file__).parents[1]


def importing(modules: str) -> Callable[[Conditions], Side]:
    """A fresh Python that imports something and ends."""
    return lambda _: Side(lambda: run_python("-c", f"import {modules}"))


def first_step(conditions: Conditions) -> Side:
    """A fresh Python that runs ``train.json`` up to the moment when the first batch is ready for its step."""
    images = 20 if conditions.quick else 1000
    data = image_folder(images - 10, 10, 640, 480)
    output = scratch() / "started"
    arguments = [str(data), str(backbone_folder(conditions)), str(output), conditions.device]
    return Side(lambda: run_python(str(Path(__file__).with_name("first_step.py")), *arguments), items=images)


def run_python(*arguments: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    subprocess.run([sys.executable, *arguments], check=True, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)


CASES = (
    Case(
        "start",
        "train.json on 1,000 images until the first step",
        20,
        SECONDS,
        {"ours": first_step},
        "start",
        120,
        counted=False,
    ),
    Case(
        "import",
        "import monai_vlsm, over import monai, torch",
        1,
        EXTRA_SECONDS,
        {"plain": importing("monai, torch"), "ours": importing("monai, torch, monai_vlsm")},
        "start",
        60,
        counted=False,
    ),
)
