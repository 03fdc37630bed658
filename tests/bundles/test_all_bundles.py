# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Every bundle as users run it: train, evaluate from its own model.pt, predict; on made-up images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image

from monai_vlsm.adapters import NothingTrainsError
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, ModelNotFoundError
from monai_vlsm.io import read_rows
from monai_vlsm.networks import TargetUNet, UnknownTargetError
from monai_vlsm.samples import sample_dir
from tests.bundles.dataset import write_dataset
from tests.serving.images import write_model

BUNDLES = Path(__file__).parents[2] / "bundles"
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {  # bundle, and what makes it small
    "vlsm_shallow": ("vlsm_shallow", {"adapter_width": 4}),
    "vlsm_slices": ("vlsm_slices", {"adapter_width": 4}),
    "clipseg decoder": ("clipseg", {}),
    "clipseg full": ("clipseg", {"trainable": "full"}),
    "cris": ("cris", {"backbone": "cris-mini", "image_size": 64}),
    "san": ("san", {"backbone": "san-mini", "image_size": 64}),
    "unet": ("unet", {"backbone": "unet-mini", "image_size": 64}),
}
CLIPSEG = ("vlsm_shallow", "vlsm_slices", "clipseg")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


def configs(bundle: str, *names: str) -> list[str]:
    return [str(BUNDLES / bundle / "configs" / f"{name}.json") for name in names]


def run(files: list[str], folder: Path, kind: str, **override: Any) -> Path:
    override = {"output_dir": str(folder), "amp": False, "device": torch.device("cpu"), **override}
    workflow = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **override)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return folder


def train(system: str, data: Path, backbone: Path, folder: Path, **override: Any) -> Path:
    bundle, small = SYSTEMS[system]
    if bundle in CLIPSEG:
        small = {**small, "backbone": str(backbone)}
    settings = {
        "epochs": 1,
        "batch_size": 4,
        "num_workers": 0,
        "overlays": 1,
        "dataset_dir": str(data),
        **small,
        **override,
    }
    return run(configs(bundle, "train"), folder, "train", ckpt_dir=str(folder / "models"), **settings)


