# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From files on disk to records: ``load_datalist`` for training and evaluation, ``load_images`` for inference."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import ignite.distributed as idist
from monai.config import PathLike
from monai.utils import ensure_tuple

from monai_vlsm.counts import counted
from monai_vlsm.data.check import check_records
from monai_vlsm.data.class_words import words_of_classes, words_of_rows
from monai_vlsm.data.entries import LABELS_FILE
from monai_vlsm.data.formats import image_stem
from monai_vlsm.data.listing import ImagesNotFoundError, list_images
from monai_vlsm.data.lists.cases import Case, CaseList
from monai_vlsm.data.lists.decathlon import Channels
from monai_vlsm.data.lists.own import mapped_rows, rows_as_cases
from monai_vlsm.data.lists.reading import read_list
from monai_vlsm.data.lists.slices import Findings, Slicing, case_rows
from monai_vlsm.data.lists.splits import NoSplitError, Split, kept_split, split_cases, write_split
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.records import Record, records_of, unique_names
from monai_vlsm.data.rows import Row, read_rows
from monai_vlsm.data.sources import Source, find_cases, find_source, list_names
from monai_vlsm.errors import UserError

__all__ = ["DataLists", "ImagesNotFoundError", "NoPromptError", "load_datalist", "load_images"]

logger = logging.getLogger(__name__)


class NoPromptError(UserError, ValueError):
    """A prompt is empty or not text."""


