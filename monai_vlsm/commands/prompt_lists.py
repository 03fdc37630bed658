# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists with prompts for one's own images and masks: what ``data prompts`` writes."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from monai_vlsm.data import (
    DatasetProblems,
    PictureReader,
    Problem,
    binary_fault,
    is_supported,
    list_images,
    mask_channel,
)
from monai_vlsm.data.formats import image_stem
from monai_vlsm.data.lossy import is_lossy
from monai_vlsm.data.masks import without_noise
from monai_vlsm.errors import UserError
from monai_vlsm.io import write_text
from monai_vlsm.progress import progress_bar
from monai_vlsm.prompts import (
    TAGS,
    Recipe,
    RecipeError,
    ask_about,
    assign_splits,
    compose,
    describe_mask,
    mask_words,
    read_metadata,
    table_tags,
)
from monai_vlsm.prompts.recipe import SPLITS
from monai_vlsm.prompts.vqa import Answerer
from monai_vlsm.transforms import BinarizeMask, ToRGB

__all__ = ["make_prompts"]

IMAGES, MASKS = "images", "masks"
Entry = dict[str, Any]


class ListExistsError(UserError, FileExistsError):
    """A list that would be replaced by a different one."""


@dataclass(frozen=True)
class Case:
    """One image with its masks, by the name of the structure (empty if there is only one), and its metadata."""

    image: Path
    masks: Mapping[str, Path]
    metadata: Mapping[str, str]
    patient: str


def make_prompts(folder: Path, recipe: Recipe, answerer: Answerer | None = None, overwrite: bool = False) -> list[str]:
    """Write the lists of a folder.

    Args:
        folder: with ``images/`` and ``masks/``; a mask has the name of its image, apart from the suffix.
        recipe: how prompts are made.
        answerer: asked for shape and colour instead of the rules, if given.
        overwrite: replace lists that differ.

    Returns:
        lines that say what was written.

    Raises:
        DatasetProblems: files that are missing, cannot be read, or do not fit; nothing is written.
        RecipeError: metadata or patients that do not fit the images.
        ListExistsError: a list that differs, without ``overwrite``, or lists in ``anns/``; nothing is written.
    """
    folder = Path(folder).expanduser()
    if any((folder / "anns").glob("*.json")):
        raise ListExistsError(f"{folder / 'anns'} holds lists, which are read instead of those made here; move it away")
    cases = find_cases(folder, recipe)
    entries = _describe_all(cases, recipe, answerer)
    lists = assign_splits([case.patient for case in cases], recipe.splits)
    texts = {}
    for split in recipe.splits:
        chosen = [entry for case, entry in zip(cases, entries, strict=True) if lists[case.patient] == split]
        if chosen:
            texts[folder / f"{split}.json"] = json.dumps(chosen, indent=2, ensure_ascii=False) + "\n"
    old = [path for path in (folder / f"{split}.json" for split in SPLITS) if path.exists() and path not in texts]
    return _write(texts, overwrite) + [f"{path}: from before, left as it is" for path in old] + _summary(entries)


def find_cases(folder: Path, recipe: Recipe) -> list[Case]:
    """The images of a folder, with masks and metadata.

    Raises:
        DatasetProblems: no images, no masks, images without a mask, masks without an image, two files for one name.
        RecipeError: metadata or patients that do not fit the images.
    """
    images, problems = _by_stem(folder / IMAGES)
    masks = {}
    for name in recipe.structures:
        masks[name], faults = _by_stem(folder / MASKS / name)
        problems += faults
    problems = problems or _unpaired(images, masks, folder)
    if problems:
        raise DatasetProblems(problems)
    metadata = _metadata(recipe, images)
    return [
        Case(image, _masks_of(stem, masks), metadata[stem], _patient(recipe, image, metadata[stem]))
        for stem, image in images.items()
    ]


def _masks_of(stem: str, masks: Mapping[str, Mapping[str, Path]]) -> dict[str, Path]:
    return {name: found[stem] for name, found in masks.items() if stem in found}


def _unpaired(images: Mapping[str, Path], masks: Mapping[str, Mapping[str, Path]], folder: Path) -> list[Problem]:
    """Masks without an image, and images without any mask."""
    extra = [path for found in masks.values() for stem, path in found.items() if stem not in images]
    alone = [path for stem, path in images.items() if not _masks_of(stem, masks)]
    lacking = [Problem(str(path), f"an image {path.stem} in {folder / IMAGES}", "none") for path in extra]
    return lacking + [Problem(str(path), f"a mask {path.stem} in {folder / MASKS}", "none") for path in alone]


