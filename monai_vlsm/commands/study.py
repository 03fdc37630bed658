# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm study``: many runs as one thing."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from monai_vlsm.commands import study_workers as workers
from monai_vlsm.commands.study_folder import open_planned, place_options, planned, planned_search, study_of

__all__ = ["add"]

_ACTIONS = {
    "plan": "check the study file and make a folder for each run",
    "search": "try settings on the validation images, which the runs take then; any number of workers",
    "work": "do the runs, as many workers as one likes, on as many machines as see the folder",
    "status": "what is done, running, failed and waiting, and the time that is left",
    "slurm": "write a script for a cluster: a job array whose elements are workers",
    "ray": "start workers by Ray, on its cluster or on this machine",
    "table": "tables of the results that are there: page, Markdown, CSV, LaTeX",
    "figures": "figures 2 to 4 of the paper from the results that are there, as SVG and PNG",
}


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser("study", help="all systems on all datasets with all seeds: runs, tables, figures")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    runs = (_plan, workers.search, workers.work, _status, workers.slurm, workers.ray, _table, _figures)
    made = {name: _action(actions, name, run) for name, run in zip(_ACTIONS, runs, strict=True)}
    workers.work_options(made["search"])
    workers.work_options(made["work"])
    workers.slurm_options(made["slurm"])
    workers.ray_options(made["ray"])
    text = "name of an image of the test list for figure 4; again for more; the worst ones stand below"
    made["figures"].add_argument("--image", dest="images", action="append", metavar="NAME", help=text)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=_ACTIONS[name], description=_ACTIONS[name])
    place_options(action)
    action.set_defaults(run=run)
    return action


def _plan(args: argparse.Namespace) -> int:
    from monai_vlsm.counts import counted

    study, _ = study_of(args)
    if study.search is not None:
        trials = len(planned_search(args).runs)
        print(
            f"search: {counted(trials, 'trial')} of {', '.join(study.search.settings)}; the runs take the best values"
        )
    folder = planned(args)
    parts = [
        counted(len(study.systems), "system"),
        counted(sum(one.train for one in study.datasets.values()), "dataset"),
    ]
    parts += [counted(len(study.seeds), "seed"), counted(len(study.fractions), "fraction")]
    waiting = ", of those whose search is over" if study.search is not None else ""
    print(f"{counted(len(folder.runs), 'run')} ({' x '.join(parts)}{waiting}) in {folder.root}")
    return 0


def _status(args: argparse.Namespace) -> int:
    from monai_vlsm.studies import StudyFolder, study_status

    folder = open_planned(args, runs=False)
    study, root = folder.study, folder.root
    if study.search is not None:
        print(f"search: {study_status(StudyFolder.of_search(study, root)).text('trial')}")
    print(study_status(folder).text())
    for line in folder.left_over():
        print(line)
    return 0


def _table(args: argparse.Namespace) -> int:
    from monai_vlsm.studies.writing import write_tables

    folder = open_planned(args)
    page, *others = write_tables(folder, folder.root / "tables")
    print(f"tables: {page}, beside it {', '.join(file.name for file in others)}")
    return 0


def _figures(args: argparse.Namespace) -> int:
    from monai_vlsm.studies.figures import write_figures

    folder = open_planned(args)
    for file in write_figures(folder, folder.root / "figures", args.images or ()):
        print(f"figure: {file}")
    return 0
