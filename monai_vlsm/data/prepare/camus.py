# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CAMUS: a folder for each patient with NIfTI or MHD files, one label map of three structures for each image."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import PurePosixPath

import numpy as np

from monai_vlsm.data.dicom_codecs import ITK_LOCK
from monai_vlsm.data.prepare.archive import Archive, ArchiveError
from monai_vlsm.data.prepare.camus_info import PatientInfo, patient_infos
from monai_vlsm.data.prepare.pixels import png
from monai_vlsm.data.prepare.plan import Family, Plan, Recipe, Wanted
from monai_vlsm.io import table_text

__all__ = ["FAMILY"]

MEMBER = re.compile(
    r"(^|/)(?P<patient>patient(?P<number>\d{4}))/(?P=patient)_(?P<view>[24]CH)_(?P<cycle>E[DS])(?P<truth>_gt)?"
    r"\.(nii|nii\.gz|mhd)$",
    re.I,
)
NAME = re.compile(r"(^|/)patient(?P<number>\d{4})_(?P<view>[24]CH)_(?P<cycle>E[DS])(_gt)?\.png$")
STRUCTURE = re.compile(r"(^|/)mask_(?P<label>[123])/")
ENDING = "_2CH_ED.png"
TESTING = "testing"
TRAINING_PATIENTS = 450  # the later release numbers the patients of testing/ after those of training/

Reader = Callable[[tuple[str, ...]], np.ndarray]


@dataclass(frozen=True)
class _Source:
    """Where a record's image is: part of the challenge, number of the patient there, view, cycle.

    ``sure`` is False if the number is a guess that only the patient's data can confirm.
    """

    part: str
    number: int
    view: str
    cycle: str
    sure: bool = True


def _plan(archive: Archive, wanted: Sequence[Wanted]) -> Plan:
    members = {key: name for name in archive.names if (key := _key(name))}
    parts = {part for part, *_ in members}
    infos = patient_infos(archive, _part)
    sources = {record: _source(record, TESTING in parts) for record in wanted}
    others = {r: problem for r, s in sources.items() if (problem := _other_patient(r, s, infos))}
    good = {record: source for record, source in sources.items() if record not in others}
    reader: Reader = lru_cache(maxsize=16)(partial(_read, archive))  # three masks come from one file
    images = {r.image: _files(archive, members, s, "") for r, s in good.items()}
    masks = {r.mask: (_files(archive, members, s, "_gt"), _label(r)) for r, s in good.items()}
    known = {r.image: (infos[s.part, s.number, s.view], s) for r, s in good.items() if _has(infos, s)}
    rows = [info.row(image, image[: -len(ENDING)], s.view, s.cycle) for image, (info, s) in known.items()]
    return Plan(
        {name: Recipe(files, partial(_image, reader, files)) for name, files in images.items() if files},
        {name: Recipe(files, partial(_mask, reader, files, k)) for name, (files, k) in masks.items() if files},
        {"metadata.csv": table_text(list(rows[0]), rows).encode()} if rows else {},
        tuple(_notes(others)),
    )


def _part(member: str) -> str:
    folders = PurePosixPath(member).parts[:-2]
    return TESTING if any(folder.lower().startswith(TESTING) for folder in folders) else "training"


def _key(member: str) -> tuple[str, int, str, str, str] | None:
    match = MEMBER.search(member)
    if match is None:
        return None
    truth = (match["truth"] or "").lower()
    return _part(member), int(match["number"]), match["view"].upper(), match["cycle"].upper(), truth


def _source(record: Wanted, has_testing: bool) -> _Source:
    match = NAME.search(record.image)
    if match is None:
        return _Source("training", -1, "", "")
    number, view, cycle = int(match["number"]), match["view"], match["cycle"]
    if record.split != "test":
        return _Source("training", number, view, cycle)
    if has_testing:
        return _Source(TESTING, number, view, cycle)
    return _Source("training", number + TRAINING_PATIENTS, view, cycle, sure=False)


def _has(infos: dict[tuple[str, int, str], PatientInfo], source: _Source) -> bool:
    return (source.part, source.number, source.view) in infos


def _other_patient(record: Wanted, source: _Source, infos: dict[tuple[str, int, str], PatientInfo]) -> str:
    """Why the patient of the download is not the one of the list; empty if nothing speaks against it."""
    texts = record.prompt.get("p6", "")
    text = texts if isinstance(texts, str) else texts[0]
    info = infos.get((source.part, source.number, source.view))
    if info is None or not text:
        return "" if source.sure else "no Info file to tell the patient by"
    return "" if info.person in text else f"the list does not say {info.person!r}"


def _notes(others: dict[Wanted, str]) -> Iterator[str]:
    for split in dict.fromkeys(record.split for record in others):
        patients = {record.image[: -len(ENDING)]: why for record, why in others.items() if record.split == split}
        name, why = next(iter(patients.items()))
        yield (
            f"{split}: {len(patients)} patients of the download are other people than in the list and were left out, "
            f"such as {name} ({why}). The test list belongs to the part testing/ of the challenge."
        )


def _files(archive: Archive, members: dict, source: _Source, truth: str) -> tuple[str, ...]:  # type: ignore[type-arg]
    """The header and, for .mhd, the file with the pixels; nothing if it is not in the download."""
    member = members.get((source.part, source.number, source.view, source.cycle, truth))
    if member is None or not member.lower().endswith(".mhd"):
        return (member,) if member else ()
    pixels = [name for ending in (".raw", ".zraw") if (name := member[:-4] + ending) in archive]
    return (member, *pixels)


def _label(record: Wanted) -> int:
    match = STRUCTURE.search(record.mask)
    return int(match["label"]) if match else 0


def _read(archive: Archive, files: tuple[str, ...]) -> np.ndarray:
    """``(rows, columns)`` as stored, whatever the header says on orientation."""
    import itk  # seconds to import, and no other dataset needs it

    with archive.paths(*files) as paths, ITK_LOCK:
        try:
            array = np.array(itk.array_view_from_image(itk.imread(str(paths[0]))))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ArchiveError(f"{files[0]}: expected a readable image, found {reason}") from error
    array = array.reshape([size for size in array.shape if size != 1] or [1])
    if array.ndim != 2 or array.min() < 0 or array.max() > 255:
        found = f"{array.ndim} axes, values {array.min():g} to {array.max():g}"
        raise ArchiveError(f"{files[0]}: expected one image with values from 0 to 255, found {found}")
    return array


def _image(reader: Reader, files: tuple[str, ...]) -> bytes:
    return png(np.rint(reader(files)).astype(np.uint8))


def _mask(reader: Reader, files: tuple[str, ...], label: int) -> bytes:
    array = reader(files)
    values = np.unique(array)
    if not label or not set(values.tolist()) <= {0, 1, 2, 3}:
        raise ArchiveError(f"{files[0]}: expected the labels 0 to 3, found {values[:6].tolist()}")
    return png(array == label)


FAMILY = Family(_plan, subfolders={"test": TESTING})