@pytest.fixture(scope="module", params=SYSTEMS)
def trained(
    request: pytest.FixtureRequest, data: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A system and the folder in which it was trained for one epoch."""
    return request.param, train(request.param, data, backbone, tmp_path_factory.mktemp("trained"))


def test_train(trained: tuple[str, Path]) -> None:
    _, folder = trained
    assert {"last.pt", "metrics.csv", "metrics.json", "curves.png"} <= {path.name for path in folder.iterdir()}
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    assert len(state) > 1
    assert state[SETTINGS_KEY]["image_size"] in (32, 64)


def test_evaluate_agrees_with_training(trained: tuple[str, Path], data: Path, tmp_path: Path) -> None:
    """The network that model.pt describes gives the scores of the epoch that wrote it."""
    system, folder = trained
    model = folder / "models" / "model.pt"
    files = configs(SYSTEMS[system][0], "train", "evaluate")
    more = {"trainable": "full"} if system == "clipseg full" else {}
    run(files, tmp_path, "infer", dataset_dir=str(data), model_file=str(model), num_workers=0, **more)
    means = [json.loads((place / "metrics.json").read_text())["mean"] for place in (folder, tmp_path)]
    for name in ("val_dice", "val_iou", "val_hd95"):
        assert means[1][name] == pytest.approx(means[0][name], abs=1e-4)


def test_predict(trained: tuple[str, Path], data: Path, tmp_path: Path) -> None:
    system, folder = trained
    files = configs(SYSTEMS[system][0], "inference")
    model = str(folder / "models" / "model.pt")
    run(files, tmp_path, "infer", dataset_dir=str(data / "images"), model_file=model, prompt="polyp")
    images = sorted((data / "images").iterdir())
    masks = sorted(tmp_path.rglob("*.png"))
    assert len(masks) == len(images)
    for image, mask in zip(images, masks, strict=True):
        assert Image.open(mask).size == Image.open(image).size


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_model_yet(system: str, data: Path, tmp_path: Path) -> None:
    bundle, small = SYSTEMS[system]
    files = configs(bundle, "train", "evaluate")
    small = {"backbone": "clipseg-mini", **small} if bundle in CLIPSEG else small
    settings = {"dataset_dir": str(data), "model_file": str(tmp_path / "absent.pt"), "num_workers": 0, **small}
    with pytest.raises(Exception) as error:
        run(files, tmp_path, "infer", **settings)
    assert bundle in str(cause(error.value, ModelNotFoundError))


def test_zero_shot(data: Path, backbone: Path, tmp_path: Path) -> None:
    files = configs("clipseg", "train", "evaluate")
    settings = {"dataset_dir": str(data), "backbone": str(backbone), "num_workers": 0, "trainable": "none"}
    run(files, tmp_path, "infer", model_file=str(tmp_path / "absent.pt"), **settings)
    assert json.loads((tmp_path / "metrics.json").read_text())["mean"]["val_dice"] >= 0


def test_nothing_trains(data: Path, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception) as error:
        train("clipseg decoder", data, backbone, tmp_path, trainable="none")
    assert "--zero_shot True" in str(cause(error.value, NothingTrainsError))


def test_the_model_of_another_bundle(data: Path, tmp_path: Path) -> None:
    model = write_model(TargetUNet("unet-mini", targets=["polyp"], image_size=64), tmp_path / "model.pt")
    with pytest.raises(Exception) as error:
        run(
            configs("cris", "inference"),
            tmp_path / "out",
            "infer",
            dataset_dir=str(data / "images"),
            model_file=str(model),
            backbone="cris-mini",
        )
    assert "trained with TargetUNet" in str(cause(error.value, ModelMismatchError))


@pytest.mark.parametrize(("targets", "words"), [(["liver"], None), (["polyp"], ["liver"])])
@pytest.mark.parametrize("config", ["train", "evaluate"])
def test_a_unet_of_other_classes(
    targets: list[str], words: list[str] | None, config: str, data: Path, tmp_path: Path
) -> None:
    """What nobody can answer is refused before anything runs: own prompts, and things that are absent."""
    model = str(write_model(TargetUNet("unet-mini", targets=targets, image_size=64), tmp_path / "model.pt"))
    own = {"negatives": 0.2 if words else 0, "start_from": model} if config == "train" else {"model_file": model}
    names = ["train"] if config == "train" else ["train", "evaluate"]
    settings = {**own, "dataset_dir": str(data), "absent_prompts": words, "num_workers": 0, "backbone": "unet-mini"}
    with pytest.raises(Exception) as error:
        run(configs("unet", *names), tmp_path / "out", "train" if config == "train" else "infer", **settings)
    assert "names none of them" in str(cause(error.value, UnknownTargetError))
    assert not (tmp_path / "out").exists()


def test_styles_that_no_validation_asks(data: Path, tmp_path: Path) -> None:
    """A U-Net need not know them."""
    folder = shutil.copytree(data, tmp_path / "data")
    rows = json.loads((folder / "val.json").read_text())
    for structure in (one for row in rows for one in row["structures"]):
        structure["prompt"]["p3"] = "a bright square"
    (folder / "val.json").write_text(json.dumps(rows))
    settings = {"dataset_dir": str(folder), "num_workers": 0, "backbone": "unet-mini", "epochs": 1, "batch_size": 8}
    small = {"targets": ["polyp"], "image_size": 64, "ckpt_dir": str(tmp_path / "models")}
    run(configs("unet", "train"), tmp_path / "out", "train", **small, **settings)
    assert (tmp_path / "out" / "metrics.csv").is_file()


def cause(error: BaseException | None, kind: type[BaseException]) -> BaseException:
    """The first error of a kind on the way to the causes of an error."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__
    assert error is not None
    return error


@pytest.mark.slow
def test_volumes_of_the_sample(tmp_path: Path) -> None:
    """The three commands of ``vlsm_slices`` with nothing else: a case is scored, and a volume comes back whole."""
    run(configs("vlsm_slices", "train"), tmp_path / "eval", "train", ckpt_dir=str(tmp_path), epochs=2)
    model = {"model_file": str(tmp_path / "model.pt")}
    run(configs("vlsm_slices", "train", "evaluate"), tmp_path / "scores", "infer", **model)
    rows = read_rows(tmp_path / "scores" / "cases.csv")
    assert [(row["case"], row["structure"]) for row in rows] == [
        ("brain_validation", "grey_matter"),
        ("brain_validation", "white_matter"),
    ]
    assert min(float(row["dice"]) for row in rows) > 0.5
    run(configs("vlsm_slices", "inference"), tmp_path / "masks", "infer", **model)
    image = nib.nifti1.load(sample_dir() / "volume.nii.gz")
    labels = nib.nifti1.load(tmp_path / "masks" / "volume_labels.nii.gz")
    assert labels.shape == image.shape
    assert np.allclose(labels.affine, image.affine)
    assert set(np.unique(np.asarray(labels.dataobj))) == {0, 1, 2}


@pytest.mark.parametrize("bundle", sorted(path.name for path in BUNDLES.iterdir()))
def test_mixed_precision_follows_the_device(bundle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what else there is on the machine: MONAI's engines would run a CPU in mixed precision for GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for config, name in (("train", "gpu_amp"), ("inference", "evaluator#amp")):
        parser = ConfigParser()
        parser.read_config(configs(bundle, config))
        expression = parser[name]
        for device, amp, expected in (
            ("cpu", True, False),
            ("mps", True, False),
            ("cuda:1", True, True),
            ("cuda", False, False),
        ):
            parser["device"], parser["amp"] = device, amp
            parser.parse(reset=True)
            parser["asked"] = expression
            assert parser.get_parsed_content("asked") is expected
