# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which images a figure shows, and what each system made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from monai_vlsm.drawing import cut_panel
from monai_vlsm.statistics.cases import overlay_files
from monai_vlsm.statistics.reading import read_run
from monai_vlsm.studies.cells import Prompts
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.keys import StudyError, nearest
from monai_vlsm.studies.tables import main_prompts

__all__ = ["CHOSEN", "WORST", "Answer", "Answers", "Key", "choose_images", "find_images"]

CHOSEN, WORST = "chosen", "among the worst, on average over the systems"
_SHOWN = 3  # of the worst
Key = tuple[str, str, int]  # dataset, name, structure


@dataclass(frozen=True)
class Answer:
    """What one system made of an image.

    Args:
        dice: of its mask.
        prompt: that was asked.
        overlay: file of the overlay.
        structure: index in the overlay.
    """

    dice: float
    prompt: str
    overlay: Path
    structure: int

    def panel(self, name: str) -> Image.Image | None:
        """The panel ``truth`` or ``prediction`` of the overlay, if it has it."""
        return cut_panel(self.overlay, f"{name} {self.structure}")


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
    return {system: found[system] for system in systems if system in found}


def _answers(dataset: str, evaluation: Path, prompts: Prompts) -> dict[Key, Answer]:
    run = read_run(evaluation)
    scores, overlays = run.scores, overlay_files(run.scores, run.images)
    rows = (scores["style"] == prompts.style) & (scores["tag"] == prompts.tag)
    found = {}
    for row in np.flatnonzero(rows):
        if overlays[row] is not None:
            structure = int(scores["structure"][row])
            answer = Answer(float(scores["val_dice"][row]), scores["prompt"][row], overlays[row], structure)
            found[dataset, scores["name"][row], structure] = answer
    return found


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
        shown |= dict.fromkeys(keys, CHOSEN)
    rest = sorted((key for key in common if key not in shown), key=lambda key: (_mean(answers, key), key))
    return shown | dict.fromkeys(rest[:_SHOWN], WORST)


def _mean(answers: Answers, key: Key) -> float:
    return sum(one[key].dice for one in answers.values()) / len(answers)
