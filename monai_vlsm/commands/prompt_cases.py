# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One's own images and masks in a folder, paired by their names."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_vlsm.counts import counted
from monai_vlsm.data import DatasetProblems, Problem, check_records, list_images
from monai_vlsm.data.formats import MASK_MARK, image_stem, stem_of_image
from monai_vlsm.data.listing import MASK_BESIDE, ImagesNotFoundError, LeftOut
from monai_vlsm.prompts import Recipe, RecipeError, read_metadata

__all__ = ["Case", "find_cases"]

IMAGES, MASKS = "images", "masks"
LISTS = (".json", ".csv", ".yaml", ".yml")


@dataclass(frozen=True)
class Case:
    """One image with its masks, by the name of the structure (empty if there is only one), and its metadata."""

    image: Path
    masks: Mapping[str, Path]
    metadata: Mapping[str, str]
    patient: str


def find_cases(folder: Path, recipe: Recipe) -> list[Case]:
    """The images of a folder, with masks and metadata.

    Images lie in ``images/``, or in the folder itself where there is no ``images/``; masks in ``masks/``, or beside the
    images where there is no ``masks/``, and are then called ``NAME_mask``. They may be called so in ``masks/`` too.

    Args:
        folder: see above.
        recipe: says in which folders below ``masks/`` there are masks, and what is known of patients and images.

    Raises:
        DatasetProblems: no images, no masks, images without a mask, masks without an image, two files for one name, and
            all faults of all files.
        RecipeError: metadata or patients that do not fit the images.
    """
    home = folder / IMAGES if (folder / IMAGES).exists() else folder
    beside = "" in recipe.structures and not (folder / MASKS).exists()
    images, problems = _by_stem(home, beside)
    masks = {}
    for name in recipe.structures:
        masks[name], faults = _beside(home, images) if beside else _in_place(folder / MASKS / name, images)
        problems += faults
    problems = problems or _unpaired(images, masks, home, folder)
    paired = {stem: found for stem in images if (found := _masks_of(stem, masks))}
    problems += check_records([_record(images[stem], list(found.values())) for stem, found in paired.items()])
    if problems:
        raise DatasetProblems(problems)
    metadata = _metadata(recipe, images)
    return [
        Case(image, paired[stem], metadata[stem], _patient(recipe, image, metadata[stem]))
        for stem, image in images.items()
    ]


def _record(image: Path, masks: Sequence[Path]) -> dict[str, str | list[str]]:
    return {"image": str(image), "label": [str(mask) for mask in masks]}


def _masks_of(stem: str, masks: Mapping[str, Mapping[str, Path]]) -> dict[str, Path]:
    return {name: found[stem] for name, found in masks.items() if stem in found}


def _unpaired(
    images: Mapping[str, Path], masks: Mapping[str, Mapping[str, Path]], home: Path, folder: Path
) -> list[Problem]:
    """Masks without an image, and images without any mask."""
    extra = [(stem, path) for found in masks.values() for stem, path in found.items() if stem not in images]
    alone = [(stem, path) for stem, path in images.items() if not _masks_of(stem, masks)]
    where = f"in {folder / MASKS}" if (folder / MASKS).exists() else "beside it"
    lacking = [Problem(str(path), f"an image {stem} in {home}", "none", "no image") for stem, path in extra]
    named = {stem: stem if (folder / MASKS).exists() else f"{stem}{MASK_MARK}" for stem, _ in alone}
    return lacking + [Problem(str(path), f"a mask {named[stem]} {where}", "none", "no mask") for stem, path in alone]


def _by_stem(folder: Path, with_masks: bool = False) -> tuple[dict[str, Path], list[Problem]]:
    """Images of a folder by their name without suffix; what else is there is told, masks only where none belong."""
    if not folder.is_dir():
        return {}, [Problem(str(folder), "a folder", "a file" if folder.exists() else "nothing at this path")]
    try:
        listing = list_images(folder, series=False)
    except ImagesNotFoundError:
        files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
        return {}, [Problem(str(folder), "images", f"none among {counted(len(files), 'file')}")]
    others = [one for one in listing.left_out if not (with_masks and _is_expected(one))]
    if left_out := listing._replace(left_out=others).report():
        print(f"{folder}: {left_out}", file=sys.stderr, flush=True)
    return _distinct(listing.images, {file: image_stem(file) for file in listing.images})


def _is_expected(one: LeftOut) -> bool:
    """Whether something belongs into a folder of images, masks and lists."""
    return one.reason == MASK_BESIDE or one.path.suffix.lower() in LISTS


def _in_place(folder: Path, images: Mapping[str, Path]) -> tuple[dict[str, Path], list[Problem]]:
    """Masks of a folder of their own, by the name of their image."""
    found, problems = _by_stem(folder)
    stems = {file: stem if stem in images else stem_of_image(stem) or stem for stem, file in found.items()}
    masks, twice = _distinct(list(stems), stems)
    return masks, problems + twice


def _beside(folder: Path, images: Mapping[str, Path]) -> tuple[dict[str, Path], list[Problem]]:
    """Masks beside the images, by the name of their image."""
    marked = [
        path for path, _ in list_images(folder, series=False).left_out if stem_of_image(image_stem(path)) in images
    ]
    if not marked:
        wanted = f"masks in {MASKS}/, or beside the images as NAME{MASK_MARK}"
        return {}, [Problem(str(folder), wanted, "neither")] if images else []  # no images is told already
    return _distinct(marked, {path: stem_of_image(image_stem(path)) for path in marked})


def _distinct(files: Sequence[Path], stems: Mapping[Path, str]) -> tuple[dict[str, Path], list[Problem]]:
    found: dict[str, Path] = {}
    problems = []
    for file in files:
        first = found.setdefault(stems[file], file)
        if first != file:
            problems.append(Problem(str(file), "one file for each name", f"{first.name} as well", "same name"))
    return found, problems


def _metadata(recipe: Recipe, images: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    rows = read_metadata(recipe.metadata) if recipe.metadata else {}
    found = {stem: rows.get(image.name, rows.get(stem, {})) for stem, image in images.items()}
    if rows and not any(found.values()):
        first = next(iter(rows))
        raise RecipeError(f"{recipe.metadata}: no row is about an image of the folder; the first is about {first!r}")
    return found


def _patient(recipe: Recipe, image: Path, metadata: Mapping[str, str]) -> str:
    """Who is in the image; the image itself where nothing is known of patients."""
    if recipe.patient is None:
        return metadata.get("patient") or image_stem(image)
    match = recipe.patient.search(image.name)
    if match is None:
        raise RecipeError(f"{image}: the pattern of patient, {recipe.patient.pattern!r}, does not occur in this name")
    return match[1] if match.re.groups and match[1] is not None else match[0]