class DataLists:
    """The lists of one dataset: a folder of 2D images and masks, of label maps, or of volumes.

    Args:
        dataset_dir: folder with ``anns/{split}.json``, ``images/`` and ``masks/``; with ``{split}.json`` or
            ``{split}.csv``; or with the ``dataset.json`` of the Decathlon or nnU-Net, or a list of Auto3DSeg
            (``docs/data.md``). The last two may be files too.
        dataset: name of a dataset if ``dataset_dir`` holds several.
        multi_prompt: False: one record for each structure of each image. True: one record for each image, with lists
            of K masks and K prompts, K of each image its own.
        fold: number of a fold of the list, whose cases validate.
        seed: of a split that is made, where the list has none.
        planes: of volumes: axial, coronal, sagittal, or all.
        channel: number or name of the channel to take, of images that have several.
        context: how far the neighbours on either side are that come with a slice.
        split_file: a split that was written down before, which is made again just so.
        make_split: make a validation of one's own ``train`` list where there is none; without it ``train`` is the whole
            list, and ``val`` an error. Lists of cases are split in any case.
    """

    def __init__(
        self,
        dataset_dir: PathLike,
        dataset: str | int | None = None,
        multi_prompt: bool = False,
        fold: int | None = None,
        seed: int = 0,
        planes: str = "axial",
        channel: str | int | None = None,
        context: int = 0,
        split_file: PathLike | None = None,
        make_split: bool = True,
    ) -> None:
        self.dataset_dir, self.dataset, self.multi_prompt = dataset_dir, dataset, multi_prompt
        self.fold, self.seed, self.channel = fold, seed, channel
        self.slicing, self.make_split = Slicing(planes, context), make_split
        self.split_file = None if split_file is None else Path(split_file)
        self._said: set[str] = set()  # labels and classes that a line was about

    @cached_property
    def cases(self) -> CaseList | None:
        """The cases of a list of volumes or label maps; None for lists with a file for each split."""
        found = find_cases(self.dataset_dir, self.dataset)
        cases = read_list(found, self.channel) if found else None
        for note in cases.notes if cases else ():
            logger.info(note)
        return cases

    @cached_property
    def split(self) -> Split | None:
        """Who trains and who validates; None where a file for each split says it."""
        cases = self._listed
        if cases is None:
            return None
        kept = kept_split(self.split_file)
        split = split_cases(cases, self.fold, self.seed, kept)
        if split.made and self.split_file is not None and kept is None:
            logger.warning(
                "%s is not there: who validates is drawn by the seed. If a model was trained on this list, give the "
                "seed of that training, else cases that it saw may be among them",
                self.split_file,
            )
        train, val = counted(len(split.train), "case"), len(split.val)
        logger.info("%s: %s for training, %d for validation; %s", cases.file, train, val, split.rule)
        return split

    @property
    def _listed(self) -> CaseList | None:
        """The cases that are split here."""
        return self.cases or (self._alone[0] if self._alone else None)

    @cached_property
    def _alone(self) -> tuple[CaseList, dict[str, list[Row]]] | None:
        """The images and rows of one's own ``train`` list where there is no other list beside it."""
        names = list_names(self.dataset_dir, self.dataset)
        if self.fold is not None:
            raise NoSplitError(f"{self.dataset_dir} has no folds but the lists {', '.join(names)}: leave fold out")
        if "train" not in names or "val" in names or not self.make_split:
            return None
        source = find_source(self.dataset_dir, "train", self.dataset)
        return None if source.official else rows_as_cases(read_rows(source), source.file, source.dataset)

    def load(
        self, split: str | int, min_pixels: int = 0, all_slices: bool = False, absent: bool = False, check: bool = False
    ) -> list[Record]:
        """Records of one split.

        Args:
            split: train, val or test.
            min_pixels: of a class in a slice, below which the class is left out of the slice; for training.
            all_slices: of volumes: all classes in all slices, whether they are there or not.
            absent: of label maps: tell which classes are truly not in an image.
            check: decode all files first and refuse the list if anything is wrong.

        Returns:
            records as `load_datalist` has them; those of a volume follow one another slice by slice. Errors as there.
        """
        slicing = replace(self.slicing, min_pixels=min_pixels, all_slices=all_slices, absent=absent)
        findings = Findings()
        if self.cases is not None:
            file, dataset = self.cases.file, self.cases.dataset
            rows = list(case_rows(self._part(str(split)), slicing, findings))
        else:
            own, source = self._own_rows(split)
            file, dataset = source.file, source.dataset
            rows = mapped_rows(own, slicing, Channels(wanted=self.channel), findings)
        table = f"{file.name} or {LABELS_FILE} beside it"
        for line in findings.lines(str(file), str(split), min_pixels, table, self._said):
            logger.warning(line)
        if not rows:
            least = f" of {min_pixels} pixels or more (min_pixels)" if min_pixels > 1 else ""
            raise DatasetProblems([Problem(f"{file}, {split}", f"at least one mask{least}", "none")])
        records = records_of(rows, dataset, self.multi_prompt, absent)
        return _checked(records) if check else records

    def taken(self, split: str | int) -> str:
        """The split whose cases `load` gives: ``val`` for the ``test`` of a list whose test cases have no labels."""
        if self.cases is None or self.split is None:
            return str(split)
        return self.split.taken(str(split), str(self.cases.file))

    def _part(self, name: str) -> tuple[Case, ...]:
        """The cases of a split; a line says where others are taken."""
        assert self.split is not None and self._listed is not None
        chosen, line = self.split.part(name, str(self._listed.file))
        if line:
            logger.warning(line)
        return chosen

    def _own_rows(self, split: str | int) -> tuple[list[Row], Source]:
        """The rows of one's own list, or of a part of it."""
        if self._alone is None or str(split).lower() not in ("train", "val"):
            source = find_source(self.dataset_dir, split, self.dataset)
            return read_rows(source), source
        rows = self._alone[1]
        chosen = [row for case in self._part(str(split)) for row in rows[case.name]]
        return chosen, find_source(self.dataset_dir, "train", self.dataset)

    def class_words(self, split: str | int, known: Sequence[str] | None = None) -> list[str]:
        """The words by which prompts name the classes, as the targets of a U-Net; none where one mask is all there is.

        Args:
            split: whose list tells, with ``val`` beside it, where no table of labels does.
            known: those words, if somebody knows them; then no list is read.
        """
        if known is not None:
            return list(known)
        if self.cases is not None:
            return words_of_classes(self.cases.classes, self.cases.dataset)
        beside = {"val"} & set(list_names(self.dataset_dir, self.dataset)) - {split}
        lists = [self._own_rows(one) for one in (split, *beside)]
        return words_of_rows([row for rows, _ in lists for row in rows], lists[0][1].dataset)

    def has_test(self) -> bool:
        """Whether there are images with masks to test on: in a list of cases, or in a list of their own."""
        if self.cases is not None:
            return self.split is not None and bool(self.split.test)
        return "test" in list_names(self.dataset_dir, self.dataset)

    def write_split(self, file: PathLike) -> None:
        """Write down a split that was made: which cases train and which validate, by which rule and seed.

        Nothing is written where the lists say it themselves.

        Args:
            file: such as ``split.json`` beside the model.
        """
        if idist.get_rank() == 0 and self._listed is not None and self.split is not None and self.split.made:
            write_split(Path(file), self.split, self._listed, self.seed)


