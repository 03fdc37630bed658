# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CLIPSeg's decoder on the encoders of BiomedCLIP and PubMedCLIP, in the layouts that they are published in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import CLIPModel, CLIPSegForImageSegmentation

from monai_vlsm.adapters import (
    Adaptation,
    AdaptationError,
    BitFitAdaptation,
    DenseAdaptation,
    FineTuning,
    LoRAAdaptation,
    ShallowAdaptation,
    SSFAdaptation,
    count_parameters,
)
from monai_vlsm.backbones import (
    BackboneConfigError,
    BackboneNotFoundError,
    default_image_size,
    load_config,
    load_tokenizer,
)
from monai_vlsm.backbones.weights import WeightsFileError
from monai_vlsm.checkpoints import SETTINGS_KEY, TrainedState
from monai_vlsm.errors import UserError
from monai_vlsm.networks import BackboneWeightsError, CLIPSegNet, SANNet, image_statistics, load_base, load_network
from monai_vlsm.transforms import TokenizePrompt
from tests import tiny
from tests.networks.tiny_encoders import SPECIAL, WORDS, open_clip, write_biomed, write_pubmed

PUBLISHED = (
    "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
    "flaviagiammarino/pubmed-clip-vit-base-patch32",
)
ADAPTATIONS = [
    DenseAdaptation("vl", width=16, condition_width=8),
    DenseAdaptation("v", width=16),
    ShallowAdaptation("v", width=16),
    LoRAAdaptation(rank=2, projections=("query", "key", "value", "out", "fc1", "fc2")),
    LoRAAdaptation(rank=2, dora=True),
    SSFAdaptation(),
    BitFitAdaptation(),
    FineTuning("decoder"),
    FineTuning("full"),
]


@pytest.fixture(scope="module")
def biomed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_biomed(tmp_path_factory.mktemp("biomed"))


@pytest.fixture(scope="module")
def pubmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pubmed(tmp_path_factory.mktemp("pubmed"))


def close(found: Tensor, expected: Tensor) -> None:
    assert_close(found, expected, atol=2e-5, rtol=2e-5)


def image_of(size: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3))


def texts(folder: Path, *prompts: str) -> tuple[Tensor, Tensor]:
    return TokenizePrompt(load_tokenizer(folder), 12)(list(prompts))


@torch.no_grad()
@pytest.mark.parametrize("size", [32, 80])  # as many patches as positions, and more: interpolated
def test_the_vision_encoder_of_biomedclip(biomed: Path, size: int) -> None:
    states = open_clip().visual.trunk.states(image_of(size))
    found = CLIPSegNet(biomed).eval().encode_image(image_of(size))
    for layer, skip in zip((3, 6, 9), found, strict=True):
        close(skip, states[layer + 1])


@torch.no_grad()
def test_the_text_encoder_of_biomedclip(biomed: Path) -> None:
    """Read at its first token, whatever padding follows."""
    network = CLIPSegNet(biomed).eval()
    ids, mask = texts(biomed, "polyp", "one small round polyp left", "")
    assert ids[:, 0].tolist() == [2, 2, 2] and (ids == 0).any(1).all()
    found = network.encode_text(ids, mask)
    close(found, open_clip().encode_text(ids))
    close(network.encode_text(ids[:1, :3]), found[:1])
    assert (found[0] - found[1]).abs().max() > 1e-3


@torch.no_grad()
def test_the_encoders_of_pubmedclip(pubmed: Path) -> None:
    network, clip = CLIPSegNet(pubmed).eval(), CLIPModel.from_pretrained(pubmed).eval()
    ids, mask = texts(pubmed, "polyp", "one small polyp")
    states = clip.vision_model(image_of(64), output_hidden_states=True).hidden_states
    for layer, skip in zip((3, 6, 9), network.encode_image(image_of(64)), strict=True):
        close(skip, states[layer + 1])
    expected = clip.text_projection(clip.text_model(input_ids=ids, attention_mask=mask).pooler_output)
    close(network.encode_text(ids, mask), expected)


