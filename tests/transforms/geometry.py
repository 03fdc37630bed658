# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes with a known geometry."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor


def affine(codes: str, spacing: tuple[float, ...] = (1.0, 1.5, 2.0)) -> torch.Tensor:
    """Affine of a volume whose axes point to ``codes``."""
    ornt = nib.orientations.axcodes2ornt(tuple(codes))
    matrix = np.zeros((4, 4))
    for axis, (world, sign) in enumerate(ornt.astype(int)):
        matrix[world, axis] = sign * spacing[axis]
    matrix[:, 3] = [5, 6, 7, 1]
    return torch.from_numpy(matrix)


def volume(codes: str, shape: tuple[int, ...], name: str = "a.nii.gz") -> MetaTensor:
    values = torch.arange(float(np.prod(shape))).reshape(1, *shape)
    return MetaTensor(values, affine=affine(codes), meta={"filename_or_obj": name})
