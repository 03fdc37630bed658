# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists with prompts for one's own images and masks: what ``data prompts`` writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from monai_vlsm.commands.old_lists import overlapping_lists, set_aside
from monai_vlsm.commands.prompt_cases import Case, find_cases
from monai_vlsm.counts import counted, few_images
from monai_vlsm.data import DatasetProblems, ImageFileReader, Problem, mask_channel
from monai_vlsm.data.formats import image_stem
from monai_vlsm.data.lossy import is_lossy
from monai_vlsm.data.masks import without_noise
from monai_vlsm.errors import UserError
from monai_vlsm.io import write_text
from monai_vlsm.names import user_path
from monai_vlsm.progress import progress_bar
from monai_vlsm.prompts import TAGS, Recipe, ask_about, assign_splits, compose, describe_mask, mask_words, table_tags
from monai_vlsm.prompts.recipe import SPLITS
from monai_vlsm.prompts.vqa import Answerer
from monai_vlsm.transforms import BinarizeMask, ToRGB

__all__ = ["make_prompts"]

Entry = dict[str, Any]


class ListExistsError(UserError, FileExistsError):
    """A list that would be replaced by a different one."""


def make_prompts(folder: Path, recipe: Recipe, answerer: Answerer | None = None, overwrite: bool = False) -> list[str]:
    """Write the lists of a folder.

    Args:
        folder: with ``images/`` and ``masks/``; a mask has the name of its image, apart from the suffix.
        recipe: how prompts are made.
        answerer: asked for shape and colour instead of the rules, if given.
        overwrite: replace lists that differ, and rename those that would hold the same images beside the new ones.

    Returns:
        lines that say what was written.

    Raises:
        DatasetProblems: all files that are missing, cannot be read, or do not fit; nothing is written.
        RecipeError: metadata or patients that do not fit the images.
        ListExistsError: without ``overwrite`` a list that differs, or one of another split with the same images; or
            lists in ``anns/``. Nothing is written.
    """
    folder = user_path(folder)
    if any((folder / "anns").glob("*.json")):
        raise ListExistsError(f"{folder / 'anns'} holds lists, which are read instead of those made here; move it away")
    cases = find_cases(folder, recipe)
    entries = _describe_all(folder, cases, recipe, answerer)
    lists = assign_splits([case.patient for case in cases], recipe.splits)
    texts = {}
    for split in recipe.splits:
        chosen = [entry for case, entry in zip(cases, entries, strict=True) if lists[case.patient] == split]
        if chosen:
            texts[folder / f"{split}.json"] = json.dumps(chosen, indent=2, ensure_ascii=False) + "\n"
    stale = overlapping_lists(folder, texts, [case.image for case in cases])
    if stale and not overwrite:
        raise ListExistsError(
            f"{', '.join(map(str, stale))} would stay beside the new lists and hold images that are in these: move it "
            "away, or add --overwrite to have it renamed"
        )
    lines = _write(texts, overwrite)
    lines += [f"{path}: from before, now {new.name}" for path, new in zip(stale, set_aside(stale), strict=True)]
    old = [path for path in (folder / f"{split}.json" for split in SPLITS) if path.exists() and path not in texts]
    lines += [*(f"{path}: from before, left as it is" for path in old), *_summary(entries)]
    names = [path.name for path in texts]
    few = few_images({name: len(json.loads(texts[folder / name])) for name in names if name != "train.json"})
    return [*lines, *([few] if few else []), f"done: {', '.join(names)} in {folder}; train with --dataset_dir {folder}"]


def _describe_all(folder: Path, cases: Sequence[Case], recipe: Recipe, answerer: Answerer | None) -> list[Entry]:
    entries: list[Entry] = []
    problems: list[Problem] = []
    for case in progress_bar(cases, "making prompts", unit="image"):
        try:
            entries.append(_entry(folder, case, recipe, answerer))
        except DatasetProblems as error:
            problems += error.problems
    if problems:
        raise DatasetProblems(problems)
    return entries


def _entry(folder: Path, case: Case, recipe: Recipe, answerer: Answerer | None) -> Entry:
    """One record of the list; paths are relative to it."""
    image = _shown(case.image)
    entry: Entry = {"image": case.image.relative_to(folder).as_posix()}
    if case.patient != image_stem(case.image):
        entry["patient"] = case.patient
    structures = []
    problems: list[Problem] = []
    for name, path in case.masks.items():
        try:
            words = _words(image, path, case, recipe, answerer, name)
        except DatasetProblems as error:
            problems += error.problems
            continue
        table = compose(recipe.template, words, recipe.parity)
        mask = path.relative_to(folder).as_posix()
        structure = {"name": name, "mask": mask, "prompt": table, "tags": table_tags(recipe.template, table)}
        structures.append({**structure, "empty": True} if words["number"] == "zero" else structure)
    if problems:
        raise DatasetProblems(problems)
    if "" not in case.masks:
        return {**entry, "structures": structures}
    return {**entry, **{key: value for key, value in structures[0].items() if key != "name"}}


def _words(image: np.ndarray, path: Path, case: Case, recipe: Recipe, answerer: Answerer | None, name: str) -> Entry:
    """All words for one structure."""
    stored, _ = _image(path, "colours")
    mask = without_noise(mask_channel(stored)) if is_lossy(path) else mask_channel(stored)
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


def _image(path: Path, mode: str) -> tuple[np.ndarray, dict[str, Any]]:
    """The pixels of a file, ``(rows, columns[, 3])``, and what its reader says of them."""
    reader = ImageFileReader(mode, flat=True)
    array, meta = reader.get_data(reader.read(path))
    if len(meta["spatial_shape"]) != 2:
        raise DatasetProblems([Problem(str(path), "a 2D image", f"a volume of shape {array.shape}")])
    return array, meta


def _shown(path: Path) -> np.ndarray:
    """An image as it is looked at, uint8 ``(rows, columns[, 3])``."""
    array, meta = _image(path, "image")
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
        f"{path}: {'unchanged' if old[path] == text else counted(len(json.loads(text)), 'image')}"
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
    lines = [f"{counted(len(entries), 'image')}, {counted(len(structures), 'mask')}, {empty} of them empty"]
    for tag, counts in styles.items():
        if counts:
            lines.append(
                f"{tag}: {', '.join(_share(style, counts[style], len(structures)) for style in sorted(counts))}"
            )
    return lines


def _share(style: str, count: int, total: int) -> str:
    return style if count == total else f"{style} ({count} of {total})"
