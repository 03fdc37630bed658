# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Training as MONAI Label's stock app starts it: its own lists of images and labels, without names and prompts."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import run
from PIL import Image

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, TrainedState, read
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.settings import trains_for_monai_label
from tests.bundles.dataset import write_dataset

BUNDLE = Path(__file__).parents[2] / "bundles" / "vlsm_dense"
ADAPTATION = DenseAdaptation("v", width=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def bundle(tmp_path: Path, backbone: Path) -> Path:
    """The bundle with a model of another backbone and other adapters than those of its defaults."""
    shutil.copytree(BUNDLE, tmp_path / "bundle", ignore=shutil.ignore_patterns("models", "eval"))
    network = CLIPSegNet(backbone, ADAPTATION, default_prompt="polyp")
    network.existence_threshold = 0.25
    (tmp_path / "bundle" / "models").mkdir()
    torch.save(TrainedState(network).state_dict(), tmp_path / "bundle" / "models" / "model.pt")
    return tmp_path / "bundle"


def labelled(data: Path, count: int, suffix: str = ".png") -> list[dict[str, str]]:
    """What MONAI Label's datastore lists; its labels hold 0 and 1."""
    records = []
    for index in range(count):
        mask = (np.asarray(Image.open(data / f"masks/train_{index}_left.png")) > 0).astype(np.uint8)
        label = data / f"label_{index}{suffix}"
        if suffix == ".png":
            Image.fromarray(mask).save(label)
        else:
            nib.save(nib.Nifti1Image(mask.T[..., None], np.diag([-1.0, -1.0, 1.0, 1.0])), label)
        records.append({"image": str(data / f"images/train_{index}.png"), "label": str(label)})
    return records


def train(bundle: Path, training: list[dict[str, str]], validation: list[dict[str, str]], **more: Any) -> None:
    """The call of ``BundleTrainTask`` with the values that 3D Slicer sends."""
    handlers = json.loads((bundle / "configs" / "train.json").read_text())["train"]["handlers"]
    overrides = {
        "bundle_root": str(bundle),
        "train#trainer#max_epochs": 1,
        "train#dataset#data": training,
        "validate#dataset#data": validation,
        "train#handlers": handlers,
        "device": "cpu",
        "amp": False,
    }
    files = {"config_file": str(bundle / "configs/train.json"), "meta_file": str(bundle / "configs/metadata.json")}
    call = FunctionType(started.__code__, {"__name__": "monailabel.tasks.train.bundle", "run": run})
    call({"run_id": "", "init_id": None, "final_id": None, **files, **overrides, **more})


def started(arguments: dict[str, Any]) -> None:
    """The line of MONAI Label that starts a training, to be called as code of its module."""
    run(**arguments)


def saved(bundle: Path) -> dict[str, Any]:
    return read(bundle / "models" / "model.pt")


@pytest.mark.parametrize("suffix", [".png", ".nii.gz"])
def test_goes_on_with_the_model_of_the_bundle(bundle: Path, data: Path, suffix: str) -> None:
    before = saved(bundle)
    train(bundle, labelled(data, 3, suffix), labelled(data, 1, suffix))
    after = saved(bundle)
    assert after[SETTINGS_KEY] == before[SETTINGS_KEY] | {"amp": False, "amp_dtype": "bfloat16"}  # as it was trained
    assert any(not torch.equal(after[name], before[name]) for name in before if name != SETTINGS_KEY)
    close = [torch.allclose(after[name], before[name], atol=0.01) for name in before if name != SETTINGS_KEY]
    assert all(close)  # one epoch at 1e-3 moves little; a start from random adapters would differ by more
    assert not (bundle / "eval").exists()
    assert (bundle / "models" / "label" / "curves.png").is_file()


def test_saves_without_validation(bundle: Path, data: Path) -> None:
    before = (bundle / "models" / "model.pt").read_bytes()
    train(bundle, labelled(data, 2), [])
    assert (bundle / "models" / "model.pt").read_bytes() != before


def test_trains_from_the_start_without_a_model(bundle: Path, data: Path, backbone: Path) -> None:
    (bundle / "models" / "model.pt").unlink()
    small = {"backbone": str(backbone), "adapter_width": 4}
    train(bundle, labelled(data, 2), labelled(data, 1), **small)
    assert saved(bundle)[SETTINGS_KEY]["adaptation"] == DenseAdaptation("vl", width=4).settings()


def test_a_model_of_another_base_is_refused(bundle: Path, data: Path) -> None:
    with pytest.raises(Exception) as error:
        train(bundle, labelled(data, 2), [], backbone="clipseg-mini")
    causes: list[BaseException | None] = [error.value]
    while causes[-1] is not None:
        causes.append(causes[-1].__cause__)
    assert any(isinstance(cause, ModelMismatchError) for cause in causes)


def test_labels_of_a_program_of_ones_own_are_no_sign_of_monai_label(
    data: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records without names and prompts train as any others, into the usual folder and from the start."""
    shutil.copytree(BUNDLE / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    lists: dict[str, Any] = {"train#dataset#data": labelled(data, 2), "validate#dataset#data": labelled(data, 1)}
    small: dict[str, Any] = {"backbone": str(backbone), "adapter_width": 4, "epochs": 1, "device": "cpu"}
    run(config_file="configs/train.json", logging_file=False, **lists, **small)
    assert (tmp_path / "eval" / "curves.png").is_file()
    assert not (tmp_path / "models" / "label").exists()


def test_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then MONAI Label writes a config and starts torchrun, in whose processes no code of it runs."""
    assert not trains_for_monai_label()
    monkeypatch.setattr(sys, "argv", ["x", "run", "--config_file", "['app/model/a/configs/monailabel_train.json','b']"])
    assert trains_for_monai_label()


@pytest.mark.parametrize("name", ["vlsm_dense", "vlsm_shallow", "clipseg", "cris", "san", "unet"])
def test_monai_label_can_look_into_each_handler(name: str) -> None:
    """It puts a CheckpointLoader at the front unless there is one of exactly this name; a reference has none."""
    handlers = json.loads((BUNDLE.parent / name / "configs" / "train.json").read_text())["train"]["handlers"]
    assert next(handler.get("_target_") for handler in handlers) == "CheckpointLoader"
