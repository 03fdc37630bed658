# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The zip of a bundle, what it refuses, and the unzipped folder alone under ``monai.bundle``."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.bundle import download, load, run, verify_metadata, verify_net_in_out

from monai_vlsm.adapters import DenseAdaptation, FineTuning, ShallowAdaptation
from monai_vlsm.checkpoints import SETTINGS_KEY, TrainedState, seal
from monai_vlsm.networks import CLIPSegNet, CRISNet, PromptedNet, SANNet, TargetUNet
from tests.bundles.dataset import write_dataset
from tools import release_bundle
from tools.release_bundle import ReleaseError, release

ROOT = Path(__file__).parents[2]
BUNDLES = ROOT / "bundles"
MODELS: dict[str, Callable[[], PromptedNet]] = {
    "vlsm_dense": lambda: CLIPSegNet("clipseg-mini", DenseAdaptation("vl", width=64), default_prompt="brain"),
    "vlsm_shallow": lambda: CLIPSegNet("clipseg-mini", ShallowAdaptation("vl", width=512), default_prompt="brain"),
    "clipseg": lambda: CLIPSegNet("clipseg-mini", FineTuning("decoder")),
    "cris": lambda: CRISNet("cris-mini"),
    "san": lambda: SANNet("san-mini"),
    "unet": lambda: TargetUNet("unet-mini", ["brain"]),
}


def write_model(network: PromptedNet, file: Path, more: dict[str, Any] | None = None) -> Path:
    """Write a model.pt with other numbers than a network starts with."""
    state = TrainedState(network).state_dict()
    for name, value in state.items():
        if name != SETTINGS_KEY and value.is_floating_point():
            value += 0.01
    torch.save(seal({**state, **(more or {})}), file)
    return file


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(MODELS["vlsm_dense"](), tmp_path_factory.mktemp("model") / "model.pt")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the bundle, with what runs leave behind."""
    copy = tmp_path / "source" / "vlsm_dense"
    shutil.copytree(BUNDLES / "vlsm_dense", copy, ignore=shutil.ignore_patterns("models", "eval"))
    for file in ("models/model.pt", "eval/metrics.csv", "configs/__pycache__/a.pyc", "docs/.DS_Store", "notes.md"):
        (copy / file).parent.mkdir(exist_ok=True)
        (copy / file).write_bytes(b"left behind")
    return copy


def names(archive: Path) -> list[str]:
    return zipfile.ZipFile(archive).namelist()


def test_content(bundle: Path, model: Path, tmp_path: Path) -> None:
    archive = release(bundle, tmp_path / "out", model)
    assert archive.name == "vlsm_dense_v0.1.0.zip"
    configs = ("best", "evaluate", "inference", "metadata", "multi_gpu_evaluate", "multi_gpu_train", "train")
    expected = {"LICENSE", "configs/logging.conf", "docs/README.md", "docs/data_license.txt", "models/model.pt"}
    expected |= {f"configs/{name}.json" for name in configs}
    assert set(names(archive)) == {f"vlsm_dense/{file}" for file in expected}
    with zipfile.ZipFile(archive) as opened:
        assert opened.read("vlsm_dense/models/model.pt") == model.read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [archive.name]


def test_without_a_model_there_are_no_weights(bundle: Path, tmp_path: Path) -> None:
    assert not [name for name in names(release(bundle, tmp_path)) if "models" in name or "large_files" in name]


def test_same_bytes(bundle: Path, model: Path, tmp_path: Path) -> None:
    first = release(bundle, tmp_path / "first", model).read_bytes()
    for file in bundle.rglob("*"):
        os.utime(file, (1e9, 1e9))
    (bundle / "LICENSE").chmod(0o755)
    assert release(bundle, tmp_path / "second", model).read_bytes() == first


@pytest.mark.parametrize("name", MODELS)
def test_what_each_bundle_trains_can_be_released(name: str, tmp_path: Path) -> None:
    archive = release(BUNDLES / name, tmp_path, write_model(MODELS[name](), tmp_path / "model.pt"))
    assert f"{name}/models/model.pt" in names(archive)


def test_large_model(bundle: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_bundle, "LIMIT", model.stat().st_size - 1)
    with pytest.raises(ReleaseError, match="more than 25 MB: give --url"):
        release(bundle, tmp_path / "out", model)
    assert not (tmp_path / "out").exists()
    archive = release(bundle, tmp_path / "out", model, "https://example.org/model.pt")
    assert "vlsm_dense/models/model.pt" not in names(archive)
    (entry,) = yaml.safe_load(zipfile.ZipFile(archive).read("vlsm_dense/large_files.yml"))["large_files"]
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert entry == {
        "path": "models/model.pt",
        "url": "https://example.org/model.pt",
        "hash_val": digest,
        "hash_type": "sha256",
    }
    assert (tmp_path / "out" / "vlsm_dense_v0.1.0_model.pt").read_bytes() == model.read_bytes()


def change_metadata(bundle: Path, **values: Any) -> None:
    file = bundle / "configs" / "metadata.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda bundle: (bundle / "LICENSE").unlink(), "LICENSE is missing or empty"),
        (lambda bundle: (bundle / "LICENSE").write_text(""), "LICENSE is missing or empty"),
        (lambda bundle: (bundle / "configs/metadata.json").unlink(), "configs/metadata.json is missing"),
        (lambda bundle: (bundle / "configs/train.json").write_text("{"), "configs/train.json is no JSON"),
        (lambda bundle: change_metadata(bundle, version="0.2.0"), "changelog has no entry for version 0.2.0"),
        (
            lambda bundle: change_metadata(bundle, version="new"),
            "version must be three numbers such as 0.1.0, got 'new'",
        ),
        (lambda bundle: change_metadata(bundle, authors=""), "metadata.json has no 'authors'"),
        (
            lambda bundle: change_metadata(bundle, required_packages_version={"monai_vlsm": "9.9"}),
            "requires monai_vlsm 9.9",
        ),
        (lambda bundle: shutil.rmtree(bundle), "LICENSE is missing"),
    ],
)
def test_faulty_bundle(
    damage: Callable[[Path], Any],
    message: str,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(bundle)
    assert release_bundle.main([str(bundle), "--output", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_name_with_a_version(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="'my_vlsm' holds '_v'"):
        release(bundle.rename(tmp_path / "my_vlsm"), tmp_path / "out")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda _: CLIPSegNet("clipseg-mini", FineTuning("full")), "holds more than what was trained.*base"),
        (MODELS["vlsm_shallow"], "'ShallowAdaptation'.*the bundle trains .*'DenseAdaptation'"),
        (MODELS["unet"], "'TargetUNet'.*the bundle trains"),
        (lambda folder: CLIPSegNet(folder, DenseAdaptation("vl")), "trained on the folder .*which nobody else has"),
    ],
)
def test_faulty_model(network: Callable[..., PromptedNet], message: str, backbone: Path, tmp_path: Path) -> None:
    built = network(backbone) if network.__code__.co_argcount else network()
    file = write_model(built, tmp_path / "model.pt")
    with pytest.raises(ReleaseError, match=message):
        release(BUNDLES / "vlsm_dense", tmp_path / "out", file)
    assert not (tmp_path / "out").exists()


def test_a_model_with_the_base_in_it(tmp_path: Path) -> None:
    network = MODELS["vlsm_dense"]()
    base = {name: value for name, value in network.state_dict().items() if name not in network.trained_names}
    with pytest.raises(ReleaseError, match=r"holds more than what was trained, \d+ entries"):
        release(BUNDLES / "vlsm_dense", tmp_path / "out", write_model(network, tmp_path / "model.pt", base))


@pytest.mark.parametrize("content", [None, b"noise"])
def test_no_model(content: bytes | None, tmp_path: Path) -> None:
    if content:
        (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ReleaseError, match=r"model\.pt"):
        release(BUNDLES / "vlsm_dense", tmp_path / "out", tmp_path / "model.pt")


@pytest.fixture(scope="module")
def alone(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released bundle as ``monai.bundle.download`` unpacks it, far from the repository."""
    folder = tmp_path_factory.mktemp("alone")
    archive = release(BUNDLES / "vlsm_dense", folder / "server", model)
    download(name="vlsm_dense", url=archive.as_uri(), bundle_dir=str(folder / "bundles"), progress=False)
    return folder / "bundles" / "vlsm_dense"


