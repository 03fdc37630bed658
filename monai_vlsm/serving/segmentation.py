# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a prediction is: masks, probabilities, areas, and the view that an image of it shows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import SpaceKeys

from monai_vlsm.counts import counted
from monai_vlsm.data.volumes import open_stack
from monai_vlsm.data.volumes.facts import MILLIMETRES
from monai_vlsm.drawing import Ends, patient_ends
from monai_vlsm.outputs import PREDICTIONS, Outputs
from monai_vlsm.serving.uncertain import Uncertainty, save_maps
from monai_vlsm.transforms import OrientVolume, SavePromptMasksd
from monai_vlsm.transforms.save import nifti_affine
from monai_vlsm.transforms.volume_masks import VolumeMasks

__all__ = ["COLUMNS", "MEASURED", "Segmentation", "View", "best_view", "texts_of", "volume_segmentation"]

MEASURED = ("uncertainty", "predictions")  # columns of an uncertainty, behind the others
COLUMNS = ("name", "prompt", "existence", "pixels", "area_mm2", "volume_mm3", "share", "shown")
"""Columns of ``areas.csv``."""


@dataclass(frozen=True)
class View:
    """One slice to look at, upright.

    Args:
        image: RGB ``(rows, columns, 3)``, float32 within 0..1.
        masks: bool ``(K, rows, columns)``.
        slice: its number in a volume from 1, feet first; None for an image.
        aspect: height of a pixel by its width.
        ends: which sides of the patient lie at the edges; None where the file does not say.
    """

    image: np.ndarray
    masks: np.ndarray
    slice: int | None = None
    aspect: float = 1.0
    ends: Ends | None = None


@dataclass(frozen=True, repr=False)
class Segmentation:
    """Masks of K prompts for one image, at the size and with the axes of its file.

    Args:
        name: of the record, part of the file names.
        prompts: K texts.
        masks: uint8 0 and 1, ``(K, rows, columns)``, or ``(K, X, Y, Z)`` for volumes; those of a volume are packed, and
            ``masks[k]`` or ``numpy.asarray(masks)`` makes an array of them.
        probabilities: float32 from 0 to 1, the same shape; None for a volume, of which they are not kept.
        existence: K scores from 0 to 1, how sure the model is that the structure is there.
        spacing: size of a pixel in mm along each axis; None where the file does not say.
        view: what an image of it shows; of a volume the slice with the largest area.
        threshold: lowest probability of a pixel of the mask.
        meta: name and affine of the file; which of its values are shown black and white, and what chose them.
        uncertainty: maps and numbers, if they were asked for.
    """

    name: str
    prompts: list[str]
    masks: np.ndarray | VolumeMasks
    probabilities: np.ndarray | None
    existence: list[float]
    spacing: tuple[float, ...] | None
    view: View
    threshold: float
    meta: Mapping[str, Any]
    uncertainty: Uncertainty | None = None

    def __repr__(self) -> str:
        """Name, size, and for each prompt its pixels: arrays are not for reading."""
        unit = "voxel" if self.masks.ndim == 4 else "pixel"
        pairs = zip(self.prompts, self.pixels, strict=True)
        found = ", ".join(f"{prompt!r}: {counted(count, unit)}" for prompt, count in pairs)
        return f"Segmentation({self.name!r}, {' x '.join(map(str, self.masks.shape[1:]))}, {found})"

    @property
    def pixels(self) -> list[int]:
        """Pixels (of a volume: voxels) of each mask."""
        if isinstance(self.masks, VolumeMasks):
            return self.masks.pixels
        return [int(np.count_nonzero(mask)) for mask in self.masks]

    @property
    def areas(self) -> list[float | None]:
        """Area of each mask in mm², for volumes the volume in mm³; None where the file has no spacing."""
        if self.spacing is None:
            return [None] * len(self.prompts)
        return [count * math.prod(self.spacing) for count in self.pixels]

    @property
    def shares(self) -> list[float]:
        """Share of the image or volume that each mask covers, from 0 to 1."""
        return [count / math.prod(self.masks.shape[1:]) for count in self.pixels]

    def rows(self) -> list[dict[str, Any]]:
        """One row for each prompt, with the keys `COLUMNS`, and `MEASURED` where known; unknown cells are empty."""
        measure = "volume_mm3" if self.masks.ndim == 4 else "area_mm2"
        columns = zip(self.prompts, self.existence, self.pixels, self.areas, self.shares, self._measured(), strict=True)
        return [
            {
                **dict.fromkeys(COLUMNS, ""),
                "name": self.name,
                "prompt": prompt,
                "existence": round(existence, 6),
                "pixels": pixels,
                measure: "" if area is None else round(area, 3),
                "share": round(share, 6),
                "shown": _shown(self.meta),
                **measured,
            }
            for prompt, existence, pixels, area, share, measured in columns
        ]

    def _measured(self) -> list[dict[str, Any]]:
        found = self.uncertainty
        if found is None:
            return [{}] * len(self.prompts)
        pairs = zip((round(number, 6) for number in found.numbers), found.predictions, strict=True)
        return [dict(zip(MEASURED, pair, strict=True)) for pair in pairs]

    def save_uncertainty(self, folder: str | Path | Outputs) -> None:
        """Write the maps of entropy to ``uncertainty`` in a folder (`monai_vlsm.serving.uncertain.save_maps`).

        Raises:
            NotOursError: a file that monai_vlsm did not write has the name of one of them.
            ValueError: no uncertainty was asked for.
            WriteError: they cannot be written.
        """
        if self.uncertainty is None:
            raise ValueError("there is no uncertainty: ask for it, as in Segmenter(model, uncertainty='flips')")
        outputs = folder if isinstance(folder, Outputs) else Outputs(folder, PREDICTIONS)
        if isinstance(self.masks, VolumeMasks):
            affine: np.ndarray | None = self.masks.affine
        else:
            affine = nifti_affine(MetaTensor(torch.empty(0), meta=dict(self.meta)))
        save_maps(self.uncertainty, outputs, self.name, self.prompts, affine)

    def save_masks(self, folder: str | Path | Outputs) -> None:
        """Write the masks, with several prompts the label map, and of a DICOM series a DICOM SEG (`SavePromptMasksd`).

        Raises:
            NotOursError: a file that monai_vlsm did not write has the name of one of them.
            WriteError: they cannot be written.
        """
        writer = SavePromptMasksd("pred", folder, threshold=self.threshold)
        if isinstance(self.masks, VolumeMasks):
            writer.write_volume(self.name, self.prompts, self.masks)
            return
        record: dict[Hashable, Any] = {
            "name": self.name,
            "prompt": self.prompts,
            "image": MetaTensor(torch.empty(0), meta=dict(self.meta)),
            "pred": torch.as_tensor(self.probabilities),
        }
        writer(record)


