# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a study is: systems, datasets, seeds, and all else that its file says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from monai_vlsm.studies.keys import StudyError

__all__ = ["CLASS", "LEASE", "RANDOM", "TEST", "Dataset", "Range", "Search", "Study", "System"]

RANDOM = "random"
"""The style that stands for one drawn for each image, as the paper tests."""

CLASS = "class"
"""The tag of prompts that give nothing of a mask away."""

TEST = "test"
"""The list of a dataset that nothing is trained or chosen by."""

LEASE = 120.0
"""Seconds after which a run belongs to nobody, if its worker has given no sign of life."""


@dataclass(frozen=True)
class System:
    """A bundle with settings.

    Args:
        name: in tables.
        bundle: folder below that of the bundles.
        settings: of its training and evaluation.
        paper: what the table of published numbers calls it; empty for nothing of the paper beside it.
    """

    name: str
    bundle: str
    settings: Mapping[str, Any]
    paper: str


@dataclass(frozen=True)
class Dataset:
    """Where a dataset lies.

    Args:
        name: in tables, and of the table of published numbers.
        folder: of it; relative to the folder of the datasets. ``sample:NAME`` is an embedded one.
        test_split: list that systems are evaluated on.
        train: False for one that is only tested on.
        settings: of trainings and evaluations on it.
    """

    name: str
    folder: str
    test_split: str = TEST
    train: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Range:
    """Numbers from which a search takes some.

    Args:
        low: the least.
        high: the greatest; of two whole numbers only whole numbers between them count.
        log: whether each power of ten gets the same share.
    """

    low: float
    high: float
    log: bool

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers count."""
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True)
class Search:
    """What is tried on the validation images before the runs of a study.

    Args:
        trials: of each system on each dataset.
        settings: name to a range, or to the values there are.
        seed: of what is tried, and of the trials.
    """

    trials: int
    settings: Mapping[str, Range | Sequence[Any]]
    seed: int


@dataclass(frozen=True)
class Study:
    """All that a study file says.

    Args:
        name: two studies with one name are one study that was changed.
        systems: by name.
        datasets: by name.
        seeds: of data order, initial weights and prompts.
        fractions: shares of the training data.
        styles: prompts of the evaluation; ``random`` draws one for each image.
        transfer: dataset of the training to further datasets of the evaluation.
        settings: of all runs: the budget that all systems share.
        tables: titles and systems of the tables.
        figures: titles and systems of the charts; the same without a word on them.
        lease: seconds, see `LEASE`.
        data: folder of the datasets.
        bundles: folder of the bundles.
        search: of settings on the validation images, if there is one.
        left_out: datasets of the file that count for nothing here, see `only`.
    """

    name: str
    systems: Mapping[str, System]
    datasets: Mapping[str, Dataset]
    seeds: Sequence[int]
    fractions: Sequence[float]
    styles: Sequence[str]
    transfer: Mapping[str, Sequence[str]]
    settings: Mapping[str, Any]
    tables: Mapping[str, Sequence[str]]
    figures: Mapping[str, Sequence[str]]
    lease: float
    data: str
    bundles: str
    search: Search | None = None
    left_out: Collection[str] = ()

    def with_setting(self, name: str, value: Any) -> Study:
        """The same study with one setting for all of its runs, whatever systems and datasets say of it."""

        def without(settings: Mapping[str, Any]) -> dict[str, Any]:
            return {key: one for key, one in settings.items() if key != name}

        return replace(
            self,
            settings={**self.settings, name: value},
            systems={key: replace(one, settings=without(one.settings)) for key, one in self.systems.items()},
            datasets={key: replace(one, settings=without(one.settings)) for key, one in self.datasets.items()},
        )

    def only(self, names: Collection[str]) -> Study:
        """The part of the study that needs these of its datasets and no others: trainings on them, tests on them.

        Raises:
            StudyError: a name that the study does not have, or nothing is trained on these.
        """
        for name in names:
            if name not in self.datasets:
                raise StudyError(f"no dataset {name!r} in the study {self.name}; there are {', '.join(self.datasets)}")
        kept = {name: dataset for name, dataset in self.datasets.items() if name in names}
        if not any(dataset.train for dataset in kept.values()):
            raise StudyError(f"nothing is trained on {', '.join(kept)}: name a dataset without train: false too")
        transfer = {
            name: [one for one in tests if one in kept] for name, tests in self.transfer.items() if name in kept
        }
        left_out = [name for name in self.datasets if name not in kept]
        return replace(self, datasets=kept, transfer=transfer, left_out=left_out)
