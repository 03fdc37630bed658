# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Batches for an inference that goes on when an image cannot be read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monai.data import Dataset
from monai.data.utils import list_data_collate
from monai.engines import Workflow
from torch.utils.data import Dataset as TorchDataset

from monai_vlsm.data import made_ahead
from monai_vlsm.data.formats import file_kind
from monai_vlsm.data.volumes import chosen_plane
from monai_vlsm.interrupts import telling
from monai_vlsm.outputs import PREDICTIONS, Outputs
from monai_vlsm.serving.records import Worklist, reason_of, require_output
from monai_vlsm.serving.slices import SLICE_BATCH, channel_number, sliced

__all__ = ["PredictionLoader"]

TABLE = "existence.csv"


class _Failed(NamedTuple):
    record: Mapping[str, Any]
    reason: str


class PredictionLoader:
    """Batches of the images that can be read, in the order of the records; the others are named at the end.

    A volume comes slice by slice, in batches of its own: `SavePromptMasksd` puts it together.

    It has no length, as long as nobody knows how many images fail and how many slices volumes have.

    Args:
        dataset: records ``{"image", "prompt", "name"}`` and their transforms.
        output_dir: where the results will go.
        batch_size: images at a time; with more than one they must have one size.
        num_workers: threads that read what comes next while an image is segmented; 0 reads it when it is its turn.
        slice_batch: slices of a volume at a time.
        plane: of the slices: axial, coronal or sagittal; None is axial.
        context: how far the neighbours on either side are that come with a slice.
        channel: number of the volume that is taken of files of several.

    Raises:
        ChannelNumberError: a channel that is no number.
    """

    def __init__(
        self,
        dataset: Dataset,
        output_dir: str | Path,
        batch_size: int = 1,
        num_workers: int = 1,
        slice_batch: int = SLICE_BATCH,
        plane: str | None = None,
        context: int | None = None,
        channel: int | str | None = None,
    ) -> None:
        self.dataset, self.outputs = dataset, Outputs(output_dir, PREDICTIONS)
        self.batch_size, self.num_workers, self.slice_batch = batch_size, num_workers, slice_batch
        self.plane, self.context = chosen_plane(plane), context or 0
        self.channel = channel_number(channel)
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
        self._work = Worklist.check(records, self.channel)
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
        records = self.dataset.data
        return 0 if any(_is_volume(record) for record in records) else -(-len(records) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        self._work.done = 0
        for volumes, records in itertools.groupby(self._work.records, _is_volume):
            if volumes:
                for record in records:
                    yield from self._volume(record)
            else:
                for batch, _ in self._batches(list(records), self.batch_size):
                    yield batch
                    self._work.done += len(batch["name"])

    def _volume(self, record: Mapping[str, Any]) -> Iterator[Any]:
        sound = True
        with sliced(record, self.plane, self.context) as slices:
            for batch, complete in self._batches(slices, self.slice_batch):
                sound &= complete
                yield batch
        self._work.done += sound

    def _batches(self, records: list[dict[str, Any]], batch_size: int) -> Iterator[tuple[Any, bool]]:
        """Batches, and whether all of each could be had."""
        items = made_ahead(_Tolerant(self.dataset, records).__getitem__, range(len(records)), self.num_workers)
        while several := list(itertools.islice(items, batch_size)):
            batch, failed = _collate(several)
            for one in failed:
                self._work.failed(one.record, one.reason)
            if batch is not None:
                yield batch, not failed


def _is_volume(record: Mapping[str, Any]) -> bool:
    return file_kind(str(record["image"])) == "volume"


class _Tolerant(TorchDataset[Any]):
    """Records as a dataset transforms them, with the reason in the place of an item that cannot be had."""

    def __init__(self, dataset: Dataset, records: Sequence[Mapping[str, Any]]) -> None:
        self.dataset, self.records = dataset, records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset.transform(dict(self.records[index]))
        except Exception as error:  # readers and transforms raise nearly every kind
            return _Failed(self.records[index], reason_of(error))


def _collate(items: list[Any]) -> tuple[Any, list[_Failed]]:
    sound = [item for item in items if not isinstance(item, _Failed)]
    return list_data_collate(sound) if sound else None, [item for item in items if isinstance(item, _Failed)]