def _by_stem(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Pictures of a folder by their name without suffix."""
    if not folder.is_dir():
        return {}, [Problem(str(folder), "a folder", "a file" if folder.exists() else "nothing at this path")]
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]
    found: dict[str, Path] = {}
    problems = []
    for file in filter(is_supported, files):
        first = found.setdefault(image_stem(file), file)
        if first != file:
            problems.append(Problem(str(file), "one file for each name", f"{first.name} as well"))
    if not found:
        problems.append(Problem(str(folder), "pictures", f"none among {len(files)} files"))
    elif left_out := list_images(folder).report():
        print(f"{folder}: {left_out}", file=sys.stderr, flush=True)
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


def _describe_all(cases: Sequence[Case], recipe: Recipe, answerer: Answerer | None) -> list[Entry]:
    entries: list[Entry] = []
    problems: list[Problem] = []
    for case in progress_bar(cases, "making prompts", unit="image"):
        try:
            entries.append(_entry(case, recipe, answerer))
        except DatasetProblems as error:
            problems += error.problems
    if problems:
        raise DatasetProblems(problems)
    return entries


def _entry(case: Case, recipe: Recipe, answerer: Answerer | None) -> Entry:
    """One record of the list; paths are relative to it."""
    image = _shown(case.image)
    entry: Entry = {"image": f"{IMAGES}/{case.image.name}"}
    if case.patient != image_stem(case.image):
        entry["patient"] = case.patient
    structures = []
    for name, path in case.masks.items():
        words = _words(image, path, case, recipe, answerer, name)
        table = compose(recipe.template, words, recipe.parity)
        mask = "/".join(part for part in (MASKS, name, path.name) if part)
        structure = {"name": name, "mask": mask, "prompt": table, "tags": table_tags(recipe.template, table)}
        structures.append({**structure, "empty": True} if words["number"] == "zero" else structure)
    if "" not in case.masks:
        return {**entry, "structures": structures}
    return {**entry, **{key: value for key, value in structures[0].items() if key != "name"}}


def _words(image: np.ndarray, path: Path, case: Case, recipe: Recipe, answerer: Answerer | None, name: str) -> Entry:
    """All words for one structure."""
    picture, _ = _picture(path, "colours")
    if picture.shape[:2] != image.shape[:2]:
        found = f"{picture.shape[0]} rows x {picture.shape[1]} columns"
        size = f"the size of {case.image.name}, {image.shape[0]} rows x {image.shape[1]} columns"
        raise DatasetProblems([Problem(str(path), size, found)])
    lossy = is_lossy(path)
    if fault := binary_fault(picture, lossy):
        raise DatasetProblems([Problem(str(path), "a binary mask (0 and 1, or 0 and 255)", fault)])
    mask = without_noise(mask_channel(picture)) if lossy else mask_channel(picture)
    binary = np.asarray(BinarizeMask()(mask[None]))[0] > 0
    try:
        words = describe_mask(image, binary) | (mask_words(mask, parity=True) if recipe.parity else {})
    except ValueError as error:
        raise DatasetProblems([Problem(str(path), "a mask that the rules can describe", str(error))]) from error
    own = recipe.structures[name]
    if answerer is not None:
        words |= ask_about(answerer, image, binary, str(own["class"]))
    plural = {"classes": own["class"]} if words["number"] in ("zero", "one") and "classes" in own else {}
    return {**words, **own, **plural, **{key: value for key, value in case.metadata.items() if key != "patient"}}


def _picture(path: Path, mode: str) -> tuple[np.ndarray, dict[str, Any]]:
    """The pixels of a file, ``(rows, columns[, 3])``, and what its reader says of them."""
    reader = PictureReader(mode, flat=True)
    array, meta = reader.get_data(reader.read(path))
    if len(meta["spatial_shape"]) != 2:
        raise DatasetProblems([Problem(str(path), "a 2D picture", f"a volume of shape {array.shape}")])
    return array, meta


def _shown(path: Path) -> np.ndarray:
    """An image as it is looked at, uint8 ``(rows, columns[, 3])``."""
    array, meta = _picture(path, "image")
    if array.dtype == np.uint8 and "window" not in meta:
        return array
    channels = array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    rgb = np.asarray(ToRGB()(MetaTensor(torch.as_tensor(channels), meta=meta)))
    pixels = (rgb * 255).round().astype(np.uint8)
    return pixels[0] if array.ndim == 2 else np.moveaxis(pixels, 0, -1)


def _write(texts: Mapping[Path, str], overwrite: bool) -> list[str]:
    """Write all lists, or none if one of them may not be replaced."""
    old = {path: path.read_text(encoding="utf-8", errors="replace") if path.exists() else None for path in texts}
    differing = [str(path) for path, text in texts.items() if old[path] not in (None, text)]
    if differing and not overwrite:
        raise ListExistsError(f"would replace {', '.join(differing)}, which differ; add --overwrite to do so")
    for path, text in ((path, text) for path, text in texts.items() if text != old[path]):
        write_text(path, text)
    return [
        f"{path}: {'unchanged' if old[path] == text else f'{len(json.loads(text))} images'}"
        for path, text in texts.items()
    ]


def _summary(entries: Sequence[Entry]) -> list[str]:
    """How many masks and empty masks there are, and which styles give away what."""
    structures = [one for entry in entries for one in entry.get("structures", [entry])]
    styles = {tag: Counter[str]() for tag in TAGS}
    for one in structures:
        for style, tag in one["tags"].items():
            styles[tag][style] += 1
    empty = sum(one.get("empty", False) for one in structures)
    lines = [f"{len(entries)} images, {len(structures)} masks, {empty} of them empty"]
    for tag, counts in styles.items():
        if counts:
            lines.append(
                f"{tag}: {', '.join(_share(style, counts[style], len(structures)) for style in sorted(counts))}"
            )
    return lines


def _share(style: str, count: int, total: int) -> str:
    return style if count == total else f"{style} ({count} of {total})"
