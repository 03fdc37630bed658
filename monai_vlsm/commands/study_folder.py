# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What all actions of ``study`` share: which study, where its folder is, and what its workers are called with."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monai_vlsm.studies import Study, StudyFolder

__all__ = ["open_planned", "open_study", "place_options", "planned", "planned_search", "study_of", "worker_words"]


def place_options(parser: argparse.ArgumentParser) -> None:
    """Options that say which study, and where it is."""
    from monai_vlsm.commands.shipped import shipped

    shown = ", ".join(shipped("studies/files"))
    parser.add_argument("study", metavar="STUDY.yaml", help=f"a study file, or one that is shipped: {shown}")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the study; default: studies/NAME")
    parser.add_argument("--data", metavar="DIR", help="folder of the datasets, instead of that in the file")
    parser.add_argument("--bundles", metavar="DIR", help="folder of the bundles, instead of that in the file")
    parser.add_argument("--epochs", type=int, metavar="N", help="at most so many in every run, instead of the file's")
    text = "only these of the study's datasets, for trainings and tests; the others need not be there"
    parser.add_argument("--datasets", nargs="+", action="extend", metavar="NAME", help=text)


def study_of(args: argparse.Namespace) -> tuple[Study, Path]:
    """The study as the file and the options say it, and its folder."""
    from monai_vlsm.studies import StudyError, read_study

    study = read_study(args.study)
    study = replace(study, data=args.data or study.data, bundles=args.bundles or study.bundles)
    if args.epochs is not None and args.epochs < 1:
        raise StudyError(f"--epochs: expected a number from 1, got {args.epochs}")
    study = study if args.epochs is None else study.with_setting("epochs", args.epochs)
    study = study if args.datasets is None else study.only(args.datasets)
    return study, args.output or Path("studies") / study.name


def open_study(args: argparse.Namespace) -> StudyFolder:
    """The folder as it is."""
    from monai_vlsm.studies import StudyFolder

    return StudyFolder.of(*study_of(args))


def open_planned(args: argparse.Namespace, runs: bool = True) -> StudyFolder:
    """The folder as it is, which somebody has planned.

    Raises:
        StudyError: nobody has; or, if ``runs`` of the file as it is now are needed, with another file or other options.
    """
    folder = open_study(args)
    folder.require_planned(f"python -m monai_vlsm study plan {args.study}", runs)
    return folder


def planned(args: argparse.Namespace) -> StudyFolder:
    """The folder with all runs whose settings are known; tells what belongs to an earlier study file."""
    folder = open_study(args)
    for line in folder.plan():
        print(line)
    return folder


def planned_search(args: argparse.Namespace) -> StudyFolder:
    """The folder with the trials of the search."""
    from monai_vlsm.studies import StudyFolder

    return StudyFolder.plan_search(*study_of(args))


def worker_words(args: argparse.Namespace, action: str) -> list[str]:
    """The command of one worker, without its GPU, behind ``python -m monai_vlsm``."""
    given = {"--output": args.output, "--data": args.data, "--bundles": args.bundles, "--epochs": args.epochs}
    given |= {"--tracking": args.tracking}
    words = [f"{name}={value}" for name, value in given.items() if value is not None]
    return ["study", action, args.study, *words, *(f"--datasets={name}" for name in args.datasets or ())]
