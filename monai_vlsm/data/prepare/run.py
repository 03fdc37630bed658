# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From a download and the official lists to the official layout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.config import PathLike

from monai_vlsm.data.catalogue import DatasetCard, dataset_card, recognise, recognise_archive
from monai_vlsm.data.prepare import bkai, busi, camus, chexlocalize, clinicdb, dfu, isic, kvasir
from monai_vlsm.data.prepare.archive import Archive, ArchiveError
from monai_vlsm.data.prepare.layout import Layout, Outcome
from monai_vlsm.data.prepare.plan import Family, Plan, Wanted
from monai_vlsm.data.prepare.report import PrepareReport, SplitReport, report_json
from monai_vlsm.data.rows import read_rows
from monai_vlsm.data.sources import ANNOTATIONS, SPLITS, DatasetFolderError, Source
from monai_vlsm.names import user_path

__all__ = ["FAMILIES", "REPORT", "prepare_dataset"]

REPORT = "prepare_report.json"

FAMILIES: dict[str, Family] = {
    "bkai_polyp": bkai.FAMILY,
    "busi": busi.FAMILY,
    "camus": camus.FAMILY,
    "chexlocalize": chexlocalize.FAMILY,
    "clinicdb_polyp": clinicdb.FAMILY,
    "dfu": dfu.FAMILY,
    "isic": isic.FAMILY,
    "kvasir_polyp": kvasir.FAMILY,
}
"""The archive layout of each dataset of the catalogue."""


def prepare_dataset(name: str, source: PathLike, annotations: PathLike, output: PathLike) -> PrepareReport:
    """Bring a download into the official layout ``<output>/<name>/{images,masks,anns}``.

    Can be interrupted and started again, also with another part of the download: what is finished stays. Never writes
    over a file that differs. The report is also written to ``prepare_report.json`` in the folder of the dataset.

    Args:
        name: of the dataset in the catalogue.
        source: the download, a folder or a .zip file.
        annotations: folder with the official lists: ``<name>/anns``, ``<name>`` or ``anns`` below it, or itself.
        output: folder that holds or will hold the folder of the dataset.

    Raises:
        UnknownDatasetError: no such dataset.
        DatasetFolderError: no official lists, or those of another dataset.
        DatasetProblems: faulty lists.
        ArchiveError: a download that cannot be read, or that of another dataset.
        OutputError: the output cannot be written.
    """
    card, family = dataset_card(name), FAMILIES[name]
    lists = _lists(card, user_path(annotations))
    wanted = [record for split, file in lists.items() for record in _wanted(split, file, card, family)]
    with Archive(source) as archive:
        plan = family.plan(archive, wanted)
        if not plan.images and not plan.masks:
            raise _wrong_archive(card, archive, plan)
        layout = Layout(user_path(output) / name)
        recipes = {f"images/{image}": recipe for image, recipe in plan.images.items()}
        recipes |= {f"masks/{mask}": recipe for mask, recipe in plan.masks.items()}
        outcomes = list(layout.write_all(recipes, archive))
    # the lists come last: a folder without them is no dataset yet
    outcomes += [(extra, layout.replace(extra, content), "") for extra, content in plan.extra.items()]
    outcomes += [_copy_list(layout, split, file, family) for split, file in lists.items()]
    report = _report(card, layout.folder, wanted, outcomes, plan)
    layout.replace(REPORT, json.dumps(report_json(report), indent=1).encode())
    return report


def _lists(card: DatasetCard, folder: Path) -> dict[str, Path]:
    """Split to the file of its official list."""
    places = (folder / card.name / ANNOTATIONS, folder / card.name, folder / ANNOTATIONS, folder)
    for place in places:
        found = {split: file for split in SPLITS if (file := place / f"{split}.json").is_file()}
        if found:
            return found
    raise DatasetFolderError(
        f"no official lists of {card.name} in {folder}: expected train.json, val.json or test.json in "
        f"{card.name}/{ANNOTATIONS}, {card.name}, {ANNOTATIONS} or the folder itself; get them from {card.prompts_from}"
    )


def _wanted(split: str, file: Path, card: DatasetCard, family: Family) -> list[Wanted]:
    rows = read_rows(Source(file, official=True, dataset=card.name))
    root = file.parent.parent
    images = [row.image.relative_to(root / "images").as_posix() for row in rows]
    masks = [row.mask.relative_to(root / "masks").as_posix() for row in rows]
    found = recognise(images)
    if found and found.name != card.name:
        raise DatasetFolderError(f"{file}: expected the list of {card.name}, but it looks like that of {found.name}")
    return [
        Wanted(split, _placed(image, split, family), _placed(mask, split, family), row.prompt)
        for image, mask, row in zip(images, masks, rows, strict=True)
    ]


def _placed(name: str, split: str, family: Family) -> str:
    folder = family.subfolders.get(split)
    return name if folder is None or name.startswith(f"{folder}/") else f"{folder}/{name}"


def _wrong_archive(card: DatasetCard, archive: Archive, plan: Plan) -> ArchiveError:
    found = recognise_archive(archive.names)
    hint = f"; it looks like the download of {found.name} ({found.title})" if found and found != card else ""
    notes = "".join(f"\n  {note}" for note in plan.notes)
    return ArchiveError(
        f"{archive.source}: nothing that the lists of {card.name} ({card.title}) name; "
        f"expected {card.archive}{hint}{notes}"
    )


def _copy_list(layout: Layout, split: str, file: Path, family: Family) -> tuple[str, Outcome, str]:
    name = f"{ANNOTATIONS}/{split}.json"
    return name, layout.save(name, _renamed(file.read_bytes(), split, family)), ""


def _renamed(content: bytes, split: str, family: Family) -> bytes:
    """The list as it is, or with the sub-folder of its split in front of its names."""
    if split not in family.subfolders:
        return content
    entries: list[dict[str, Any]] = json.loads(content.decode("utf-8-sig"))
    for entry in entries:
        for key in ("img_name", "mask_name"):
            entry[key] = _placed(entry[key], split, family)
    return json.dumps(entries, ensure_ascii=False, indent=1).encode()


def _report(
    card: DatasetCard, folder: Path, wanted: Sequence[Wanted], outcomes: Iterable[tuple[str, Outcome, str]], plan: Plan
) -> PrepareReport:
    files: Mapping[Outcome, list[tuple[str, str]]] = {outcome: [] for outcome in Outcome}
    for name, outcome, reason in outcomes:
        files[outcome].append((name, reason))
    return PrepareReport(
        dataset=card.name,
        folder=folder,
        splits=tuple(_split_report(split, wanted, folder) for split in card.splits),
        written=len(files[Outcome.WRITTEN]),
        kept=len(files[Outcome.KEPT]),
        differing=tuple(name for name, _ in files[Outcome.DIFFERS]),
        faulty=tuple(files[Outcome.FAULTY]),
        notes=plan.notes,
    )


def _split_report(split: str, wanted: Sequence[Wanted], folder: Path) -> SplitReport:
    records = [record for record in wanted if record.split == split]
    if not records:
        return SplitReport(split, None)
    images = list(dict.fromkeys(f"images/{record.image}" for record in records))
    masks = list(dict.fromkeys(f"masks/{record.mask}" for record in records))
    missing = tuple(name for name in images + masks if not (folder / name).is_file())
    return SplitReport(split, len(records), len(images), len(masks), missing)