@pytest.mark.parametrize("kind", ["train", "inference"])
def test_load(kind: str, alone: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder that has nothing to do with the bundle."""
    monkeypatch.chdir(tmp_path)
    network = load("vlsm_dense", bundle_dir=str(alone.parent), workflow_type=kind, device="cpu")
    saved, own = torch.load(model, weights_only=True), network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in saved.items() if name != SETTINGS_KEY)
    assert network(torch.zeros(1, 3, 160, 160)).shape == (1, 1, 160, 160)


def test_train_and_predict(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training from another folder with ``bundle_root``, the prediction from within the bundle."""
    bundle, data = tmp_path / "vlsm_dense", write_dataset(tmp_path / "data", train=2, val=1)
    shutil.copytree(alone, bundle, ignore=shutil.ignore_patterns("models"))
    small = {"backbone": "clipseg-mini", "epochs": 1, "batch_size": 2, "num_workers": 0, "logging_file": False}
    monkeypatch.chdir(tmp_path)
    run(config_file=str(bundle / "configs/train.json"), bundle_root=str(bundle), dataset_dir=str(data), **small)
    assert (bundle / "models" / "model.pt").is_file()
    monkeypatch.chdir(bundle)
    images = {"dataset_dir": str(data / "images"), "prompt": "left polyp", "logging_file": False}
    run(config_file="configs/inference.json", workflow_type="infer", **images)
    rows = list(csv.DictReader((bundle / "eval" / "predictions" / "existence.csv").open(encoding="utf-8")))
    assert [row["name"] for row in rows] == ["train_0", "train_1", "val_0"]


def test_shapes(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configs = {name: str(alone / f"configs/{name}.json") for name in ("inference", "metadata")}
    verify_net_in_out("network_def", meta_file=configs["metadata"], config_file=configs["inference"], device="cpu")


def test_metadata_follows_the_schema(alone: Path, shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("jsonschema")
    schema = shutil.copy(shared / "zoo" / "meta_schema_20240725.json", tmp_path / "schema.json")
    verify_metadata(meta_file=str(alone / "configs" / "metadata.json"), filepath=str(schema))
    change_metadata(alone := Path(shutil.copytree(alone, tmp_path / "copy")), authors=3)
    with pytest.raises(ValueError, match="schema"):
        verify_metadata(meta_file=str(alone / "configs" / "metadata.json"), filepath=str(schema))
