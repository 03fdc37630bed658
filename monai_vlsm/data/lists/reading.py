# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which list a folder has, by what its files hold, and what the list says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monai_vlsm.data.entries import LABELS_FILE, read_labels
from monai_vlsm.data.lists.cases import CaseList
from monai_vlsm.data.lists.channels import channel_names
from monai_vlsm.data.lists.classes import LabelClass, LabelTableError, read_classes, table_hint
from monai_vlsm.data.lists.counting import numbers_in
from monai_vlsm.data.lists.decathlon import Channels, read_decathlon
from monai_vlsm.data.lists.files import PathError, listed_file, read_table
from monai_vlsm.data.lists.nnunet import read_nnunet
from monai_vlsm.errors import UserError

__all__ = ["CaseListError", "FoundList", "find_list", "list_classes", "read_list"]

TABLES = (".json", ".yaml", ".yml")


class CaseListError(UserError, ValueError):
    """Several lists in a folder, or a task whose list is not there."""


@dataclass(frozen=True)
class FoundList:
    """A list that was found.

    Args:
        file: with ``training``, or nnU-Net's ``dataset.json``.
        table: what it holds.
        task: what Auto3DSeg's task file beside it says; empty without one.
        root: folder that paths start at.
    """

    file: Path
    table: Mapping[str, Any]
    task: Mapping[str, Any]
    root: Path


def find_list(place: Path) -> FoundList | None:
    """The list of cases in a folder, or in a file; None where there is none, as in folders of 2D lists.

    Args:
        place: a folder, a JSON list or Auto3DSeg's task file in YAML. What a file is, its content says.

    Raises:
        CaseListError: two lists, or a task whose list is not there.
        DatasetProblems: a file that begins like a table and cannot be read.
    """
    if place.is_file():
        return _found(place, read_table(place)) if place.suffix.lower() in TABLES else None
    if not place.is_dir():
        return None
    found = list(_all_in(place))
    tasks = {one.file for one in found if one.task}
    lists = [one for one in found if one.task or one.file not in tasks]
    if len(lists) > 1:
        names = ", ".join(sorted(one.file.name for one in lists))
        raise CaseListError(f"{place} has several lists of cases, {names}: give one of these files as dataset_dir")
    return lists[0] if lists else None


def _all_in(folder: Path) -> Iterator[FoundList]:
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in TABLES and not file.name.startswith(".") and file.is_file():
            one = _found(file, read_table(file))
            if one is not None:
                yield one


def _found(file: Path, table: Mapping[str, Any]) -> FoundList | None:
    if _has_training(table) or _is_nnunet(file, table):
        return FoundList(file, table, {}, file.parent)
    if file.suffix.lower() == ".json" or not isinstance(table.get("datalist"), str):
        return None
    inner = file.parent / table["datalist"]
    if not inner.is_file():
        raise CaseListError(f"{file}: expected its datalist to be a file, found nothing at {inner}")
    root = table.get("dataroot")
    return FoundList(inner, read_table(inner), table, file.parent / str(root) if root else inner.parent)


def _has_training(table: Mapping[str, Any]) -> bool:
    return isinstance(table.get("training"), list) and bool(table["training"])


def _is_nnunet(file: Path, table: Mapping[str, Any]) -> bool:
    told = any(key in table for key in ("channel_names", "file_ending", "modality")) and "labels" in table
    return told and ((file.parent / "labelsTr").is_dir() or isinstance(table.get("dataset"), Mapping))


def read_list(found: FoundList, channel: str | int | None = None) -> CaseList:
    """All cases of a list.

    Args:
        found: by `find_list`.
        channel: number or name of the channel to take, of images that have several.

    Raises:
        LabelTableError: no table of labels, or one that does not say what they mean.
        ChannelError: several channels and none is chosen, or one that is not there.
        DatasetProblems: entries that lack something, and files outside of the folder.
    """
    classes, notes = list_classes(found)
    names = channel_names(found.table.get("channel_names") or found.table.get("modality") or found.task.get("modality"))
    channels = Channels(names, channel)
    if _has_training(found.table):
        cases = read_decathlon(found.file, found.table, found.root, classes, channels)
    else:
        cases = read_nnunet(found.file, found.table, classes, channels)
    return replace(cases, notes=(*notes, *cases.notes))


def list_classes(found: FoundList) -> tuple[tuple[LabelClass, ...], list[str]]:
    """The classes of a list, by the table beside it, in it, or in its task file; and lines on what was left out."""
    table, where = read_labels(found.file)
    if table is not None:
        return read_classes(table, str(where))
    names = found.task.get("class_names")
    if isinstance(names, list) and names:
        return read_classes(_named_classes(names, found.task.get("class_index")), str(found.file))
    hint = table_hint([str(label) for label in _first_labels(found)], f"{found.file}, or into {LABELS_FILE} beside it")
    raise LabelTableError(f"{found.file}: expected a table of what the label numbers mean, found none; {hint}")


def _named_classes(names: list[Any], indices: Any) -> dict[str, Any]:
    """Auto3DSeg's ``class_names``: names in the order of their numbers, or each with its ``index``."""
    table = {}
    for place, one in enumerate(names):
        own = one if isinstance(one, Mapping) else {"name": one}
        index = own.get("index", indices[place] if isinstance(indices, list) and place < len(indices) else [place + 1])
        table[str(own.get("name"))] = index
    return table


def _first_labels(found: FoundList) -> list[int]:
    """The numbers in the first label map of a list, as far as it can be read."""
    for one in found.table.get("training") or []:
        try:
            return numbers_in(listed_file(found.root, one["label"], "label"))
        except (PathError, KeyError, TypeError, OSError, ValueError):
            return []
    return []