def _shown(meta: Mapping[str, Any]) -> str:
    """Which values became black and white and why: "-160 to 240, window of the file"."""
    if "shown" not in meta:
        return ""
    ends = [f"{low:g} to {high:g}" for low, high in np.reshape(meta["shown"], (-1, 2))]  # of one window, or of three
    return ", ".join([*ends, meta["shown_by"]])


def best_view(image: MetaTensor, masks: MetaTensor) -> View:
    """The slice of a volume in which the masks cover most, the middle one where all are empty; an image as it is.

    Args:
        image: RGB within 0..1, upright: ``(3, H, W[, D])``.
        masks: ``(K, ...)`` with the axes and the affine of the file.
    """
    shown: Any = OrientVolume()(masks)
    number, ends = None, patient_ends(image.meta, shown.affine)
    if shown.ndim == 4:
        sizes = (shown > 0).any(dim=0).sum(dim=(0, 1))
        index = int(sizes.argmax()) if int(sizes.max()) else shown.shape[-1] // 2
        image, shown, number = cast(MetaTensor, image[..., index]), shown[..., index], index + 1
    rows, columns = (float(one) for one in torch.as_tensor(shown.affine[:3, :2]).norm(dim=0))
    return View(
        np.ascontiguousarray(image.as_tensor().cpu().numpy().transpose(1, 2, 0)).clip(0, 1),
        shown.as_tensor().cpu().numpy() > 0,
        number,
        rows / columns,
        ends,
    )


def texts_of(record: Mapping[str, Any]) -> list[str]:
    """The prompts of a record as a list."""
    prompt = record["prompt"]
    return [prompt] if isinstance(prompt, str) else list(prompt)


def volume_segmentation(
    record: Mapping[str, Any],
    found: VolumeMasks,
    shown: MetaTensor,
    threshold: float,
    uncertainty: Uncertainty | None = None,
) -> Segmentation:
    """What was found in a volume.

    Args:
        record: of the volume.
        found: the masks of all slices.
        shown: the slice in which they cover most, RGB within 0..1, ``(3, rows, columns)``.
        threshold: of the masks.
        uncertainty: of the masks, if it was asked for.
    """
    stack = open_stack(found.file, found.plane, found.channel)
    space = {"original_affine": found.affine, "space": SpaceKeys.RAS, "oriented": stack.oriented}
    _, rows, columns = np.linalg.norm(stack.affine[:3, :3], axis=0)
    spacing = np.linalg.norm(found.affine[:3, :3], axis=0) * MILLIMETRES.get(stack.facts.unit, np.nan)
    fullest = found.fullest()
    view = View(
        np.ascontiguousarray(shown.as_tensor().cpu().numpy().transpose(1, 2, 0)).clip(0, 1),
        found.of_slice(fullest),
        fullest + 1,
        float(rows / columns),
        patient_ends(space, stack.affine[:, [1, 2, 0, 3]]),
    )
    return Segmentation(
        name=record["name"],
        prompts=texts_of(record),
        masks=found,
        probabilities=None,
        existence=found.existence,
        spacing=tuple(float(one) for one in spacing) if np.isfinite(spacing).all() else None,
        view=view,
        threshold=threshold,
        meta={"filename_or_obj": found.file, **space, **{key: shown.meta[key] for key in ("shown", "shown_by")}},
        uncertainty=uncertainty,
    )
