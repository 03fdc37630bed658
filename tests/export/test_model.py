# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Exported files compute what the networks compute, for any number of images and prompts."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from monai.data import load_net_with_metadata
from PIL import Image
from torch import Tensor

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.export import ExportedModel, export_network
from monai_vlsm.export.check import LIMIT, open_file
from monai_vlsm.networks import CLIPSegNet, PromptedNet
from monai_vlsm.samples import sample_dir
from monai_vlsm.transforms import TokenizePrompt
from tests.export.conftest import NETWORKS, TARGETS, Build

PROMPTS = ["brain", "one small round white matter of the brain", "left hemisphere"]
TEXT_INPUTS = {"cris": ["words", "sentence", "padding"], "cris_all_columns": ["words", "sentence"]}
# a trace takes seconds: each network in one form at least, each kind of text features in both
CASES = [
    ("dense", "embedding", "onnx"),
    ("dense", "tokens", "torchscript"),
    ("shallow", "embedding", "torchscript"),
    ("shallow", "tokens", "onnx"),
    ("none", "embedding", "onnx"),
    ("decoder", "embedding", "torchscript"),
    ("cris", "embedding", "onnx"),
    ("cris", "tokens", "onnx"),
    ("cris", "embedding", "torchscript"),
    ("cris_all_columns", "embedding", "onnx"),
    ("cris_all_columns", "tokens", "torchscript"),
    ("san", "embedding", "torchscript"),
    ("san", "tokens", "onnx"),
    ("unet", "embedding", "onnx"),
    ("unet", "embedding", "torchscript"),
    ("unet_one", "tokens", "onnx"),
    ("unet_one", "embedding", "onnx"),
]
# the others are slow
FAST = {
    ("dense", "embedding", "onnx"),
    ("dense", "tokens", "torchscript"),
    ("unet", "embedding", "onnx"),
}


def compute(files: ExportedModel, image: Tensor, images: int) -> Tensor:
    """Logits of the file with the prompts beside it, the same for all images if ``images`` is 1."""
    texts = {name: torch.from_numpy(rows)[None] for name, rows in np.load(files.prompts).items()}
    return open_file(files.model)(
        image, {name: row.repeat(images, *[1] * (row.ndim - 1)) for name, row in texts.items()}
    )


def expected(network: PromptedNet, image: Tensor, prompts: list[str]) -> Tensor:
    ids, mask = TokenizePrompt(load_tokenizer(network.backbone))(prompts)
    with torch.no_grad():
        return network(image, ids[None], mask[None] if getattr(network, "mask_padding", True) else None)


def test_every_network_is_exported() -> None:
    assert {kind for kind, *_ in CASES} == set(NETWORKS)


@pytest.mark.parametrize(
    ("kind", "form", "format"),
    [pytest.param(*case, marks=[] if case in FAST else [pytest.mark.slow]) for case in CASES],
)
def test_same_logits(build: Build, tmp_path: Path, kind: str, form: str, format: str) -> None:
    network = build(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = export_network(network, tmp_path / "out", format, form, PROMPTS)
    assert files.difference <= LIMIT
    assert {path.name for path in (tmp_path / "out").iterdir()} == {files.model.name, "prompts.npz", "model.json"}
    inputs = ["input_ids"] if form == "tokens" else TEXT_INPUTS.get(kind, ["embedding"])
    assert list(np.load(files.prompts)) == json.loads(files.info.read_text())["text_inputs"] == inputs
    for images, rows in ((1, 1), (2, 2), (5, 1)):
        image = torch.randn(images, 3, network.image_size, network.image_size)
        logits, wanted = compute(files, image, rows), expected(network, image, PROMPTS)
        assert logits.shape == wanted.shape == (images, 3, network.image_size, network.image_size)
        assert wanted.std() > 1e-3
        torch.testing.assert_close(logits, wanted, atol=LIMIT, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "torchscript"])
def test_mini_on_the_sample(tmp_path: Path, format: str) -> None:
    torch.manual_seed(0)
    network = CLIPSegNet("clipseg-mini", DenseAdaptation("vl", 8), default_prompt="brain").eval()
    images = [np.asarray(Image.open(sample_dir() / "images" / f"axial_{z}.png").convert("RGB")) for z in ("+08", "+44")]
    mean, std = torch.tensor(network.image_mean), torch.tensor(network.image_std)
    image = ((torch.from_numpy(np.stack(images)) / 255 - mean) / std).movedim(-1, 1)
    wanted = expected(network, image, PROMPTS)
    sizes = {}
    for form in ("embedding", "tokens"):
        files = export_network(network, tmp_path / form, format, form, PROMPTS)
        logits = compute(files, image, 1)
        torch.testing.assert_close(logits, wanted, atol=LIMIT, rtol=0)
        assert ((logits > 0) == (wanted > 0))[wanted.abs() > LIMIT].all()
        sizes[form] = files.model.stat().st_size
    assert 0 < (wanted > 0).float().mean() < 1
    # the text encoder and its words: nothing of them is left in the embedding form
    text = sum(weight.numel() * 4 for weight in network.base.clip.text_model.parameters())
    assert sizes["tokens"] - sizes["embedding"] > 0.95 * text


@pytest.mark.parametrize("format", ["onnx", "torchscript"])
def test_facts_are_inside_the_file(build: Build, tmp_path: Path, format: str) -> None:
    network = build("unet")
    network.existence_threshold = 0.3
    files = export_network(network, tmp_path, format, prompts=TARGETS[:2], names=["b", "p"])
    info: dict[str, Any] = json.loads(files.info.read_text())
    wanted = {"prompts": TARGETS[:2], "names": ["b", "p"], "form": "embedding", "existence_threshold": 0.3}
    wanted |= {"base": TrainedState(network).fingerprint, "image_size": 32, "image_mean": list(network.image_mean)}
    wanted |= {"image_std": list(network.image_std), "threshold": 0.5, "existence_share": 0.005}
    wanted |= {"network": "TargetUNet"}
    assert {key: info[key] for key in wanted} == wanted
    if format == "onnx":
        inside = {entry.key: json.loads(entry.value) for entry in onnx.load(files.model).metadata_props}
    else:
        inside = load_net_with_metadata(str(files.model))[1]
    assert {key: inside[key] for key in info} == info


def test_shapes_that_onnx_declares(build: Build, tmp_path: Path) -> None:
    files = export_network(build("dense"), tmp_path, form="tokens")
    graph = onnx.load(files.model, load_external_data=False).graph
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {
        "image": ["batch", 3, 32, 32],
        "input_ids": ["batch_or_1", "prompts", 77],
        "logits": ["batch", "prompts", 32, 32],
    }
    assert {opset.version for opset in onnx.load(files.model).opset_import if not opset.domain} == {18}


@pytest.mark.parametrize(("kind", "prompts"), [("unet", TARGETS), ("dense", ["one polyp"])])
def test_prompts_that_a_network_knows_itself(build: Build, tmp_path: Path, kind: str, prompts: list[str]) -> None:
    files = export_network(build(kind), tmp_path)
    info = json.loads(files.info.read_text())
    assert info["prompts"] == info["names"] == prompts
    assert all(len(rows) == len(prompts) for rows in np.load(files.prompts).values())
