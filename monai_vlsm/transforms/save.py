# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write predicted masks: one file for each prompt, and one label map of all of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import SaveImaged
from monai.utils import ensure_tuple
from PIL import Image
from torch import Tensor

from monai_vlsm.transforms.naming import record_name

__all__ = ["SavePromptMasksd", "file_stem", "label_map", "mask_stems"]


_CHARACTERS, _BYTES = 60, 100  # of a part of a name; a name has two parts, and 255 bytes is what file systems take


def file_stem(text: str) -> str:
    """A part of a file name for any text: letters, digits, dots, dashes; at most 60 characters and 100 bytes.

    A longer text ends in a hash of itself, so that two texts with the same beginning (the UIDs of DICOM files, say) get
    two names.
    """
    stem = re.sub(r"[^\w.-]+", "_", text).strip("._") or "prompt"
    if len(stem) <= _CHARACTERS and len(stem.encode()) <= _BYTES:
        return stem
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    start = stem[: _CHARACTERS - 9].encode()[: _BYTES - 9].decode(errors="ignore")
    return f"{start}_{mark}"


def mask_stems(name: str, prompts: Sequence[str]) -> list[str]:
    """File names, without suffix, that :class:`SavePromptMasksd` writes for one record.

    Args:
        name: name of the record.
        prompts: its K prompts; equal ones are numbered.

    Returns:
        one for each prompt, and behind them that of the label map when there are several prompts.
    """
    several = len(prompts) > 1
    stems = [file_stem(prompt) for prompt in prompts]
    taken = {"labels"} if several else set()
    names: list[str] = []
    for index, stem in enumerate(stems):
        free = stem if stems.count(stem) == 1 and stem not in taken else f"{stem}_{index + 1}"
        while free in taken:
            free += "_"
        taken.add(free)
        names.append(free)
    return [f"{file_stem(name)}_{one}" for one in [*names, *(["labels"] if several else [])]]


def label_map(probabilities: Tensor, threshold: float = 0.5) -> Tensor:
    """Give each pixel the number of its most probable structure.

    Args:
        probabilities: ``(K, ...)``, one channel for each prompt.
        threshold: pixels where all probabilities are below are background.

    Returns:
        uint8 ``(1, ...)``: 0 for background, k for the k-th prompt (counted from 1).
    """
    best, index = probabilities.max(dim=0, keepdim=True)
    return torch.where(best >= threshold, index + 1, 0).to(torch.uint8)


class SavePromptMasksd(SaveImaged):
    """Write masks at the size of the image: PNG for pictures, NIfTI with the image's affine for volumes.

    Of an image ``scan.png`` with one prompt "white matter" it writes ``scan_white_matter.png`` (0 and 255). With K
    prompts it writes one such file for each, and ``scan_labels.png``: a label map of 1 to K in the order of the
    prompts (0 is background; where masks overlap, the most probable prompt counts). NIfTI masks are 0 and 1.

    Args:
        keys: key of the probabilities ``(K, H, W)`` or ``(K, X, Y, Z)``, at the size of the image.
        output_dir: folder for the files, made if needed.
        threshold: lowest probability of a pixel of the mask.
        prompt_key: key of the prompts, a text or K texts.
        image_key: key of the image, whose meta has affine and file name.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path,
        threshold: float = 0.5,
        prompt_key: Hashable = "prompt",
        image_key: Hashable = "image",
    ) -> None:
        super().__init__(keys, output_dir=output_dir, print_log=False)
        self.output_dir = Path(output_dir)
        self.threshold = threshold
        self.prompt_key, self.image_key = prompt_key, image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the files; the record is passed on with ``pred`` as mask 0 or 1."""
        d = dict(data)
        for key in self.key_iterator(d):
            probabilities: Tensor = d[key]
            self._write(d, probabilities.as_tensor() if isinstance(probabilities, MetaTensor) else probabilities)
            d[key] = (probabilities >= self.threshold).float()
        return d

    def _write(self, data: Mapping[Hashable, Any], probabilities: Tensor) -> None:
        image: MetaTensor = data[self.image_key]
        probabilities = probabilities.cpu()
        masks = (probabilities >= self.threshold).to(torch.uint8)
        prompts = ensure_tuple(data.get(self.prompt_key, "mask"))[: len(masks)]
        stems = mask_stems(record_name(data, image_key=self.image_key), prompts)
        for stem, mask in zip(stems, masks, strict=False):
            self._write_one(stem, mask.numpy(), image, high=255)
        if len(masks) > 1:
            self._write_one(stems[-1], label_map(probabilities, self.threshold).numpy()[0], image, high=1)

    def _write_one(self, name: str, mask: np.ndarray, image: MetaTensor, high: int) -> None:
        self.output_dir.mkdir(parents=True, exist_ok=True)
        if str(image.meta["filename_or_obj"]).endswith((".nii", ".nii.gz")):
            nibabel.save(nibabel.Nifti1Image(mask, image.meta["original_affine"]), self.output_dir / f"{name}.nii.gz")
        else:
            Image.fromarray(mask * high).save(self.output_dir / f"{name}.png")
