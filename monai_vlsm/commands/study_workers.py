# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Actions of ``study`` that start workers: on this machine, on a Slurm cluster, by Ray."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from monai_vlsm.commands.study_folder import planned, planned_search, study_of, worker_words

if TYPE_CHECKING:
    from monai_vlsm.studies import StudyFolder
    from monai_vlsm.studies.tracking import Tracking

__all__ = ["ray", "ray_options", "search", "slurm", "slurm_options", "work", "work_options"]


def work_options(parser: argparse.ArgumentParser) -> None:
    """Options of workers on this machine."""
    text = "auto (default): a worker for each that is there, else one on the CPU; all: at least one; none; or 0,1"
    parser.add_argument("--gpus", default="auto", metavar="WHICH", help=text)
    parser.add_argument("--no-wait", action="store_true", help="end when nothing is free, though others still work")
    parser.add_argument("--retry-failed", action="store_true", help="let runs that have failed begin again")
    _tracking_option(parser)


def slurm_options(parser: argparse.ArgumentParser) -> None:
    """Options of a job array."""
    parser.add_argument("--workers", type=int, default=8, metavar="N", help="elements of the array; default: 8")
    parser.add_argument("--time", default="24:00:00", help="of each element; it goes on later; default: 24:00:00")
    text = "an option of sbatch, such as --sbatch=--partition=gpu; again for more; default: --gpus=1"
    parser.add_argument("--sbatch", action="append", metavar="OPTION", help=text)
    parser.add_argument("--gpus", default="all", metavar="WHICH", help="as for work; default: all, which needs one")
    parser.add_argument("--submit", action="store_true", help="hand the script to sbatch")
    _search_option(parser)
    _tracking_option(parser)


def ray_options(parser: argparse.ArgumentParser) -> None:
    """Options of workers that Ray starts."""
    text = (
        "of a cluster that runs, such as auto; default: the one that RAY_ADDRESS or this machine knows, else a new one"
    )
    parser.add_argument("--address", metavar="HOST:PORT", help=text)
    parser.add_argument("--workers", type=int, metavar="N", help="default: one for each GPU, without GPUs one")
    parser.add_argument("--cpus", type=int, metavar="N", help="cores of each worker; default: all, shared out evenly")
    parser.add_argument("--retries", type=int, default=3, metavar="N", help="of a worker that dies; default: 3")
    _search_option(parser)
    _tracking_option(parser)


def _search_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--search", action="store_true", help="do the trials of the search, not the runs")


def _tracking_option(parser: argparse.ArgumentParser) -> None:
    text = "all trainings as runs of one experiment of MLflow: mlruns.db in the folder, or MLFLOW_TRACKING_URI"
    parser.add_argument("--tracking", choices=["mlflow"], help=text)


def work(args: argparse.Namespace) -> int:
    """Do the runs of the study."""
    from monai_vlsm.studies.choices import require_choices

    hired = _hired(args)
    folder = planned(args)
    for line in require_choices(folder.choices):
        print(line)
    return _work(args, "work", folder, *hired)


def search(args: argparse.Namespace) -> int:
    """Do the trials of the search."""
    from monai_vlsm.studies.choices import choices_of
    from monai_vlsm.studies.search_tables import choice_lines

    hired = _hired(args)
    folder = planned_search(args)
    status = _work(args, "search", folder, *hired)
    found = choices_of(folder.study, folder.root)
    if folder.study.search is not None:
        print("\n".join(choice_lines(folder.study.search, found)))
    return status if any(choice.best is None for choice in found) else 0


def slurm(args: argparse.Namespace) -> int:
    """Write a script for Slurm, and hand it in if that is asked for."""
    from monai_vlsm.studies.machines import gpu_names
    from monai_vlsm.studies.slurm import require_options, slurm_script, submit, write_script

    options = args.sbatch or ["--gpus=1"]
    require_options(args.workers, args.time, options)  # before files are made
    gpu_names(args.gpus)
    folder, words = _remote(args)
    words = [*words, f"--gpus={args.gpus}"]
    text = slurm_script(folder.study.name, folder.root, words, args.workers, args.time, options)
    script = write_script(folder.root, text)
    print(submit(script) if args.submit else f"script: {script}; submit it with: sbatch {script}")
    return 0


def ray(args: argparse.Namespace) -> int:
    """Let Ray start workers, and wait for them."""
    from monai_vlsm.studies.on_ray import RayWorkers, run_on_ray

    wanted = RayWorkers(args.address, args.workers, args.cpus, args.retries)  # says what is wrong before files are made
    folder, words = _remote(args)
    run_on_ray(words, folder.root, wanted, print)
    return _ended(folder, "trial" if args.search else "run")


def _remote(args: argparse.Namespace) -> tuple[StudyFolder, list[str]]:
    """The folder, and the command of a worker somewhere else."""
    from monai_vlsm.studies.choices import require_choices

    folder = planned_search(args) if args.search else planned(args)
    for line in require_choices(folder.choices):
        print(line)
    return folder, [*worker_words(args, "search" if args.search else "work"), "--no-wait"]


def _hired(args: argparse.Namespace) -> tuple[list[str], Tracking | None]:
    """The GPUs of this machine to work on, and where trainings are tracked; told before files are made."""
    from monai_vlsm.studies.machines import choose_gpus, gpus_here
    from monai_vlsm.studies.tracking import Tracking

    study, root = study_of(args)
    return choose_gpus(args.gpus, gpus_here()), Tracking.of(args.tracking, study.name, root)


def _work(
    args: argparse.Namespace, action: str, folder: StudyFolder, gpus: Sequence[str], tracking: Tracking | None
) -> int:
    from monai_vlsm.studies.machines import gpu_environment, gpus_here, require_gpu, run_workers
    from monai_vlsm.studies.work import Worker

    if args.retry_failed:
        folder.forgive()
    if len(gpus) > 1:
        return run_workers(gpus, [*worker_words(args, action), *(["--no-wait"] if args.no_wait else [])])
    gpu = gpus[0] if gpus else None

    def ready() -> None:  # for the next run
        if gpu is not None:
            require_gpu(gpu, gpus_here())
        if tracking is not None:
            tracking.prepare()

    tell = partial(print, flush=True)
    Worker(folder, gpu_environment(gpu), wait=not args.no_wait, tell=tell, ready=ready, tracking=tracking).work()
    return _ended(folder, "trial" if action == "search" else "run")


def _ended(folder: StudyFolder, noun: str) -> int:
    from monai_vlsm.studies import study_status
    from monai_vlsm.studies.status import FAILED

    status = study_status(folder)
    print(status.text(noun))
    return 1 if status.count(FAILED) else 0
