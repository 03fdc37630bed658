# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Masks of a DICOM series as DICOM SEG, by highdicom."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import generate_uid

from monai_vlsm.data.volumes.series import distance, ordered_files
from monai_vlsm.transforms.volume_masks import VolumeMasks

__all__ = ["segmentation_dataset"]

logger = logging.getLogger(__name__)

_LABEL = 64  # letters that DICOM allows in a segment label
_SERIES_NUMBER = 9000  # of the new series; those of scanners are small
_NAME = "monai_vlsm"
_ONLY = "no DICOM SEG is written, masks are NIfTI only"


def segmentation_dataset(masks: VolumeMasks, prompts: Sequence[str]) -> Dataset | None:
    """The masks as a SEG object: a segment for each prompt, with references to the slices that it was found in.

    Args:
        masks: of a DICOM series, with its axes (columns, rows, slices).
        prompts: K texts, the labels of the segments 1 to K; longer ones are cut to the 64 letters that DICOM allows.

    Returns:
        None where highdicom is not installed or cannot do it, which the log says.
    """
    if importlib.util.find_spec("highdicom") is None:
        logger.warning(
            "no DICOM SEG is written, masks are NIfTI only: pip install 'monai_vlsm[volumes]' brings highdicom"
        )
        return None
    import highdicom as hd

    images = _source_images(masks.file)
    found, frames = _frames(masks)
    return hd.seg.Segmentation(
        source_images=[images[index] for index in found],
        pixel_array=frames,
        segmentation_type="BINARY",
        segment_descriptions=[_description(number, prompt) for number, prompt in enumerate(prompts, 1)],
        series_instance_uid=generate_uid(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=_NAME,
        manufacturer_model_name=_NAME,
        software_versions=_version(),
        device_serial_number="0",
        series_description="Segmentation by text prompts",
    )


def _frames(masks: VolumeMasks) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the slices with anything in them, ``(N,)``, else of the middle one; their masks, ``(N, Y, X, K)``."""
    there = np.any([mask.any(axis=(0, 1)) for mask in masks], axis=0)
    found = np.flatnonzero(there) if there.any() else np.array([len(there) // 2])
    frames = np.empty((len(found), *masks.shape[2:0:-1], len(masks)), np.uint8)
    for prompt, mask in enumerate(masks):
        frames[..., prompt] = mask[:, :, found].transpose(2, 1, 0)
    return found, frames


def _source_images(path: str) -> list[Dataset]:
    """The slices without their pixels, in order; UIDs that anonymisation took away are filled in."""
    files = ordered_files(path)
    images: list[Dataset] = [pydicom.dcmread(one.path, stop_before_pixels=True, force=True) for one in files]
    made = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    missing = [name for name in made if not images[0].get(name)]
    if missing:
        logger.warning("the series has no %s; the DICOM SEG has new ones", ", ".join(missing))
    apart = round(distance(files), 6)
    for image in images:
        image.SOPClassUID = image.get("SOPClassUID") or image.file_meta.MediaStorageSOPClassUID
        image.SOPInstanceUID = image.get("SOPInstanceUID") or image.file_meta.MediaStorageSOPInstanceUID
        for name in missing:
            setattr(image, name, made[name])
        for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
            image.setdefault(name, "")
        image.setdefault("AccessionNumber", "")
        image.setdefault("SliceThickness", apart)
    return images


def _description(number: int, prompt: str) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    text = " ".join(prompt.split()).replace("\\", "/")
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=text[:_LABEL],
        # what a prompt names nobody knows but who wrote it
        segmented_property_category=codes.SCT.BodyStructure,
        segmented_property_type=codes.SCT.BodyStructure,
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=_NAME, version=_version(), family=codes.DCM.ArtificialIntelligence
        ),
    )


def _version() -> str:
    from monai_vlsm import __version__

    return str(__version__)
