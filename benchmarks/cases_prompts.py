# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Case of training: images with different numbers of structures, each image once, against a record for each structure.

Both sides are ours: what is compared is ``multi_prompt`` with the training that has it not, in batches as large.
"""

from __future__ import annotations

import torch
from cases import SPEED, Case
from conditions import Conditions, random_batch
from measure import Side
from ours import OurTrainer, our_network
from torch import Tensor

from monai_vlsm.data import NO_PROMPT
from monai_vlsm.inferers import PromptInferer

CLASSES = 8
OWN = (3, 8, 5, 6)  # how many of the classes each image has


def own_batch(conditions: Conditions) -> tuple[Tensor, ...]:
    """Images, tokens ``(B, 8, 77)``, attention mask and masks, filled up as `monai_vlsm.data.collate_prompts` does."""
    image, ids, mask, target = random_batch(conditions, CLASSES)
    rows = range(conditions.batch)
    classes = torch.stack([torch.arange(CLASSES).roll(-row) for row in rows])  # each image begins with another class
    ids, mask = ids[0][classes], mask[0][classes]
    for row in rows:
        count = OWN[row % len(OWN)]
        ids[row, count:], mask[row, count:], target[row, count:] = 0, 0, NO_PROMPT
    return image, ids, mask, target


def together(conditions: Conditions) -> Side:
    """One step for a batch of images with all their prompts."""
    trainer = OurTrainer(our_network("dense_vl", conditions), conditions, text_cache="batch")
    image, ids, mask, target = own_batch(conditions)
    asked = mask.any(-1)

    def logits() -> Tensor:
        found: Tensor = PromptInferer(cpu_autocast=False)(image, trainer.network, ids, mask)
        return found[asked]

    return Side(lambda: trainer.step(image, ids, mask, target), logits, items=int(asked.sum()))


def one_by_one(conditions: Conditions) -> Side:
    """As many steps as the pairs of image and prompt take, in batches of as many pairs."""
    trainer = OurTrainer(our_network("dense_vl", conditions), conditions, text_cache="batch")
    image, ids, mask, target = own_batch(conditions)
    places = mask.any(-1).nonzero()
    batches = [part.unbind(1) for part in places.split(conditions.batch)]

    def run() -> None:
        for row, prompt in batches:
            trainer.step(image[row], ids[row, prompt], mask[row, prompt], target[row, prompt][:, None])

    def logits() -> Tensor:
        found = [trainer.network(image[row], ids[row, prompt], mask[row, prompt]) for row, prompt in batches]
        return torch.cat(found)[:, 0]

    return Side(run, logits, items=len(places))


CASES = (
    Case(
        "own_prompts",
        "dense VL, training step, 3 to 8 prompts of an image, against one prompt at a time",
        4,
        SPEED,
        {"plain": one_by_one, "ours": together},
        "train",
        150,
    ),
)
