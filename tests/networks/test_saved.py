# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Every kind of network comes back from its ``model.pt`` alone; files that are none say so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.adapters import DenseAdaptation, FineTuning, ShallowAdaptation
from monai_vlsm.backbones import BackboneNotFoundError
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, ModelNotFoundError, TrainedState, seal
from monai_vlsm.checkpoints.content import verify_settings
from monai_vlsm.networks import CLIPSegNet, CRISNet, PromptedNet, SANNet, TargetUNet, build_network, load_network

NETWORKS: dict[str, Callable[[Path], PromptedNet]] = {
    "dense": lambda folder: CLIPSegNet(folder, DenseAdaptation("vl", width=4)),
    "shallow": lambda folder: CLIPSegNet(folder, ShallowAdaptation("v", width=4), default_prompt="polyp"),
    "decoder": lambda folder: CLIPSegNet(folder, FineTuning("decoder")),
    "full": lambda folder: CLIPSegNet(folder, FineTuning("full")),
    "cris": lambda _: CRISNet("cris-mini", image_size=64, mask_padding=False),
    "san": lambda _: SANNet("san-mini", image_size=64, fusion="official"),
    "unet": lambda _: TargetUNet("unet-mini", ["polyp", "brain"], image_size=64),
}


def save(network: PromptedNet, file: Path, /, **changed: Any) -> Path:
    """Write a model.pt with other numbers than a network starts with; ``changed`` goes into its settings."""
    state = TrainedState(network).state_dict()
    for name, value in state.items():
        if name != SETTINGS_KEY and value.is_floating_point():
            value += 0.01
    state[SETTINGS_KEY] = {key: value for key, value in {**state[SETTINGS_KEY], **changed}.items() if value != "drop"}
    torch.save(seal(state), file)
    return file


@pytest.mark.parametrize("kind", NETWORKS)
def test_comes_back(kind: str, backbone: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = NETWORKS[kind](backbone)
    network.existence_threshold = 0.25
    file = save(network, tmp_path / "model.pt")
    loaded = load_network(file)
    assert type(loaded) is type(network)
    assert not loaded.training
    assert loaded.existence_threshold == 0.25
    assert loaded.settings() == network.settings()
    state = torch.load(file, weights_only=True)
    own = loaded.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items() if name != SETTINGS_KEY)


def test_base_in_another_place(backbone: Path, tmp_path: Path) -> None:
    there = Path(shutil.copytree(backbone, tmp_path / "there"))
    file = save(CLIPSegNet(there, DenseAdaptation("v", width=4)), tmp_path / "model.pt")
    here = there.rename(tmp_path / "here")
    with pytest.raises(BackboneNotFoundError, match="there"):
        load_network(file)
    assert load_network(file, here).backbone == str(here)


def test_another_base(backbone: Path, tmp_path: Path) -> None:
    file = save(CLIPSegNet(backbone, DenseAdaptation("v", width=4)), tmp_path / "model.pt")
    with pytest.raises(ModelMismatchError, match=r"another base.*clipseg-mini"):
        load_network(file, "clipseg-mini")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network": "drop"}, "'network' .* must be of type str, got None"),
        ({"base": "drop"}, "'base' .* must be of type str, got None"),
        ({"backbone": 3}, "'backbone' .* must be of type str, got 3"),
        ({"network": "GPTNet"}, "another network: 'GPTNet', known are CLIPSegNet"),
        ({"adaptation": {"type": "Magic"}}, "make no adaptation: unknown adaptation 'Magic'"),
        ({"adaptation": {"type": "DenseAdaptation", "depth": 3}}, "make no adaptation: .*depth"),
        ({"dropout": 0.5}, "unknown setting dropout of CLIPSegNet"),
        ({"image_size": 17}, "fit no CLIPSegNet: image_size must be a multiple"),
    ],
)
def test_settings_that_make_no_network(changed: dict[str, Any], message: str, backbone: Path, tmp_path: Path) -> None:
    file = save(CLIPSegNet(backbone, DenseAdaptation("v", width=4)), tmp_path / "model.pt", **changed)
    with pytest.raises(ModelMismatchError, match=message):
        load_network(file)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model file at .*absent\.pt"):
        load_network(tmp_path / "absent.pt")
    torch.save({SETTINGS_KEY: "text"}, tmp_path / "text.pt")
    with pytest.raises(ModelMismatchError, match="is not a model file of monai_vlsm"):
        load_network(tmp_path / "text.pt")
    (tmp_path / "noise.pt").write_bytes(b"noise")
    with pytest.raises(ModelMismatchError, match="not a model file"):
        load_network(tmp_path / "noise.pt")


@pytest.mark.parametrize("kind", NETWORKS)
def test_settings_that_are_known_are_those_that_networks_record(kind: str, backbone: Path) -> None:
    settings = TrainedState(NETWORKS[kind](backbone)).settings()
    verify_settings(settings)
    with pytest.raises(ModelMismatchError, match="unknown setting colour"):
        verify_settings({**settings, "colour": 1})


def test_a_network_that_trained_as_a_whole_needs_no_base(backbone: Path, tmp_path: Path) -> None:
    settings = TrainedState(CLIPSegNet(backbone, FineTuning("full"))).settings()
    bare = tmp_path / "bare"
    shutil.copytree(backbone, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    assert settings["base"] == ""
    assert isinstance(build_network(settings, bare), CLIPSegNet)
