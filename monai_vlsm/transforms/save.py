# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write predicted masks: one file for each prompt, and one label map of all of them."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
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

from monai_vlsm.data.volumes import Address
from monai_vlsm.data.volumes.series import is_series
from monai_vlsm.drawing import prompt_colours
from monai_vlsm.names import distinct, file_key, file_stem
from monai_vlsm.outputs import PREDICTIONS, Outputs
from monai_vlsm.transforms.dicom_seg import segmentation_dataset
from monai_vlsm.transforms.naming import file_name, is_nifti, record_name
from monai_vlsm.transforms.volume_masks import VolumeMasks

__all__ = [
    "SavePromptMasksd",
    "distinct_names",
    "file_stem",
    "label_map",
    "mask_files",
    "mask_stems",
    "nifti_affine",
    "write_nifti",
]


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
    masks = [f"{stem}{suffix}" for stem in mask_stems(record["name"], ensure_tuple(record["prompt"]))]
    return [*masks, *([seg_file(record["name"])] if is_series(record["image"]) else [])]


def seg_file(name: str) -> str:
    """Name of the DICOM SEG of a series, whose record has this name."""
    return f"{file_stem(name, 'image')}_seg.dcm"


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

    A volume may come slice by slice (`monai_vlsm.data.volumes.Address`): its files are written when the last slice has
    come, and no more of it is kept than masks and label map. Then ``volume`` holds what was found, in the records of
    the slices before None.

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
        self._volume: VolumeMasks | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the files; the record is passed on with ``pred`` as mask 0 or 1."""
        d = dict(data)
        for key in self.key_iterator(d):
            found: Tensor = d[key]
            probabilities = (found.as_tensor() if isinstance(found, MetaTensor) else found).cpu()
            address = Address.of(file_name(d[self.image_key], default=""))
            if address.plane is None:
                self._write_image(d, probabilities)
            else:
                d["volume"] = self._collect(d, address, probabilities)
            d[key] = (found >= self.threshold).float()
        return d

    def _write_image(self, data: Mapping[Hashable, Any], probabilities: Tensor) -> None:
        image: MetaTensor = data[self.image_key]
        masks = (probabilities >= self.threshold).to(torch.uint8).numpy()
        labels = label_map(probabilities, self.threshold).numpy()[0] if len(masks) > 1 else None
        self.write(self._name(data), self._prompts(data, len(masks)), masks, labels, nifti_affine(image))

    def _collect(self, data: Mapping[Hashable, Any], address: Address, probabilities: Tensor) -> dict[str, Any] | None:
        """Add a slice to the masks of its volume, and write them if it was the last."""
        found, source = self._volume, (address.file, address.channel)
        if found is None or (found.file, found.channel) != source or found.complete:
            prompts = len(probabilities)
            found = VolumeMasks(address.file, str(address.plane), prompts, self.threshold, address.channel)
        self._volume = found
        found.add(int(address.index or 0), probabilities, data.get("existence", [0.0] * len(probabilities)))
        if not found.complete:
            return None
        self._volume = None
        self.write_volume(self._name(data), self._prompts(data, len(found)), found)
        return {"existence": found.existence, "pixels": found.pixels}

    def _name(self, data: Mapping[Hashable, Any]) -> str:
        return record_name(data, image_key=self.image_key)

    def _prompts(self, data: Mapping[Hashable, Any], count: int) -> Sequence[str]:
        return ensure_tuple(data.get(self.prompt_key, "mask"))[:count]

    def write(
        self,
        name: str,
        prompts: Sequence[str],
        masks: Iterable[np.ndarray],
        labels: np.ndarray | None,
        affine: np.ndarray | None,
    ) -> None:
        """Write the files of one image or volume.

        Args:
            name: of the record.
            prompts: K texts.
            masks: K masks of 0 and 1.
            labels: the label map; None with one prompt.
            affine: of a volume, which becomes NIfTI; None for an image.
        """
        stems = mask_stems(name, prompts)
        for stem, mask in zip(stems, masks, strict=False):
            self._write_one(stem, mask, affine)
        if labels is not None:
            self._write_one(stems[-1], labels, affine, palette=prompt_colours(len(prompts)))

    def write_volume(self, name: str, prompts: Sequence[str], masks: VolumeMasks) -> None:
        """Write the files of a volume, and of a DICOM series also ``NAME_seg.dcm``, a DICOM SEG.

        Args:
            name: of the record.
            prompts: K texts.
            masks: of all slices.
        """
        self.write(name, prompts, masks, masks.labels() if len(masks) > 1 else None, masks.affine)
        segmentation = segmentation_dataset(masks, prompts) if is_series(masks.file) else None
        if segmentation is not None:
            with self.outputs.writing(seg_file(name)) as path:
                segmentation.save_as(path)

    def _write_one(self, name: str, mask: np.ndarray, affine: np.ndarray | None, palette: Sequence[str] = ()) -> None:
        if affine is not None:
            with self.outputs.writing(f"{name}.nii.gz") as path:
                write_nifti(nibabel.Nifti1Image(mask, affine), path)
            return
        file = Image.fromarray(mask.astype(np.uint16) if mask.itemsize > 1 else mask if palette else mask * 255)
        if palette and file.mode == "L":
            file.putpalette(bytes.fromhex("".join(["000000", *(colour.removeprefix("#") for colour in palette)])))
        with self.outputs.writing(f"{name}.png") as path:
            file.save(path, format="PNG")


def nifti_affine(image: MetaTensor) -> np.ndarray | None:
    """The affine that the masks of a volume have; None for an image."""
    return np.asarray(image.meta["original_affine"]) if is_nifti(image) else None


def write_nifti(image: nibabel.Nifti1Image, path: Path) -> None:
    """To a file, compressed; without time and name in the head, so that equal masks are equal files."""
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as file:
        image.to_stream(file)
