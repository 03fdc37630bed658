# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The sample of volumes that ships, and the script that makes it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from make_sample import Atlas
from make_sample_volumes import make_sample

from monai_vlsm.samples import sample_dir

SHIPPED = sample_dir("brain_volumes")


def test_cases_lie_in_each_others_gaps() -> None:
    dataset = json.loads((SHIPPED / "dataset.json").read_text())
    (train,), (validation,) = dataset["training"], dataset["validation"]
    heights = []
    for case in (train, validation):
        image, label = (nib.nifti1.load(SHIPPED / case[key]) for key in ("image", "label"))
        assert image.shape == label.shape == (76, 94, 19)
        assert np.allclose(image.affine, label.affine)
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        assert set(np.unique(np.asarray(label.dataobj))) == set(map(int, dataset["labels"]))
        heights.append(image.affine[2, 3])
    assert heights[1] - heights[0] == 4
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*.*")) < 300_000


def test_script(tmp_path: Path) -> None:
    """A block of 40 mm, grey to the right and white to the left of its middle, which is that of the volume."""
    brain = np.zeros((60, 60, 60), bool)
    brain[10:50, 10:50, 10:50] = True
    right = np.arange(60)[:, None, None] >= 30
    structures = {"brain": brain, "grey matter": brain & right, "white matter": brain & ~right}
    make_sample(Atlas(brain.astype(np.float32), structures, (30, 30, 30), (30, 30, 30)), tmp_path)
    image = nib.nifti1.load(tmp_path / "imagesTr/brain_train.nii.gz")
    labels = np.asarray(nib.nifti1.load(tmp_path / "labelsTr/brain_train.nii.gz").dataobj)
    assert image.affine @ [2, 0, 0, 1] == pytest.approx([-19.5, -23.5, -23.5, 1])
    assert labels.shape == (24, 24, 6)
    assert np.bincount(labels[:, 12, 2]).tolist() == [4, 10, 10]
    assert (labels[2:12, 12, 2] == 2).all()
    assert np.asarray(image.dataobj)[12, 12, 2] == 1000
