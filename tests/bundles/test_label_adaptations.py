# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Each adaptation in MONAI Label: a training task goes on with its file, and an inference task answers with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from monai_vlsm.apps.label import Banks
from monai_vlsm.apps.label.labels import image_records
from monai_vlsm.checkpoints import SETTINGS_KEY, TrainedState
from monai_vlsm.data.volumes import Address
from monai_vlsm.networks import CLIPSegNet, load_network
from tests.adapters.test_properties import QUICK, ROWS
from tests.bundles.dataset import write_dataset
from tests.bundles.test_label import BUNDLE, labelled, saved, train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blank_curves")]
SMALL = {"num_workers": 0, "batch_size": 4, "cache": "off", "overlays": 0}


@pytest.fixture
def bundle(request: pytest.FixtureRequest, backbone: Path, tmp_path: Path) -> Path:
    """The bundle with a model of the adaptation that a test names."""
    folder = tmp_path / "bundle"
    shutil.copytree(BUNDLE, folder, ignore=shutil.ignore_patterns("models", "eval"))
    network = CLIPSegNet(backbone, ROWS[request.param].adaptation, default_prompt="polyp")
    slices = {"context": 1, "plane": "axial"} if network.slices > 1 else None
    (folder / "models").mkdir()
    torch.save(TrainedState(network, recorded=slices).state_dict(), folder / "models" / "model.pt")
    return folder


def records(network: dict[str, Any], data: Path, folder: Path) -> list[dict[str, str]]:
    """Labelled images; for slices that attend to one another, a labelled volume."""
    context = network.get("context")
    if not context:
        return labelled(data, 3)
    mask = np.zeros((32, 32, 4), np.uint8)
    mask[8:20, 8:20, 1:3] = 1
    image = mask * 100 + np.random.default_rng(0).integers(0, 50, mask.shape)
    for name, values in (("scan", image), ("label", mask)):
        nib.save(nib.Nifti1Image(values.astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0])), folder / f"{name}.nii.gz")
    names = str(folder / "scan.nii.gz"), str(folder / "label.nii.gz")
    found = image_records(*names, {0: "polyp"}, folder, network["plane"], context)
    assert [Address.of(record["image"]).context for record in found] == [1, 1]
    return found


@pytest.mark.parametrize("bundle", sorted(QUICK), indirect=True)
def test_training_and_inference(bundle: Path, tmp_path: Path) -> None:
    before = saved(bundle)
    listed = records(before[SETTINGS_KEY], write_dataset(tmp_path / "data"), tmp_path)
    train(bundle, listed, [], **SMALL)
    after = saved(bundle)
    assert after[SETTINGS_KEY]["adaptation"] == before[SETTINGS_KEY]["adaptation"]
    changes = [(after[name].float() - before[name].float()).abs().max() for name in before if name != SETTINGS_KEY]
    assert max(changes) > 0 and all(change.isfinite() for change in changes)
    answers(bundle, listed)


def answers(bundle: Path, listed: list[dict[str, str]]) -> None:
    """As an inference task: the bundle's steps around a network of the bank, which is that of the file."""
    file = bundle / "models" / "model.pt"
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    own = {"bundle_root": str(bundle), "model_file": str(file), "network_def": {"_target_": "torch.nn.Identity"}}
    parser.update({**own, "text_cache": "off", "amp": False, "device": "cpu"})
    network: Any = Banks().network(saved(bundle)[SETTINGS_KEY]["backbone"], "cpu", file)
    inferer, preprocessing = (parser.get_parsed_content(name) for name in ("inferer", "preprocessing"))
    data = preprocessing({"image": Address.of(listed[0]["image"]).file, "prompt": "one small polyp"})
    with torch.no_grad():
        found, alone = (inferer(data["image"][None], one) for one in (network, load_network(file)))
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
    assert found.isfinite().all() and found.std() > 0
