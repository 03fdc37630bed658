# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders of nnU-Net v2: ``imagesTr/CASE_0000.nii.gz``, ``labelsTr/CASE.nii.gz`` and a ``dataset.json``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.data.entries import read_json
from monai_vlsm.data.lists.cases import Case, CaseList, Part
from monai_vlsm.data.lists.classes import LabelClass
from monai_vlsm.data.lists.decathlon import Channels
from monai_vlsm.data.lists.files import PathError, apple_note, is_apple_double, listed_file
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.names import folder_name

__all__ = ["read_nnunet"]

SPLITS = "splits_final.json"  # nnU-Net's own folds, where they were copied beside the list
Found = dict[str, tuple[list[str], str]]  # case to the files of its channels and its label map


def read_nnunet(file: Path, table: Mapping[str, Any], classes: tuple[LabelClass, ...], channels: Channels) -> CaseList:
    """The cases of an nnU-Net folder: training, and tests where there is ``imagesTs``.

    Args:
        file: ``dataset.json``.
        table: what it holds.
        classes: of its label maps.
        channels: of its images.

    Raises:
        DatasetProblems: no cases, cases without an image, or paths that leave the folder.
        ChannelError: images of several channels, and none is chosen.
    """
    root, ending = file.parent, str(table.get("file_ending", ".nii.gz"))
    problems: list[Problem] = []
    if isinstance(table.get("dataset"), Mapping):
        found, apples = _listed(table["dataset"], file, problems), 0
    else:
        found, apples = _in_folders(root, "Tr", ending, problems)
    bare = [name for name, own in found.items() if not own[1]]
    found = {name: own for name, own in found.items() if own[1]}
    if not found and not problems:
        problems.append(Problem(str(root / "labelsTr"), f"label maps CASE{ending}", "none"))
    if problems:
        raise DatasetProblems(problems)
    tests, more = _in_folders(root, "Ts", ending, [])
    return CaseList(
        file,
        folder_name(root),
        classes,
        tuple(_cases(found, classes, channels)),
        test=tuple(_cases({name: own for name, own in tests.items() if own[1]}, classes, channels)),
        folds=_folds(root / SPLITS),
        notes=(*_bare_note(root, bare), *apple_note(root, apples + more)),
    )


def _listed(cases: Mapping[str, Any], file: Path, problems: list[Problem]) -> Found:
    """The cases of a list that names its files itself."""
    found: Found = {}
    for name, one in cases.items():
        try:
            images = one.get("images") if isinstance(one, Mapping) else None
            if not isinstance(images, list) or not images:
                raise PathError("images to be a list of files, one for each channel", repr(images))
            files = [listed_file(file.parent, image, "image") for image in images]
            found[str(name)] = files, listed_file(file.parent, one.get("label"), "label")
        except PathError as error:
            problems.append(Problem(f"{file}, {name}", *error.args))
    return found


def _in_folders(root: Path, part: str, ending: str, problems: list[Problem]) -> tuple[Found, int]:
    """The cases of ``imagesTr`` and ``labelsTr``, or ``Ts``, and how many files ``._*`` were left out."""
    images, apples = _files(root / f"images{part}", ending)
    labels, more = _files(root / f"labels{part}", ending)
    channels: dict[str, list[str]] = {}
    for name, path in images.items():
        case = re.fullmatch(r"(.+)_\d{4}", name)
        channels.setdefault(case[1] if case else name, []).append(str(path))
    missing = sorted(set(labels) - set(channels))
    problems += [
        Problem(str(labels[name]), f"its image images{part}/{name}_0000{ending}", "nothing at this path")
        for name in missing
    ]
    return {name: (files, str(labels.get(name, ""))) for name, files in channels.items()}, apples + more


def _bare_note(root: Path, names: list[str]) -> list[str]:
    """A line on images for training that have no label map."""
    what = f"{counted(len(names), 'case')} without a label map in labelsTr"
    return [f"{root}: left out, {what}: {', '.join(names[:3])}{', ...' * (len(names) > 3)}"] if names else []


def _files(folder: Path, ending: str) -> tuple[dict[str, Path], int]:
    """Files of a folder by their name without the ending, and how many ``._*`` there were."""
    paths = sorted(folder.glob(f"*{ending}")) if folder.is_dir() else []
    kept = {path.name[: -len(ending)]: path for path in paths if not path.name.startswith(".")}
    return kept, sum(is_apple_double(path.name) for path in paths)


def _cases(found: Found, classes: tuple[LabelClass, ...], channels: Channels) -> Iterator[Case]:
    for name, (files, label) in found.items():
        image, channel = channels.of_files(files, files[0])
        place = channel if len(files) == 1 else files.index(image)
        parts = tuple(Part(label, one) for one in classes) if label else ()
        yield Case(name, image, parts, name, channels.modality(place), channel)


def _folds(file: Path) -> dict[int, frozenset[str]]:
    content = read_json(file) if file.is_file() else []
    folds = content if isinstance(content, list) else []
    return {
        number: frozenset(map(str, fold["val"]))
        for number, fold in enumerate(folds)
        if isinstance(fold, Mapping) and isinstance(fold.get("val"), list)
    }