def load_datalist(
    dataset_dir: PathLike,
    split: str | int,
    dataset: str | int | None = None,
    multi_prompt: bool = False,
    check: bool = True,
    *,
    fold: int | None = None,
    seed: int = 0,
    planes: str = "axial",
    channel: str | int | None = None,
    context: int = 0,
    min_pixels: int = 0,
    all_slices: bool = False,
    absent: bool = False,
) -> list[Record]:
    """Records of one split, from any of the lists in ``docs/data.md``.

    Args:
        dataset_dir: see `DataLists`, as for ``dataset``, ``multi_prompt``, ``fold``, ``seed``, ``planes``, ``channel``
            and ``context``.
        split: train, val or test.
        dataset: name of a dataset if ``dataset_dir`` holds several.
        multi_prompt: one record for each image.
        check: decode all files first and refuse the list if anything is wrong.
        fold: of the list.
        seed: of a split that is made.
        planes: of volumes.
        channel: of images that have several.
        context: neighbours of a slice.
        min_pixels: see `DataLists.load`, as for ``all_slices`` and ``absent``.
        all_slices: all classes in all slices.
        absent: tell which classes are truly not in an image.

    Returns:
        records ``{"image", "label", "prompt", "tags", "dataset", "name", "image_id", "patient", "case", "structure"}``
        in the order of the list: a path or an address (`monai_vlsm.data.volumes.Address`), one or K of them, a table of
        styles or K tables, what each style gives away or K tables of that (:mod:`monai_vlsm.prompts.tags`), the name of
        the dataset, a unique name that can be part of a file name (records that would have the same name get -2, -3,
        ... behind it), the name of the image, which all records of one image share, the patient, the volume that a
        slice is of, and the class or K classes; the last three are empty where nobody tells.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: unknown dataset, split, fold or channel; no table of what labels mean.
        DatasetProblems: (a ValueError) all faults of the list, or all faults of the files.
    """
    lists = DataLists(dataset_dir, dataset, multi_prompt, fold, seed, planes, channel, context, make_split=False)
    return lists.load(split, min_pixels, all_slices, absent, check)


def load_images(path: PathLike, prompt: str | Sequence[str], check: bool = True) -> list[Record]:
    """Records for inference on one file, or on all images, DICOM and NIfTI files of a folder.

    What a file is, its content says. :func:`monai_vlsm.data.list_images` lists what of a folder is left out, and why.

    Args:
        path: a file or a folder.
        prompt: one text, or a list of K texts for K structures.
        check: decode all files first and refuse them if anything is wrong.

    Returns:
        records ``{"image": path, "prompt": text or list of texts, "name": unique name}``, sorted by file name.

    Raises:
        ImagesNotFoundError: (a FileNotFoundError and ValueError) no such file or folder, or no image in the folder.
        NoPromptError: (a ValueError) a prompt that is empty or not text.
        DatasetProblems: (a ValueError) all faults of the files.
    """
    texts = prompt if isinstance(prompt, str) else list(ensure_tuple(prompt))
    if not texts or not all(isinstance(text, str) and text.strip() for text in ensure_tuple(texts)):
        raise NoPromptError(f"prompt must be a text or a list of texts, got {prompt!r}")
    files = list_images(path).images
    names = unique_names([image_stem(file) for file in files])
    records = [
        {"image": str(file), "prompt": texts if isinstance(texts, str) else list(texts), "name": name}
        for file, name in zip(files, names, strict=True)
    ]
    return _checked(records) if check else records


def _checked(records: list[Record]) -> list[Record]:
    problems = check_records(records)
    if problems:
        raise DatasetProblems(problems)
    return records
