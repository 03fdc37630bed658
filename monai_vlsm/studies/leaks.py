# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether images or patients of a dataset are in two splits, looked at once for each dataset and its lists."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from monai_vlsm.io import write_json
from monai_vlsm.names import file_stem
from monai_vlsm.outputs import file_digest
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.plan import dataset_folder
from monai_vlsm.studies.run_files import read_json

__all__ = ["audit", "in_background", "leaks_of", "list_digests"]

Result = TypeVar("Result")

LEAKS = ("image in two splits", "copy in two splits", "patient in two splits")
"""Kinds of findings of ``data check`` after which a test score is no score on new data."""

_LISTS: tuple[str, ...] = ("anns/train.json", "anns/val.json", "anns/test.json", "dataset.json")
_LISTS += tuple(f"{split}.{kind}" for split in ("train", "val", "test") for kind in ("json", "csv"))


def list_digests(root: Path) -> dict[str, str]:
    """Digests of the lists of a dataset, which say who is in which split."""
    return {name: file_digest(root / name) for name in _LISTS if (root / name).is_file()}


def leaks_of(folder: StudyFolder, dataset: str) -> Mapping[str, int] | None:
    """Kinds of leaks of a dataset to their number; None where nobody can look, as in volumes.

    What was found is kept in the folder of the study, until the lists change.
    """
    root = dataset_folder(folder.study, folder.study.datasets[dataset])
    file, lists = folder.root / "datasets" / f"{file_stem(dataset)}.json", list_digests(root)
    known = read_json(file) or {}
    if known.get("lists") != lists:
        known = {"dataset": dataset, "lists": lists, "leaks": audit(root)}
        write_json(file, known)
    leaks: Mapping[str, int] | None = known["leaks"]
    return leaks


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
    return {found["kind"]: found["count"] for found in content["findings"] if found["kind"] in LEAKS}