@pytest.mark.parametrize(
    ("kind", "adaptation"),
    [
        *(("biomed", adaptation) for adaptation in ADAPTATIONS),
        ("pubmed", ADAPTATIONS[0]),
        *(pytest.param("pubmed", adaptation, marks=pytest.mark.slow) for adaptation in ADAPTATIONS[1:]),
    ],
    ids=str,
)
def test_adaptations(adaptation: Adaptation, kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    torch.manual_seed(0)
    network = CLIPSegNet(folder, adaptation=adaptation).train()
    ids, mask = texts(folder, "polyp", "one small polyp")
    logits = network(image_of(64), ids, mask)
    assert logits.shape == (2, 1, 64, 64)
    logits.square().mean().backward()
    trains = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    without = [name for name in trains if network.get_parameter(name).grad is None]
    assert not without and any(name.startswith("base.decoder.") for name in trains)
    network.checkpointing = True
    close(network(image_of(64), ids, mask), logits)


def test_a_model_file_brings_the_random_decoder(biomed: Path, tmp_path: Path) -> None:
    network = CLIPSegNet(biomed, adaptation=DenseAdaptation("vl", width=4)).eval()
    state = TrainedState(network).state_dict()
    assert sum(name.startswith("base.decoder.") for name in state) == len(network.base.decoder.state_dict())
    torch.save(state, tmp_path / "model.pt")
    ids, _ = texts(biomed, "polyp")
    with torch.no_grad():
        close(load_network(tmp_path / "model.pt")(image_of(32), ids), network(image_of(32), ids))


def write_donor(folder: Path, width: int, embedding: int) -> Path:
    """A CLIPSeg whose decoder fits encoders of these widths."""
    vision = {**tiny.config().to_dict()["vision_config"], "hidden_size": width}
    sizes = {"projection_dim": embedding, "reduce_dim": 64, "decoder_num_attention_heads": 4}
    config = tiny.config(vision_config=vision, decoder_intermediate_size=2048, **sizes)
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["biomed", "pubmed"])
def test_the_decoder_of_a_clipseg(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Frozen, recorded, and found again; patches of 32 px too."""
    folder = request.getfixturevalue(kind)
    config = load_config(folder)
    donor = write_donor(tmp_path / "donor", config.vision_config.hidden_size, config.projection_dim)
    network = CLIPSegNet(folder, adaptation=DenseAdaptation("v", width=4), decoder=donor).eval()
    for name, value in load_base(donor).decoder.state_dict().items():
        assert torch.equal(network.base.decoder.state_dict()[name], value)
    state = TrainedState(network).state_dict()
    assert not any(name.startswith("base.decoder") for name in state)
    assert state[SETTINGS_KEY]["decoder"] == str(donor)
    torch.save(state, tmp_path / "model.pt")
    ids, _ = texts(folder, "polyp")
    with torch.no_grad():
        close(load_network(tmp_path / "model.pt")(image_of(64), ids), network(image_of(64), ids))


def test_frozen_results_are_the_same(biomed: Path) -> None:
    network = CLIPSegNet(biomed, adaptation=ShallowAdaptation("v", width=4)).eval()
    assert network.frozen_encoders == {"vision", "text"}
    ids, _ = texts(biomed, "polyp", "red brain")
    with torch.no_grad():
        frozen = network.encode_frozen_image(image_of(32)), network.encode_frozen_text(ids)
        index = torch.arange(2)[:, None]
        found = network.forward_rows(frozen[0], frozen_image=True, frozen_text=frozen[1], prompt_index=index)
        close(found, network(image_of(32), ids))


def test_eager_attention_is_the_same(biomed: Path) -> None:
    ids, mask = texts(biomed, "polyp", "one small polyp")
    torch.manual_seed(0)
    network = CLIPSegNet(biomed, attention="eager").eval()
    assert network.base.clip.text_model.encoder.layers[0].self_attn.config._attn_implementation == "eager"
    with torch.no_grad():
        eager = network.encode_text(ids, mask)
        network.base.set_attn_implementation("sdpa")
        close(network.encode_text(ids, mask), eager)


def test_tokens_are_those_of_bert(biomed: Path) -> None:
    tokenizer = load_tokenizer(biomed)
    ids, mask = TokenizePrompt(tokenizer)("One POLYP")
    assert len(ids) == 256 and mask.sum() == 4
    assert ids[:5].tolist() == [WORDS.index(word) for word in ("[CLS]", "one", "polyp", "[SEP]", "[PAD]")]
    with pytest.warns(UserWarning, match="only the first 256 of its 402 tokens are read"):
        long, _ = TokenizePrompt(tokenizer)("polyp " * 400)
    assert long[-1] == WORDS.index("[SEP]") and len(SPECIAL) == 5


def test_statistics_and_sizes(biomed: Path, pubmed: Path, backbone: Path) -> None:
    assert image_statistics(biomed) == ((0.481, 0.457, 0.408), (0.268, 0.261, 0.275))
    assert CLIPSegNet(biomed).image_mean == (0.481, 0.457, 0.408)
    assert image_statistics(pubmed)[0] == CLIPSegNet(pubmed).image_mean == SANNet.image_mean
    assert image_statistics(backbone)[0] == CLIPSegNet(backbone).image_mean == (0.485, 0.456, 0.406)
    assert [default_image_size(name) for name in PUBLISHED] == [352, 352]


REAL_SIZE = [(PUBLISHED[0], 195_901_953), (PUBLISHED[1], 151_277_313)]


@pytest.mark.parametrize(("name", "total"), REAL_SIZE)
def test_real_size(name: str, total: int) -> None:
    with torch.device("meta"):
        network = CLIPSegNet(name, adaptation=DenseAdaptation("vl"), load_weights=False, decoder=None)
    trains, everything = count_parameters(network)
    decoder = sum(parameter.numel() for parameter in network.base.decoder.parameters())
    assert (everything - trains, decoder) == (total, 1_127_009)


def drop(*names: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def edit(state: dict[str, Any], _: dict[str, Any]) -> None:
        for name in names:
            del state[name]

    return edit


def change(name: str, part: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    """Leave a part of a weight."""

    def edit(state: dict[str, Any], _: dict[str, Any]) -> None:
        state[name] = state[name][part].clone()

    return edit


LAYER = [name.removeprefix("visual.trunk.blocks.9.") for name in open_clip().state_dict() if ".blocks.9." in name]


def unimed(state: dict[str, Any], _: dict[str, Any]) -> None:
    """The names of UniMedCLIP: a vision transformer of OpenAI's layout, and BERT under another name."""
    text = {name: value for name, value in state.items() if name.startswith("text.")}
    state.clear()
    state |= {f"module.text_encoder.{name.removeprefix('text.')}": value for name, value in text.items()}
    state["module.visual.class_embedding"] = torch.zeros(8)


def pooled(_: dict[str, Any], settings: dict[str, Any]) -> None:
    settings["model_cfg"]["text_cfg"]["hf_pooler_type"] = "mean_pooler"


BAD = [
    (drop("visual.trunk.cls_token"), r"'cls_token' is missing"),
    (drop("visual.trunk.patch_embed.proj.weight"), r"expected an open_clip model with a vision transformer of timm"),
    (drop("text.proj.2.weight"), r"'text.proj.2.weight' is missing"),
    (drop("text.transformer.encoder.layer.3.output.dense.bias"), r"1 missing .*layers\.3\.mlp\.fc2\.bias"),
    (lambda state, _: state.update({"visual.trunk.reg_token": torch.zeros(1)}), r"1 unexpected .*reg_token"),
    (change("visual.trunk.pos_embed", 0), "a weight has another shape"),
    (change("visual.trunk.patch_embed.proj.weight", 0), "a weight has another shape"),
    (change("visual.trunk.blocks.1.attn.qkv.bias", slice(1)), "a weight has another shape"),
    (change("visual.trunk.patch_embed.proj.bias", slice(1, None)), "a weight has another shape"),
    (change("visual.trunk.blocks.0.mlp.fc1.weight", (slice(None), slice(9))), r"mlp\.fc1\.weight must be .*, 128\)"),
    (drop(*(f"visual.trunk.blocks.9.{part}" for part in LAYER)), "up to its layer 9 .*got 9 layers"),
    (lambda _, settings: settings["preprocess_cfg"].pop("std"), "describes no model that can be built"),
    (lambda _, settings: settings["preprocess_cfg"].update(std=[0, 1, 1]), r"above 0, got .* and \[0, 1, 1\]"),
    (lambda _, settings: settings.update(model_cfg=[]), "describes no model .*AttributeError"),
    (lambda _, settings: settings["model_cfg"]["text_cfg"].update(context_length="long"), "describes no model"),
    (unimed, r"looks like UniMedCLIP"),
    (pooled, r"hf_pooler_type .*got 'mean_pooler'"),
]


@pytest.mark.parametrize(("edit", "message"), BAD)
def test_another_layout(edit: Any, message: str, tmp_path: Path) -> None:
    folder = write_biomed(tmp_path, edit)
    with pytest.raises((WeightsFileError, BackboneWeightsError, BackboneConfigError), match=message) as caught:
        CLIPSegNet(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("length", "tokens"),
    [(None, 77), (0, 77), (20, 20), (5000, 300)],
    ids=["none", "no", "short", "above the positions"],
)
def test_how_many_tokens_are_read(length: int | None, tokens: int, tmp_path: Path) -> None:
    folder = write_biomed(tmp_path, lambda _, settings: settings["model_cfg"]["text_cfg"].update(context_length=length))
    ids, _ = TokenizePrompt(load_tokenizer(folder))("polyp " * 400)
    assert ids.shape[-1] == tokens
    network = CLIPSegNet(folder, image_size=32).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 32, 32), ids[None]).isfinite().all()
    with pytest.raises(ValueError, match="a text of 301 tokens is longer than the 300 positions"):
        network(torch.zeros(1, 3, 32, 32), torch.full((1, 301), 5))


