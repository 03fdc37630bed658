# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether images or patients of a dataset are in two splits, looked at once for each dataset and its lists."""

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

LEAKS = ("image in two splits", "copy in two splits", "patient in two splits")
"""Kinds of findings of ``data check`` after which a test score is no score on new data."""

OWN_LISTS = {"train": "the training list", "val": "the validation list"}

_LISTS: tuple[str, ...] = ("anns/train.json", "anns/val.json", "anns/test.json", "dataset.json")
_LISTS += tuple(f"{split}.{kind}" for split in ("train", "val", "test") for kind in ("json", "csv"))


def list_digests(root: Path) -> dict[str, str]:
    """Digests of the lists of a dataset, which say who is in which split."""
    return {name: file_digest(root / name) for name in _LISTS if (root / name).is_file()}


def leaks_of(folder: StudyFolder, dataset: str) -> Mapping[str, int] | None:
    """Kinds of leaks of a dataset to their number; None where the look has failed.

    What was found is kept in the folder of the study, until the lists change.
    """
    root = dataset_folder(folder.study, folder.study.datasets[dataset])
    file, lists = folder.root / "datasets" / f"{file_stem(dataset)}.json", list_digests(root)
    known = read_json(file) or {}
    leaks: Mapping[str, int] | None = known.get("leaks")
    if known.get("lists") == lists and isinstance(leaks, dict):
        return leaks
    leaks = audit(root)
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


def audit(root: Path) -> dict[str, int] | None:
    """What ``data check`` finds of `LEAKS`; by a process of its own, since a worker holds no images."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "check.json")
        words = [sys.executable, "-m", "monai_vlsm", "data", "check", str(root), "--json", str(report)]
        subprocess.run(words, capture_output=True, check=False)
        content = read_json(report)
    if content is None:
        return None
    counts: Counter[str] = Counter()
    for found in content.get("findings", ()):  # one for each kind; of volumes one for each case
        counts[found["kind"]] += found.get("count", 1)
    return {kind: counts[kind] for kind in LEAKS if kind in counts}
