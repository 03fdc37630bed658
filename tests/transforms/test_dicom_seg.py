# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""DICOM SEG of masks of a series, read back with highdicom."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch

from monai_vlsm.data.volumes import open_stack, read_any, to_stack
from monai_vlsm.data.volumes.series import ordered_files
from monai_vlsm.outputs import PREDICTIONS, Outputs
from monai_vlsm.transforms import SavePromptMasksd
from monai_vlsm.transforms.dicom_seg import segmentation_dataset
from monai_vlsm.transforms.save import mask_files
from monai_vlsm.transforms.volume_masks import VolumeMasks
from tests.data.volumes.series import canonical, slice_datasets, volume, write_series
from tests.data.volumes.test_formats import OBLIQUE
from tests.data.volumes.test_series import AXIAL, REAL
from tests.folders import visible

pytestmark = pytest.mark.skipif(importlib.util.find_spec("highdicom") is None, reason="highdicom is not installed")


def read_segments(file: Path) -> Any:
    from highdicom.seg import segread  # it takes a second

    return segread(file)


def masks_of(series: Path, wanted: np.ndarray, plane: str = "axial") -> VolumeMasks:
    """Masks ``(K, X, Y, Z)`` with the axes of the series, as they come from its slices."""
    masks = VolumeMasks(str(series), plane, len(wanted))
    stacks = [to_stack(mask, masks.affine, plane) for mask in wanted]
    for index in range(len(stacks[0])):
        masks.add(
            index, torch.tensor(np.stack([stack[index] for stack in stacks]), dtype=torch.float32), [0.5] * len(wanted)
        )
    assert masks.complete
    return masks


@pytest.mark.parametrize("affine", [AXIAL, OBLIQUE @ AXIAL], ids=["axial", "oblique"])
@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_segments_lie_on_their_slices(affine: np.ndarray, plane: str, tmp_path: Path) -> None:
    series = write_series(tmp_path, slice_datasets(volume(), affine))
    wanted = np.zeros((3, 11, 9, 5), np.uint8)
    wanted[0, 2:5, 1:3, 1:4], wanted[1, 4, 2:8, 3] = 1, 1  # overlapping; the third is empty
    long = "a sentence that is longer than a label of DICOM can be, which is 64 letters"
    masks = masks_of(series, wanted, plane)
    np.testing.assert_array_equal(np.asarray(masks), wanted)
    writer = SavePromptMasksd("pred", Outputs(tmp_path / "out", PREDICTIONS))
    writer.write_volume("scan", ["left lung", long, "spleen"], masks)
    record = {"image": str(series), "name": "scan", "prompt": ["left lung", long, "spleen"]}
    assert visible(tmp_path / "out") == set(mask_files(record))
    found = read_segments(tmp_path / "out" / "scan_seg.dcm")
    assert [one.segment_label for one in (found.get_segment_description(n) for n in (1, 2, 3))] == [
        "left lung",
        long[:64],
        "spleen",
    ]
    uids = [pydicom.dcmread(one.path).SOPInstanceUID for one in ordered_files(series)]
    frames = found.get_pixels_by_source_instance(
        uids, ignore_spatial_locations=False, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(frames, wanted.transpose(3, 2, 1, 0))


def test_nothing_found_is_a_segmentation_too(tmp_path: Path) -> None:
    series = write_series(tmp_path, slice_datasets(volume()))
    found = segmentation_dataset(masks_of(series, np.zeros((1, 11, 9, 5), np.uint8)), ["liver"])
    assert found is not None and not found.pixel_array.any()


def test_without_highdicom_there_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    series = write_series(tmp_path, slice_datasets(volume()))
    masks = masks_of(series, np.ones((1, 11, 9, 5), np.uint8))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        SavePromptMasksd("pred", tmp_path / "out").write_volume("scan", ["liver"], masks)
    assert visible(tmp_path / "out") == {"scan_liver.nii.gz"}
    (line,) = [record.getMessage() for record in caplog.records]
    assert "no DICOM SEG is written, masks are NIfTI only" in line


@pytest.mark.skipif(not REAL.is_dir(), reason="data that is not part of the repository")
def test_a_real_series_whose_names_were_taken_away(tmp_path: Path) -> None:
    label = nib.load(REAL / "ct_dicom_seg.nii.gz")
    meta = read_any(REAL / "ct_dicom")[1]
    labels = np.asanyarray(
        label.as_reoriented(
            nib.orientations.ornt_transform(nib.io_orientation(label.affine), nib.io_orientation(meta["affine"]))
        ).dataobj
    )
    wanted = np.stack([np.isin(labels, range(25, 51)), labels == 1]).astype(np.uint8)
    masks = masks_of(REAL / "ct_dicom", wanted)
    SavePromptMasksd("pred", tmp_path).write_volume("ct", ["vertebrae", "spleen"], masks)
    found = read_segments(tmp_path / "ct_seg.dcm")
    geometry = found.get_volume(combine_segments=False, skip_overlap_checks=True)
    lps = np.diag([-1.0, -1, 1, 1]) @ geometry.affine
    frames = np.moveaxis(geometry.array, -1, 0)
    for got, mask in zip(frames, wanted, strict=True):
        values, affine = canonical(got.astype(np.uint8), lps)
        whole, of_whole = canonical(mask, meta["affine"])
        offset = np.rint(np.linalg.solve(of_whole[:3, :3], affine[:3, 3] - of_whole[:3, 3])).astype(int)
        inside = whole[tuple(slice(o, o + n) for o, n in zip(offset, values.shape, strict=True))]
        np.testing.assert_array_equal(values, inside)
        assert values.sum() == mask.sum()
    assert open_stack(REAL / "ct_dicom", "axial").slices.shape == (20, 512, 512)
