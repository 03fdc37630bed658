# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.backbones import BackboneNotFoundError, backbone_type
from monai_vlsm.networks import CLIPSegNet, CRISNet, SANNet, TargetUNet, empty_network, fill_network, network_class
from tests import tiny

SETTINGS = {"network": "CLIPSegNet", "backbone": "elsewhere", "image_size": tiny.SIZE, "default_prompt": "one polyp"}


@pytest.mark.parametrize(
    ("backbone", "kind"),
    [
        ("clipseg-mini", CLIPSegNet),
        ("CIDAS/clipseg-rd64-refined", CLIPSegNet),
        ("san-mini", SANNet),
        ("cris-rn50", CRISNet),
        ("unet", TargetUNet),
    ],
)
def test_class_of_a_known_backbone(backbone: str, kind: type) -> None:
    assert network_class(backbone) is kind


@pytest.mark.parametrize(("model_type", "kind"), [("clip", SANNet), ("clipseg", CLIPSegNet)])
def test_class_of_a_folder(model_type: str, kind: type, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    assert backbone_type(tmp_path) == model_type
    assert network_class(tmp_path) is kind


def test_no_class(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="no network is made for a model of type 'bert'; known: clipseg"):
        network_class(tmp_path)
    with pytest.raises(BackboneNotFoundError, match="no such folder"):
        network_class(tmp_path / "absent")


def test_an_empty_network_takes_no_memory(backbone: Path) -> None:
    adaptation = DenseAdaptation("v", width=4)
    network = empty_network({**SETTINGS, "adaptation": adaptation.settings(), "existence_threshold": 0.3}, backbone)
    built = CLIPSegNet(backbone, adaptation=adaptation, default_prompt="one polyp")
    assert all(parameter.is_meta for parameter in network.parameters())
    assert network.trained_names == built.trained_names
    assert network.settings() == {**built.settings(), "existence_threshold": 0.3}
    assert torch.equal(network.default_input_ids, built.default_input_ids)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image_size": 33}, ValueError, "multiple of 16"),
        ({"depth": 3}, TypeError, "depth"),
        ({"load_weights": True}, TypeError, "load_weights"),
        ({"dropout": 0.5}, ValueError, "unknown settings: dropout"),
        ({"adaptation": {"type": "LoRA"}}, ValueError, "unknown adaptation 'LoRA'"),
    ],
)
def test_wrong_settings(change: dict[str, Any], error: type[Exception], message: str, backbone: Path) -> None:
    with pytest.raises(error, match=message):
        empty_network({**SETTINGS, **change}, backbone)


def test_filling_shares_memory_and_keeps_what_is_there() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    network[0].bias = nn.Parameter(torch.full((3,), 5.0))
    tensors = {
        "0.weight": torch.ones(3, 2),
        "0.bias": torch.ones(3),
        "1.running_var": torch.ones(3),
        "2.x": torch.ones(1),
    }
    fill_network(network, tensors)
    assert network[0].weight.data_ptr() == tensors["0.weight"].data_ptr()
    assert network[1].running_var.data_ptr() == tensors["1.running_var"].data_ptr()
    assert "running_var" in dict(network[1].named_buffers())
    assert network[0].bias.tolist() == [5.0, 5.0, 5.0]
    assert network[1].weight.is_meta
