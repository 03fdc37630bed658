# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the CLIP of SANNet comes from: names, and folders in Hugging Face layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from monai_vlsm.backbones import BackboneNotFoundError
from monai_vlsm.networks import BackboneWeightsError, SANNet
from monai_vlsm.networks.san_clip import load_clip
from tests import tiny
from tests.networks.tiny_san import SIZE, shrink_side


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain CLIP of the size of the tiny CLIPSeg."""
    folder = tmp_path_factory.mktemp("clip")
    config = tiny.config()
    texts, vision = config.text_config.to_dict(), config.vision_config.to_dict()
    CLIPModel(CLIPConfig(text_config=texts, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    return tiny.write_tokenizer(folder)


@pytest.fixture
def small_side(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_side(monkeypatch)


def edited(folder: Path, copy_to: Path, edit: Callable[[dict[str, Tensor]], object]) -> Path:
    """A copy of a backbone with other weights."""
    shutil.copytree(folder, copy_to)
    weights = load_file(copy_to / "model.safetensors")
    edit(weights)
    save_file(weights, copy_to / "model.safetensors", metadata={"format": "pt"})
    return copy_to


def test_a_folder_with_clip(clip_folder: Path) -> None:
    network = SANNet(clip_folder, image_size=SIZE).eval()
    reference = CLIPModel.from_pretrained(clip_folder).state_dict()
    state = network.clip.state_dict()
    assert set(state) == set(reference)
    assert all(torch.equal(state[name], value) for name, value in reference.items())
    assert not network.clip.training
    masks = network.encode_image(torch.zeros(2, 3, SIZE, SIZE)).masks
    assert masks.shape == (2, 100, 4, 4)  # beside it the side network of the paper


def test_random_weights_read_no_file(clip_folder: Path, tmp_path: Path) -> None:
    shutil.copy(clip_folder / "config.json", tmp_path)
    assert SANNet(tmp_path, image_size=SIZE, load_weights=False).clip.config.projection_dim == 8


@pytest.mark.usefixtures("small_side")
def test_old_and_half_precision_files(clip_folder: Path, tmp_path: Path) -> None:
    def age(weights: dict[str, Tensor]) -> None:
        weights.update({name: value.half() for name, value in weights.items()})
        weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]

    folder = edited(clip_folder, tmp_path / "old", age)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "dtype": "float16"}))
    clip = SANNet(folder, image_size=SIZE).clip
    assert {value.dtype for value in clip.state_dict().values()} == {torch.float32}


KEY = "visual_projection.weight"
BROKEN = [
    (lambda weights: weights.pop(KEY), rf"1 missing \['{KEY}'\], 0 unexpected"),
    (lambda weights: weights.update(other=weights.pop(KEY)), rf"1 missing \['{KEY}'\], 1 unexpected \['other'\]"),
    (lambda weights: weights.update({KEY: torch.zeros(3, 3)}), f"1 of another shape .*{KEY}"),
]


@pytest.mark.parametrize(("edit", "message"), BROKEN)
def test_wrong_weights(
    edit: Callable[[dict[str, Tensor]], object], message: str, clip_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackboneWeightsError, match=message):
        SANNet(edited(clip_folder, tmp_path / "wrong", edit), image_size=SIZE)


def test_truncated_weights(clip_folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(clip_folder, tmp_path / "cut"), "model.safetensors")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BackboneWeightsError, match="a weight file cannot be read"):
        SANNet(path.parent, image_size=SIZE)


def test_no_weights_in_the_folder(clip_folder: Path, tmp_path: Path) -> None:
    shutil.copy(clip_folder / "config.json", tmp_path)
    with pytest.raises(BackboneNotFoundError, match="no readable weights"):
        SANNet(tmp_path, image_size=SIZE)


def test_no_weights_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(CLIPModel, "from_pretrained", offline)
    with pytest.raises(BackboneNotFoundError, match="hf download openai/clip-vit-base-patch16"):
        SANNet("san-vit-b16")


@pytest.mark.parametrize("kind", ["bert", "clip_vision_model", None])
def test_folder_of_another_model(kind: str | None, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(BackboneWeightsError, match=rf"looks like a model of type {kind!r}. SANNet needs a whole CLIP"):
        SANNet(tmp_path)


@pytest.mark.parametrize("name", ["clipseg-mini", "cris-rn50", "san-vit-l14", "/no/such/folder"])
def test_unknown_backbone(name: str) -> None:
    with pytest.raises(BackboneNotFoundError, match="'san'; give one of san-mini, san-vit-b16"):
        SANNet(name)


def test_clip_of_too_few_layers(tmp_path: Path) -> None:
    config = tiny.config()
    config.vision_config.num_hidden_layers = 9
    config.save_pretrained(tmp_path)
    tiny.write_tokenizer(tmp_path)
    with pytest.raises(ValueError, match=r"up to its layer 9 .*, got 9 layers"):
        SANNet(tmp_path, image_size=SIZE, load_weights=False)


def test_load_clip_is_frozen(clip_folder: Path) -> None:
    values = {"clip": str(clip_folder), "clip_config": None, "logit_scale": 50.0}
    clip = load_clip(values, load_weights=True)
    assert not any(parameter.requires_grad for parameter in clip.parameters())
    assert clip.logit_scale.exp().item() == pytest.approx(50)
