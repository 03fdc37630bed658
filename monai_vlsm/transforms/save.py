# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write predicted masks: one file for each prompt, and one label map of all of them."""

from __future__ import annotations

import gzip
from collections import Counter
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

from monai_vlsm.drawing import prompt_colours
from monai_vlsm.names import distinct, file_key, file_stem
from monai_vlsm.outputs import PREDICTIONS, Outputs
from monai_vlsm.transforms.naming import is_nifti, record_name

__all__ = ["SavePromptMasksd", "distinct_names", "file_stem", "label_map", "mask_files", "mask_stems"]


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
    counts = Counter(map(file_key, stems))
    taken = {"labels"} if several else set()
    names: list[str] = []
    for index, stem in enumerate(stems):
        free = stem if counts[file_key(stem)] == 1 and file_key(stem) not in taken else f"{stem}_{index + 1}"
        while file_key(free) in taken:
            free += "_"
        taken.add(file_key(free))
        names.append(free)
    return [f"{file_stem(name, 'image')}_{one}" for one in [*names, *(["labels"] if several else [])]]


def distinct_names(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records, with -2, -3, ... behind a name whose files would take the place of another record's.

    Names that differ can still make equal file names: "scan 1" and "scan_1"; "A" and "a", which are one file on macOS
    and Windows; or "a" with the prompt "left lung" and "a_left" with the prompt "lung".

    Args:
        records: ``{"name", "prompt", ...}``.
    """

    def files(name: str, place: int) -> list[str]:
        return [f"overlays/{file_stem(name, 'image')}", *mask_stems(name, ensure_tuple(records[place]["prompt"]))]

    names = distinct([record["name"] for record in records], files)
    return [{**record, "name": name} for record, name in zip(records, names, strict=True)]


def mask_files(record: Mapping[str, Any]) -> list[str]:
    """The files that :class:`SavePromptMasksd` writes for a record ``{"name", "image": path, "prompt"}``."""
    suffix = ".nii.gz" if is_nifti(record["image"]) else ".png"
    return [f"{stem}{suffix}" for stem in mask_stems(record["name"], ensure_tuple(record["prompt"]))]


def label_map(probabilities: Tensor, threshold: float = 0.5) -> Tensor:
    """Give each pixel the number of its most probable structure.

    Args:
        probabilities: ``(K, ...)``, one channel for each prompt.
        threshold: pixels where all probabilities are below are background.

    Returns:
        ``(1, ...)``: 0 for background, k for the k-th prompt (counted from 1); uint8, for more than 255 int32.
    """
    best, index = probabilities.max(dim=0, keepdim=True)
    return torch.where(best >= threshold, index + 1, 0).to(torch.uint8 if len(probabilities) < 256 else torch.int32)


class SavePromptMasksd(SaveImaged):
    """Write masks at the size of the image: PNG for images, NIfTI with the image's affine for volumes.

    Of an image ``scan.png`` with one prompt "white matter" it writes ``scan_white_matter.png`` (0 and 255). With K
    prompts it writes one such file for each, and ``scan_labels.png``: a label map of 1 to K in the order of the
    prompts (0 is background; where masks overlap, the most probable prompt counts). As PNG it has a palette, so that a
    viewer shows each number in the colour that the prompt has in overlays. NIfTI masks are 0 and 1.

    A file that is there already is replaced only if it was written by this, see `monai_vlsm.outputs.Outputs`.

    Args:
        keys: key of the probabilities ``(K, H, W)`` or ``(K, X, Y, Z)``, at the size of the image.
        output_dir: folder for the files, made if needed; or the outputs that they belong to.
        threshold: lowest probability of a pixel of the mask.
        prompt_key: key of the prompts, a text or K texts.
        image_key: key of the image, whose meta has affine and file name.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path | Outputs,
        threshold: float = 0.5,
        prompt_key: Hashable = "prompt",
        image_key: Hashable = "image",
    ) -> None:
        self.outputs = output_dir if isinstance(output_dir, Outputs) else Outputs(output_dir, PREDICTIONS)
        super().__init__(keys, output_dir=self.outputs.folder, print_log=False)
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
            self._write_one(stem, mask.numpy(), image)
        if len(masks) > 1:
            labels = label_map(probabilities, self.threshold).numpy()[0]
            self._write_one(stems[-1], labels, image, palette=prompt_colours(len(masks)))

    def _write_one(self, name: str, mask: np.ndarray, image: MetaTensor, palette: Sequence[str] = ()) -> None:
        if is_nifti(image):
            with self.outputs.writing(f"{name}.nii.gz") as path:
                _write_nifti(nibabel.Nifti1Image(mask, image.meta["original_affine"]), path)
            return
        file = Image.fromarray(mask.astype(np.uint16) if mask.itemsize > 1 else mask if palette else mask * 255)
        if palette and file.mode == "L":
            file.putpalette(bytes.fromhex("".join(["000000", *(colour.removeprefix("#") for colour in palette)])))
        with self.outputs.writing(f"{name}.png") as path:
            file.save(path, format="PNG")


def _write_nifti(image: nibabel.Nifti1Image, path: Path) -> None:
    """Compressed; without time and name in the head, so that equal masks are equal files."""
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as file:
        image.to_stream(file)