def test_a_damaged_description(biomed: Path, pubmed: Path, tmp_path: Path) -> None:
    for source, name in ((biomed, "open_clip_config.json"), (pubmed, "config.json")):
        folder = Path(shutil.copytree(source, tmp_path / source.name))
        for content in ("{", "[]", '{"model_type": "clip", "vision_config": {"hidden_size": "big"}}'):
            (folder / name).write_text(content)
            with pytest.raises(UserError, match=str(folder)) as caught:
                CLIPSegNet(folder)
            assert "\n" not in str(caught.value)


def test_a_text_encoder_that_is_not_as_deep_as_shallow_adapters_read(pubmed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pubmed, tmp_path / "b"))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 6
    (folder / "config.json").write_text(json.dumps(config))
    CLIPSegNet(folder, ShallowAdaptation("v"), load_weights=False)
    with pytest.raises(AdaptationError, match=r"up to its layer 9 .*it has 6 layers"):
        CLIPSegNet(folder, ShallowAdaptation("vl"), load_weights=False)


def test_missing_files(tmp_path: Path) -> None:
    folder = write_biomed(tmp_path)
    (folder / "vocab.txt").unlink()
    with pytest.raises(BackboneNotFoundError, match="no readable tokenizer"):
        CLIPSegNet(folder)
    (folder / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(BackboneNotFoundError, match="no weights beside it"):
        CLIPSegNet(folder)


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    torch.save({"state_dict": {"module.text_encoder.transformer.x": torch.zeros(1)}}, tmp_path / "unimed.pt")
    with pytest.raises(BackboneNotFoundError, match="a file that looks like UniMedCLIP"):
        CLIPSegNet(tmp_path / "unimed.pt")


def test_decoders_that_are_none(biomed: Path, pubmed: Path, backbone: Path) -> None:
    for arguments, message in (
        ({"backbone": backbone, "decoder": backbone}, "has a decoder of its own"),
        ({"backbone": biomed, "decoder": pubmed}, "has none"),
        ({"backbone": biomed, "decoder": backbone}, "of another shape"),
    ):
        with pytest.raises(UserError, match=message):
            CLIPSegNet(**arguments)
