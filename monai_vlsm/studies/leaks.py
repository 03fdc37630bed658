# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether images or patients of a dataset are in two splits, or in the dataset of a training; looked at once for each
dataset and its lists."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from monai_vlsm.io import write_json
from monai_vlsm.names import file_stem, split_name
from monai_vlsm.outputs import file_digest
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.plan import Run, dataset_folder
from monai_vlsm.studies.run_files import read_json
from monai_vlsm.studies.study import Study

__all__ = ["audit", "in_background", "leaks_of", "list_digests", "own_list"]

Result = TypeVar("Result")

COPIED = "copy in another dataset"
LEAKS = ("image in two splits", "copy in two splits", "patient in two splits", COPIED)
"""Kinds of findings of ``data check`` after which a test score is no score on new data."""

OWN_LISTS = {"train": "the training list", "val": "the validation list"}

_LISTS: tuple[str, ...] = ("anns/train.json", "anns/val.json", "anns/test.json", "dataset.json")
_LISTS += tuple(f"{split}.{kind}" for split in ("train", "val", "test") for kind in ("json", "csv"))


def list_digests(root: Path) -> dict[str, str]:
    """Digests of the lists of a dataset, which say who is in which split."""
    return {name: file_digest(root / name) for name in _LISTS if (root / name).is_file()}


def leaks_of(folder: StudyFolder, dataset: str, tested: str | None = None) -> Mapping[str, int] | None:
    """Kinds of leaks to their number; None where the look has failed.

    What was found is kept in the folder of the study, until the lists change.

    Args:
        folder: of the study.
        dataset: that is trained on.
        tested: another one, of which the test images are looked for in what is trained on; None looks at one dataset.
    """
    study = folder.study
    roots = {name: dataset_folder(study, study.datasets[name]) for name in (dataset, tested) if name is not None}
    if tested is None or roots[tested] == roots[dataset]:  # a folder may have two names
        roots = {dataset: roots[dataset]}
    *above, last = map(file_stem, roots)
    file = folder.root.joinpath("datasets", *above, f"{last}.json")
    lists = {name: list_digests(root) for name, root in roots.items()}
    known = read_json(file) or {}
    leaks: Mapping[str, int] | None = known.get("leaks")
    if known.get("lists") == lists and isinstance(leaks, dict):
        return leaks
    if tested in roots:
        leaks = audit(roots[tested], roots[dataset], study.datasets[tested].test_split)
    else:
        leaks = audit(roots[dataset])
    if leaks is not None:
        write_json(file, {"dataset": dataset, "lists": lists, "leaks": leaks})
    return leaks


def own_list(study: Study, run: Run, tested: str, split: str | None) -> dict[str, int]:
    """The leak of a test on what the network was trained on, or chosen by; empty if there is none.

    Args:
        study: of the run.
        run: that was evaluated.
        tested: dataset of the evaluation.
        split: list of it.
    """
    places = [dataset_folder(study, study.datasets[name]) for name in (run.dataset, tested)]
    if places[0] != places[1] or not run.trains:
        return {}
    own = {name: split_name(str(run.settings.get(f"{name}_split", name))) for name in OWN_LISTS}
    return {f"tested on {OWN_LISTS[name]}": 1 for name, used in own.items() if split and split_name(split) == used}


def in_background(look: Callable[..., Result], *given: Any) -> Future[Result]:
    """Call a function beside other work; nobody waits for it at the end of the process."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(look(*given))
        except BaseException as error:  # it belongs to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def audit(root: Path, against: Path | None = None, split: str = "") -> dict[str, int] | None:
    """What ``data check`` finds of `LEAKS`; by a process of its own, since a worker holds no images.

    Args:
        root: folder of the dataset.
        against: folder of another one that is trained on; then only copies of its images count, and
        split: only those in this list.
    """
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "check.json")
        words = [sys.executable, "-m", "monai_vlsm", "data", "check", str(root), "--json", str(report)]
        words += [] if against is None else ["--against", str(against)]
        subprocess.run(words, capture_output=True, check=False)
        content = read_json(report)
    if content is None:
        return None
    if against is not None:
        cases = [one for found in content["findings"] if found["kind"] == COPIED for one in found["cases"]]
        return {COPIED: number} if (number := sum(split in one["split"].split(", ") for one in cases)) else {}
    counts: Counter[str] = Counter()
    for found in content.get("findings", ()):  # one for each kind; of volumes one for each case
        counts[found["kind"]] += found.get("count", 1)
    return {kind: counts[kind] for kind in LEAKS if kind in counts}
