# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A ``model.pt`` without training, and images of every format."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import torch
from PIL import Image

from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.networks import PromptedNet
from monai_vlsm.samples import sample_dir


def write_model(network: PromptedNet, file: Path) -> Path:
    torch.save(TrainedState(network).state_dict(), file)
    return file


def write_images(folder: Path) -> Path:
    """Two slices of the sample, one of them not square, and a volume of five slices."""
    folder.mkdir(parents=True, exist_ok=True)
    images = sample_dir() / "images"
    Image.open(images / "axial_+02.png").crop((0, 20, 160, 140)).save(folder / "wide.png")
    Image.open(images / "coronal_+02.png").save(folder / "square.png")
    volume = nibabel.load(sample_dir() / "volume.nii.gz")
    nibabel.save(volume.slicer[:, :, 35:40], folder / "volume.nii.gz")
    return folder


def write_nifti(shape: tuple[int, ...], affine: np.ndarray, file: Path, unit: str | None = None) -> Path:
    image = nibabel.Nifti1Image(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), affine)
    if unit:
        image.header.set_xyzt_units(unit)
    nibabel.save(image, file)
    return file


def write_singular(file: Path) -> Path:
    """A volume whose affine makes a plane of it, as broken converters write them; nibabel itself would not."""
    write_nifti((8, 8, 2), np.eye(4), file)
    content = bytearray(file.read_bytes())
    content[312:328] = bytes(16)  # srow_z
    file.write_bytes(content)
    return file
