# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Batches for an inference that goes on when an image cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monai.data import DataLoader, Dataset
from monai.data.utils import list_data_collate
from monai.engines import Workflow
from torch.utils.data import Dataset as TorchDataset

from monai_vlsm.interrupts import telling
from monai_vlsm.outputs import PREDICTIONS, Outputs
from monai_vlsm.serving.records import Worklist, reason_of, require_output

__all__ = ["PredictionLoader"]

TABLE = "existence.csv"


class _Failed(NamedTuple):
    record: Mapping[str, Any]
    reason: str


class PredictionLoader:
    """Batches of the images that can be read, in the order of the records; the others are named at the end.

    It has no length, as long as nobody knows how many images fail; `operator.length_hint` knows how many there are.

    Args:
        dataset: records ``{"image", "prompt", "name"}`` and their transforms.
        output_dir: where the results will go.
        batch_size: images at a time; with more than one they must have one size.
        num_workers: processes that read.
    """

    def __init__(self, dataset: Dataset, output_dir: str | Path, batch_size: int = 1, num_workers: int = 0) -> None:
        self.dataset, self.outputs = dataset, Outputs(output_dir, PREDICTIONS)
        self._loader = DataLoader(
            _Tolerant(dataset), batch_size=batch_size, num_workers=num_workers, collate_fn=_collate
        )
        self._work = Worklist(list(dataset.data))

    def prepare(self) -> None:
        """Before any work: look at all files, and at the folder that the results go to.

        Raises:
            DatasetProblems: no file can be read.
            NotOursError: a file that monai_vlsm did not write has the name of one to be written.
            OutputFolderError: the results would lie among the images.
            WriteError: no file can be written there.
        """
        records = self._work.records
        require_output(self.outputs, records, [TABLE])
        self._work = Worklist.check(records)
        self.dataset.data = self._work.records

    def run(self, evaluator: Workflow) -> None:
        """Run an evaluator over these batches, and say what was not done.

        Raises:
            UnfinishedError: at the end, some images could not be segmented.
        """
        with telling(lambda: self._work.kept(self.outputs.folder / TABLE)):
            evaluator.run()
        self._work.finish(self.outputs.folder)

    def __length_hint__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        self._work.done = 0
        for batch, failed in self._loader:
            for one in failed:
                self._work.failed(one.record, one.reason)
            if batch is not None:
                yield batch
                self._work.done += len(batch["name"])


class _Tolerant(TorchDataset[Any]):
    """A dataset that gives the reason in the place of an item that cannot be had."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:  # readers and transforms raise nearly every kind
            return _Failed(self.dataset.data[index], reason_of(error))


def _collate(items: list[Any]) -> tuple[Any, list[_Failed]]:
    sound = [item for item in items if not isinstance(item, _Failed)]
    return list_data_collate(sound) if sound else None, [item for item in items if isinstance(item, _Failed)]
