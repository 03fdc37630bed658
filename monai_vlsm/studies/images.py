# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The same images segmented by several systems, one below the other: chosen ones, and the worst."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from monai_vlsm.drawing import below, beside, text_block
from monai_vlsm.statistics import words
from monai_vlsm.statistics.cases import overlay_files
from monai_vlsm.statistics.reading import read_run
from monai_vlsm.studies.cells import Prompts
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.keys import StudyError, nearest
from monai_vlsm.studies.tables import main_prompts

__all__ = ["draw_images", "find_images"]

WORST = 3
_WIDTH, _LABEL = 720, 150
Key = tuple[str, str]  # dataset and name


@dataclass(frozen=True)
class Answer:
    """What one system made of an image: Dice, what was asked, and its overlay."""

    dice: float
    prompt: str
    overlay: Path


Answers = Mapping[str, Mapping[Key, Answer]]


def find_images(folder: StudyFolder, systems: Sequence[str]) -> dict[str, dict[Key, Answer]]:
    """System to its answers, of its first seed that is done on each dataset; only where an overlay was written."""
    found: dict[str, dict[Key, Answer]] = {}
    seen: set[tuple[str, str]] = set()
    for run in folder.runs:
        shown = run.system in systems and run.fraction == max(folder.study.fractions)
        result = folder.result(run) if shown else None
        if result and (run.system, run.dataset) not in seen:
            seen.add((run.system, run.dataset))
            place = folder.root / result["evaluations"][run.dataset]["folder"]
            found.setdefault(run.system, {}).update(_answers(run.dataset, place, main_prompts(folder.study)))
    return found


def _answers(dataset: str, evaluation: Path, prompts: Prompts) -> dict[Key, Answer]:
    run = read_run(evaluation)
    overlays = overlay_files(run.scores, run.images)
    rows = (run.scores["style"] == prompts.style) & (run.scores["tag"] == prompts.tag)
    return {
        (dataset, run.scores["name"][row]): Answer(
            float(run.scores["val_dice"][row]), run.scores["prompt"][row], overlays[row]
        )
        for row in np.flatnonzero(rows)
        if overlays[row] is not None
    }


def choose_images(answers: Answers, chosen: Sequence[str]) -> dict[Key, str]:
    """Images that all systems have, and why they are shown: those that were named, then the worst on average.

    Raises:
        StudyError: an image that not all systems have an overlay of.
    """
    common = sorted(set.intersection(*(set(one) for one in answers.values()))) if answers else []
    shown: dict[Key, str] = {}
    for name in chosen:
        keys = [key for key in common if key[1] == name]
        if not keys:
            hint = nearest(name, [key[1] for key in common][:40])
            raise StudyError(f"--image {name}: not every system has an overlay of it; {hint}")
        shown |= dict.fromkeys(keys, "chosen")
    rest = sorted((key for key in common if key not in shown), key=lambda key: (_mean(answers, key), key))
    return shown | dict.fromkeys(rest[:WORST], "among the worst, on average over the systems")


def _mean(answers: Answers, key: Key) -> float:
    return sum(one[key].dice for one in answers.values()) / len(answers)


def draw_images(answers: Answers, chosen: Sequence[str]) -> dict[str, bytes]:
    """A page as ``png``, and the same in an ``svg``; nothing where no image is there of all systems.

    Raises:
        StudyError: see `choose_images`.
    """
    blocks = [_block(answers, key, why) for key, why in choose_images(answers, chosen).items()]
    if not blocks:
        return {}
    page = below(blocks, 24, 16, left=True)
    with io.BytesIO() as file:
        page.save(file, format="PNG", optimize=True)
        png = file.getvalue()
    link = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    size = f'width="{page.width}" height="{page.height}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><image {size} href="{link}"/></svg>\n'
    return {"svg": svg.encode(), "png": png}


def _block(answers: Answers, key: Key, why: str) -> Image.Image:
    """One image by all systems."""
    prompt = next(iter(answers.values()))[key].prompt
    head = text_block(f"{key[0]}: {key[1]}, {words.quoted(prompt)} ({why})", _WIDTH + _LABEL, centred=False)
    rows = [_row(system, one[key]) for system, one in answers.items()]
    return below([head, *rows], 6, left=True)


def _row(system: str, answer: Answer) -> Image.Image:
    label = text_block(f"{system}\nDice {words.decimals(answer.dice)}", _LABEL, centred=False)
    with Image.open(answer.overlay) as file:
        overlay = file.convert("RGB")
    overlay.thumbnail((_WIDTH, _WIDTH))
    return beside([label, overlay])
