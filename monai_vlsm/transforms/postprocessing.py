# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From logits to masks: the steps that training, evaluation, inference and `monai_vlsm.serving` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.transforms import Activationsd, Compose, CopyItemsd, Invertd

from monai_vlsm.transforms.existence import ExistenceScored
from monai_vlsm.transforms.padding import DropPaddedPromptsd
from monai_vlsm.transforms.temperature import Temperatured

__all__ = ["PromptPostprocessing"]


class PromptPostprocessing(Compose):
    """MONAI's ``Compose`` of the steps from logits at the size of the network to probabilities at that of the file.

    ``pred``, logits ``(K, S, S)`` or ``(K, S, S, D)``, loses what only filled up its batch (`DropPaddedPromptsd`), and
    goes through ``Activationsd`` (sigmoid), `ExistenceScored` (at the size of the network), ``Invertd``, which undoes
    what the preprocessing did to the image, and `Temperatured`; then through what ``then`` adds.

    Args:
        preprocessing: the transforms that the image went through.
        existence_threshold: masks with a lower existence score are emptied; 0 empties none.
        loss_target: key of the masks ``(K, S, S)`` that a loss compares with; the logits are kept beside them, as
            ``logits`` and ``logits_target``. None keeps neither.
        then: further transforms, such as ``AsDiscreted`` for scores or `SavePromptMasksd` for files.
        temperature: of the model; 1 leaves the probabilities as they are.

    Raises:
        ValueError: a threshold outside 0 to 1, or a temperature that is not above 0.
    """

    def __init__(
        self,
        preprocessing: Compose,
        existence_threshold: float = 0.0,
        loss_target: str | None = None,
        then: Sequence[Callable[..., Any]] = (),
        temperature: float = 1.0,
    ) -> None:
        copies = CopyItemsd(["pred", loss_target], names=["logits", "logits_target"])
        kept: list[Callable[..., Any]] = [copies, _on_one_device] if loss_target else []
        steps: list[Callable[..., Any]] = [
            Activationsd("pred", sigmoid=True),
            ExistenceScored("pred", threshold=existence_threshold),
            Invertd("pred", transform=preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True),
            Temperatured("pred", temperature=temperature),
        ]
        super().__init__([DropPaddedPromptsd("pred"), *kept, *steps, *then])


def _on_one_device(item: dict[str, Any]) -> dict[str, Any]:
    """Masks for the loss go where the logits are: of a batch, an engine moves only image and label to its device."""
    return {**item, "logits_target": item["logits_target"].to(item["logits"].device)}
