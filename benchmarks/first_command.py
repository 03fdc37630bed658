# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The first command of the README, here and at an earlier revision: time until the validation Dice is reached.

Checks the revision out into a temporary worktree, then runs both, in turn or side by side, each in a fresh process with
one thread and output folders of its own, and stops each as soon as an epoch's ``val_dice`` reaches ``--dice``. The
number that counts is the ratio; seconds alone depend on what else the machine does. Writes one JSON file::

    python benchmarks/first_command.py --base df166e3
    python benchmarks/first_command.py --base df166e3 --repeats 3 --together

``--together`` runs both at the same time, so that both meet the same disturbances. Processor time is given too: it
depends less on them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conditions import machine
from speed import RESULTS

ROOT = Path(__file__).parents[1]
CONFIG = "bundles/vlsm_dense/configs/train.json"
SCORE = re.compile(r"epoch (\d+)/\d+ .*val_dice (\d\.\d+)")


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """A folder with the files of a revision, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="first_command_") as folder:
        path = Path(folder, "base")
        git("worktree", "add", "--detach", str(path), revision)
        try:
            yield path
        finally:
            git("worktree", "remove", "--force", str(path))


def git(*arguments: str) -> str:
    """What git says, without the line's end."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def reached(line: str, dice: float) -> int | None:
    """The epoch that a line of the console reports, if its validation Dice is high enough."""
    found = SCORE.search(line)
    return int(found[1]) if found and float(found[2]) >= dice else None


def run_until(root: Path, dice: float, arguments: Sequence[str]) -> dict[str, Any]:
    """Run the command of a checkout until it reaches the Dice.

    Returns:
        Seconds and processor seconds since the start of the process, and the epoch.

    Raises:
        SystemExit: when it ends before.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = [f"--ckpt_dir={folder}/models", f"--output_dir={folder}/eval", *arguments]
        command = [sys.executable, "-m", "monai.bundle", "run", f"--config_file={CONFIG}", *output]
        environment = os.environ | {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        start = time.perf_counter()
        with subprocess.Popen(
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                epoch = reached(line, dice)
                if epoch is not None:
                    seconds = time.perf_counter() - start
                    process.send_signal(signal.SIGKILL)
                    _, _, usage = os.wait4(process.pid, 0)
                    process.returncode = -signal.SIGKILL
                    return {"seconds": seconds, "processor": usage.ru_utime + usage.ru_stime, "epoch": epoch}
        raise SystemExit(f"{root} ended (status {process.returncode}) before a validation Dice of {dice}")


def measure(sides: dict[str, Path], arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Runs of each side, ``--repeats`` times in turn or together."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    extra = [f"--seed={arguments.seed}"]
    for _ in range(arguments.repeats):
        with ThreadPoolExecutor(len(sides) if arguments.together else 1) as pool:
            jobs = {name: pool.submit(run_until, root, arguments.dice, extra) for name, root in sides.items()}
        for name, job in jobs.items():
            runs[name].append(job.result())
            print(name, job.result(), flush=True)
    return runs


def ratios(runs: dict[str, list[dict[str, Any]]], key: str) -> list[float]:
    """How many times as fast each pair of runs was."""
    return [base[key] / here[key] for base, here in zip(runs["base"], runs["here"], strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="revision to compare with")
    parser.add_argument("--dice", type=float, default=0.848)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--together", action="store_true", help="both at the same time")
    parser.add_argument("--output", type=Path, default=RESULTS / "first_command.json")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"base": git("rev-parse", arguments.base), "here": git("rev-parse", "HEAD")}
    with worktree(arguments.base) as base:
        runs = measure({"base": base, "here": ROOT}, arguments)
    result |= {"dice": arguments.dice, "seed": arguments.seed, "together": arguments.together, "runs": runs}
    for key in ("seconds", "processor"):
        result[f"times as fast, {key}"] = round(statistics.median(ratios(runs, key)), 2)
        print(f"{key}: {result[f'times as fast, {key}']} times as fast")
    arguments.output.write_text(json.dumps(result | {"machine": machine("cpu")}, indent=4) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
