# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm study``: many runs as one thing."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monai_vlsm.studies import StudyFolder

__all__ = ["add"]

_ACTIONS = {
    "plan": "check the study file and make a folder for each run",
    "work": "do the runs, as many workers as one likes, on as many machines as see the folder",
    "status": "what is done, running, failed and waiting, and the time that is left",
    "slurm": "write a script for a cluster: a job array whose elements are workers",
    "table": "tables of the results that are there: page, Markdown, CSV, LaTeX",
    "figures": "figures 2 to 4 of the paper from the results that are there, as SVG and PNG",
}


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser("study", help="all systems on all datasets with all seeds: runs, tables, figures")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    runs = (_plan, _work, _status, _slurm, _table, _figures)
    made = {name: _action(actions, name, _ACTIONS[name], run) for name, run in zip(_ACTIONS, runs, strict=True)}
    _work_options(made["work"])
    _slurm_options(made["slurm"])
    text = "name of an image of the test list for figure 4; again for more; the worst ones stand below"
    made["figures"].add_argument("--image", dest="images", action="append", metavar="NAME", help=text)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    from monai_vlsm.commands.shipped import shipped

    action = actions.add_parser(name, help=text, description=text)
    shown = ", ".join(shipped("studies/files"))
    action.add_argument("study", metavar="STUDY.yaml", help=f"a study file, or one that is shipped: {shown}")
    action.add_argument("--output", type=Path, metavar="DIR", help="folder of the study; default: studies/NAME")
    action.add_argument("--data", metavar="DIR", help="folder of the datasets, instead of that in the file")
    action.add_argument("--bundles", metavar="DIR", help="folder of the bundles, instead of that in the file")
    action.add_argument("--epochs", type=int, metavar="N", help="at most so many in every run, instead of the file's")
    action.set_defaults(run=run)
    return action


def _work_options(parser: argparse.ArgumentParser) -> None:
    text = "auto (default): a worker for each that is there, else one on the CPU; all: at least one; none; or 0,1"
    parser.add_argument("--gpus", default="auto", metavar="WHICH", help=text)
    parser.add_argument("--no-wait", action="store_true", help="end when nothing is free, though others still work")
    parser.add_argument("--retry-failed", action="store_true", help="let runs that have failed begin again")


def _slurm_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=8, metavar="N", help="elements of the array; default: 8")
    parser.add_argument("--time", default="24:00:00", help="of each element; it goes on later; default: 24:00:00")
    text = "an option of sbatch, such as --sbatch=--partition=gpu; again for more; default: --gpus=1"
    parser.add_argument("--sbatch", action="append", metavar="OPTION", help=text)
    parser.add_argument("--gpus", default="all", metavar="WHICH", help="as for work; default: all, which needs one")
    parser.add_argument("--submit", action="store_true", help="hand the script to sbatch")


def _folder(args: argparse.Namespace) -> StudyFolder:
    from monai_vlsm.studies import StudyError, StudyFolder, read_study

    study = read_study(args.study)
    study = replace(study, data=args.data or study.data, bundles=args.bundles or study.bundles)
    if args.epochs is not None and args.epochs < 1:
        raise StudyError(f"--epochs: expected a number from 1, got {args.epochs}")
    study = study if args.epochs is None else study.with_setting("epochs", args.epochs)
    return StudyFolder.of(study, args.output or Path("studies") / study.name)


def _planned(args: argparse.Namespace) -> StudyFolder:
    folder = _folder(args)
    for line in folder.plan():
        print(line)
    return folder


def _plan(args: argparse.Namespace) -> int:
    from monai_vlsm.counts import counted

    folder = _planned(args)
    study = folder.study
    parts = [
        counted(len(study.systems), "system"),
        counted(sum(one.train for one in study.datasets.values()), "dataset"),
    ]
    parts += [counted(len(study.seeds), "seed"), counted(len(study.fractions), "fraction")]
    print(f"{counted(len(folder.runs), 'run')} ({' x '.join(parts)}) in {folder.root}")
    return 0


def _status(args: argparse.Namespace) -> int:
    from monai_vlsm.studies import study_status

    folder = _folder(args)
    print(study_status(folder).text())
    for line in folder.left_over():
        print(line)
    return 0


def _slurm(args: argparse.Namespace) -> int:
    from monai_vlsm.studies.slurm import slurm_script, submit, write_script

    folder = _planned(args)
    words = [*_words(args), "--no-wait", f"--gpus={args.gpus}"]
    options = args.sbatch or ["--gpus=1"]
    text = slurm_script(folder.study.name, folder.root, words, args.workers, args.time, options)
    script = write_script(folder.root, text)
    print(submit(script) if args.submit else f"script: {script}; submit it with: sbatch {script}")
    return 0


def _table(args: argparse.Namespace) -> int:
    from monai_vlsm.studies.writing import write_tables

    folder = _folder(args)
    page, *others = write_tables(folder, folder.root / "tables")
    print(f"tables: {page}, beside it {', '.join(file.name for file in others)}")
    return 0


def _figures(args: argparse.Namespace) -> int:
    from monai_vlsm.studies.figures import write_figures

    folder = _folder(args)
    for file in write_figures(folder, folder.root / "figures", args.images or ()):
        print(f"figure: {file}")
    return 0


def _work(args: argparse.Namespace) -> int:
    from monai_vlsm.studies.machines import choose_gpus, gpu_environment, gpus_here, require_gpu, run_workers
    from monai_vlsm.studies.work import Worker

    folder = _planned(args)
    if args.retry_failed:
        folder.forgive()
    there = gpus_here()
    gpus = choose_gpus(args.gpus, there)
    if len(gpus) > 1:
        return run_workers(gpus, [*_words(args), *(["--no-wait"] if args.no_wait else [])])
    gpu = gpus[0] if gpus else None
    ready = (lambda: require_gpu(gpu, gpus_here())) if gpu is not None else (lambda: None)
    tell = partial(print, flush=True)
    Worker(folder, gpu_environment(gpu), wait=not args.no_wait, tell=tell, ready=ready).work()
    return _ended(folder)


def _words(args: argparse.Namespace) -> list[str]:
    """The command of one worker, without its GPU."""
    given = {"--output": args.output, "--data": args.data, "--bundles": args.bundles, "--epochs": args.epochs}
    return ["study", "work", args.study, *(f"{name}={value}" for name, value in given.items() if value is not None)]


def _ended(folder: StudyFolder) -> int:
    from monai_vlsm.studies import study_status
    from monai_vlsm.studies.status import FAILED

    status = study_status(folder)
    print(status.text())
    return 1 if status.count(FAILED) else 0
