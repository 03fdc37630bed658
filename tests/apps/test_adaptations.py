# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Each adaptation in the real tasks of MONAI Label: trained on labels that somebody saved, then asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from monai_vlsm.adapters import Adaptation
from monai_vlsm.apps.label import Banks
from monai_vlsm.apps.label.layout import Model
from monai_vlsm.checkpoints import SETTINGS_KEY, TrainedState, read, read_settings
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.serving import Segmenter
from tests.adapters.test_properties import QUICK, ROWS

pytest.importorskip("monailabel")
pytestmark = pytest.mark.slow


def write_file(file: Path, adaptation: Adaptation, backbone: Path) -> Path:
    torch.manual_seed(0)
    network = CLIPSegNet(backbone, adaptation, default_prompt="polyp")
    slices = {"context": 1, "plane": "axial"} if network.slices > 1 else None
    file.parent.mkdir(parents=True)
    torch.save(TrainedState(network, recorded=slices).state_dict(), file)
    return file


def labelled_store(folder: Path, volume: bool) -> tuple[Any, Path]:
    """A datastore with a labelled image or volume, and that."""
    from monailabel.datastore.local import LocalDatastore

    folder.mkdir()
    mask = np.zeros((32, 32, 4), np.uint8)
    mask[8:20, 8:20, 1:3] = 1
    values = (mask * 100 + np.random.default_rng(0).integers(0, 50, mask.shape)).astype(np.int16)
    affine, label = np.diag([-1.0, -1.0, 1.0, 1.0]), folder.parent / "label.nii.gz"
    if volume:
        image = folder / "scan.nii.gz"
        nib.save(nib.Nifti1Image(values, affine), image)
        nib.save(nib.Nifti1Image(mask, affine), label)
    else:
        image = folder / "scan.png"
        Image.fromarray(values[:, :, 1].astype(np.uint8).T).save(image)
        nib.save(nib.Nifti1Image(mask[:, :, 1:2], affine), label)
    store = LocalDatastore(str(folder), extensions=("*.png", "*.nii.gz"), auto_reload=False)
    store.save_label("scan", str(label), "final", {"prompt": "one polyp"})
    return store, image


@pytest.mark.parametrize("name", sorted(QUICK))
def test_a_task_trains_and_another_answers(name: str, bundle: Path, backbone: Path, tmp_path: Path) -> None:
    from monai_vlsm.apps.label.infer import PromptInferTask
    from monai_vlsm.apps.label.train import PromptTrainTask

    file = write_file(tmp_path / "adapters" / "it.pt", ROWS[name].adaptation, backbone)
    model = Model("it", bundle, file, read_settings(file))
    store, image = labelled_store(tmp_path / "studies", volume=bool(model.settings.get("context")))
    before = read(file)
    PromptTrainTask(model, {}, tmp_path / "training")({"device": "cpu", "max_epochs": 1, "val_split": 0}, store)
    after = read(file)
    assert after[SETTINGS_KEY]["adaptation"] == before[SETTINGS_KEY]["adaptation"]
    assert any(not torch.equal(after[key], before[key]) for key in before if key != SETTINGS_KEY)
    model = model._replace(settings=read_settings(file))
    request = {"device": "cpu", "image": str(image), "prompt": "one small polyp"}
    answer, result = PromptInferTask(model, {}, Banks())(request)
    expected = np.asarray(Segmenter(file, device="cpu")(image, "one small polyp").masks)
    assert int((nib_or_image(answer) > 0).sum()) == int(expected.sum())
    assert len(result["existence"]) == 1


def nib_or_image(file: str) -> np.ndarray:
    return np.asarray(nib.load(file).dataobj) if ".nii" in file else np.asarray(Image.open(file))
