# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From a study to its runs: every system on every dataset, with every seed and share of the training data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from monai_vlsm.names import file_key, file_stem, user_path
from monai_vlsm.samples import sample_dir
from monai_vlsm.studies.keys import StudyError, nearest
from monai_vlsm.studies.study import RANDOM, Dataset, Study

__all__ = ["Run", "dataset_folder", "plan_runs", "require_parts"]

_SAMPLE = "sample:"
_DIGITS = 8
_OF_TEXTS = "p1"


@dataclass(frozen=True)
class Run:
    """One training with its evaluations.

    Args:
        system: its name.
        bundle: that trains it.
        dataset: that it is trained on.
        seed: of everything that is drawn: data order, initial weights, prompts, the part of the data.
        fraction: share of the training data.
        settings: of the training, without those above.
    """

    system: str
    bundle: str
    dataset: str
    seed: int
    fraction: float
    settings: Mapping[str, Any]

    @property
    def trains(self) -> bool:
        """Whether there is anything to train: not with ``trainable: none``, the network as it is (zero-shot)."""
        return self.settings.get("trainable") != "none"

    @cached_property
    def facts(self) -> dict[str, Any]:
        """All that a training depends on and that a study says; not where the data lie, nor what is evaluated.

        As a file gives them back, which knows lists, but no tuples: so they can be compared with those of files.
        """
        facts = {"system": self.system, "bundle": self.bundle, "dataset": self.dataset, "seed": self.seed}
        facts |= {"fraction": self.fraction, "settings": dict(self.settings)}
        found: dict[str, Any] = json.loads(json.dumps(facts, default=str))
        return found

    @cached_property
    def digest(self) -> str:
        """Of what it is; the system's name, which is only a word in tables, does not count."""
        facts = {name: value for name, value in self.facts.items() if name != "system"}
        text = json.dumps(facts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

    @cached_property
    def name(self) -> str:
        """Of its folder."""
        words = [file_stem(self.dataset), file_stem(self.system), f"seed{self.seed}"]
        words += [f"{100 * self.fraction:g}percent"] if self.fraction < 1 else []
        return "--".join([*words, self.digest])


def plan_runs(study: Study) -> list[Run]:
    """All runs, in the order in which they are worked on: a table is whole with one seed before the next begins.

    Raises:
        StudyError: two systems are one, so that they would share a folder.
    """
    trained = [dataset for dataset in study.datasets.values() if dataset.train]
    runs = [
        Run(system.name, system.bundle, dataset.name, seed, float(fraction), settings)
        for seed, fraction, dataset, system in product(study.seeds, study.fractions, trained, study.systems.values())
        for settings in [{**study.settings, **dataset.settings, **system.settings}]
    ]
    _require_apart(runs)
    return runs


def _require_apart(runs: Sequence[Run]) -> None:
    """No two runs may have one folder, on any file system; bundle and settings keep apart what names do not."""
    taken: dict[str, str] = {}
    for run in runs:
        other = taken.setdefault(file_key(run.name), run.system)
        if other != run.system:
            raise StudyError(
                f"systems {other!r} and {run.system!r} are one name for a folder, with the same bundle and settings on "
                f"{run.dataset}; rename one of them, or take it out"
            )


def dataset_folder(study: Study, dataset: Dataset) -> Path:
    """Where a dataset lies."""
    if dataset.folder.startswith(_SAMPLE):
        try:
            return sample_dir(dataset.folder.removeprefix(_SAMPLE))
        except ValueError as error:
            raise StudyError(f"dataset {dataset.name}: {error}") from error
    return user_path(study.data) / user_path(dataset.folder)


def require_parts(study: Study) -> None:
    """Check that bundles, their settings and datasets are there, before anything is made.

    Raises:
        StudyError: the first that is not.
    """
    for system in study.systems.values():
        config = _config(study, system.bundle, system.name)
        for place, settings in _settings_of(study, system.settings):
            for name in settings:
                _require_setting(f"system {system.name}{place}", config, name)
    for dataset in study.datasets.values():
        for split in ("train", "val", dataset.test_split) if dataset.train else (dataset.test_split,):
            _require_list(study, dataset, split)


def _settings_of(study: Study, own: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "", own
    yield ", settings of the study", study.settings
    yield ", the search", study.search.settings if study.search else {}
    yield from ((f", settings of {dataset.name}", dataset.settings) for dataset in study.datasets.values())


def _config(study: Study, bundle: str, system: str) -> dict[str, Any]:
    folder = user_path(study.bundles)
    file = folder / bundle / "configs" / "train.json"
    if not file.is_file():
        there = [path.parents[1].name for path in folder.glob("*/configs/train.json")]
        hint = nearest(bundle, there) if there else f"{folder} holds no bundles: give their folder with --bundles"
        raise StudyError(f"system {system}: no bundle {bundle!r}; {hint}")
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StudyError(f"cannot read {file}: {error}") from error
    return config


def _require_setting(place: str, config: Mapping[str, Any], name: str) -> None:
    """The first part of a name must exist; what is deeper inside, the bundle checks itself."""
    head = name.partition("#")[0]
    if head not in config:
        settings = [key for key, value in config.items() if not isinstance(value, dict | list)]
        raise StudyError(f"{place}: its bundle has no setting {name!r}; {nearest(head, settings)}")


def _require_list(study: Study, dataset: Dataset, split: str) -> None:
    folder = dataset_folder(study, dataset)
    if not folder.is_dir():
        there = [path.name for path in folder.parent.glob("*/")] if folder.parent.is_dir() else []
        raise StudyError(
            f"dataset {dataset.name}: no folder {folder}; "
            + (nearest(folder.name, there) if there else "give the folder of the datasets with --data")
        )
    official = folder / "anns" / f"{split}.json"
    plain = [folder / f"{split}.json", folder / f"{split}.csv", folder / "dataset.json"]
    if not any(path.is_file() for path in [official, *plain]):
        raise StudyError(f"dataset {dataset.name}: {folder} has no list of the split {split!r}; see docs/data.md")
    if split == dataset.test_split:
        _require_styles(study, dataset, [official] if official.is_file() else [*plain, folder / "labels.json"])


def _require_styles(study: Study, dataset: Dataset, files: Sequence[Path]) -> None:
    """Look for the names of the styles in lists, so that no training is lost for a test that cannot be.

    A prompt that is a text, or is made from the name of a class, is of style p1, of which such lists say nothing.
    """
    there = [file for file in files if file.is_file()]
    content = b"".join(file.read_bytes() for file in there)
    plain = len(files) > 1
    for style in study.styles:
        if style != RANDOM and f'"{style}"'.encode() not in content and not (plain and style == _OF_TEXTS):
            names = ", ".join(map(str, there))
            raise StudyError(f"dataset {dataset.name}: no prompt of style {style!r} in {names}")
