# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Properties of CRISNet, and the weight files that it takes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.utils import eval_mode
from safetensors.torch import save_file
from torch import Tensor

from monai_vlsm.adapters import DenseAdaptation, count_parameters
from monai_vlsm.backbones import BackboneNotFoundError, load_tokenizer
from monai_vlsm.backbones.weights import WeightsFileError
from monai_vlsm.checkpoints import ModelMismatchError, TrainedState
from monai_vlsm.networks import CRISNet, NoAdaptersError
from tests.networks import tiny_cris
from tests.networks.tiny_cris import SIZE, clip_state, official_state, save_archive

BEGIN, END = 1275, 1276
Build = Callable[..., CRISNet]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    return lambda **arguments: tiny_cris.build(monkeypatch, **arguments)


@pytest.fixture
def network(build: Build) -> CRISNet:
    return build(default_prompt="brain")


def inputs(images: int = 2, prompts: int | None = None, length: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Images ``(B, 3, 64, 64)``, ids and mask ``(B, L)`` or ``(B, K, L)`` with texts of different lengths."""
    generator = torch.Generator().manual_seed(2)
    image = torch.randn(images, 3, SIZE, SIZE, generator=generator)
    rows = images * (prompts or 1)
    ids, mask = torch.full((rows, length), END), torch.zeros(rows, length, dtype=torch.int64)
    ids[:, 0] = BEGIN
    for row in range(rows):
        words = 1 + row % (length - 3)
        ids[row, 1 : 1 + words] = torch.randint(0, BEGIN, (words,), generator=generator)
        mask[row, : words + 2] = 1
    shape = (images, length) if prompts is None else (images, prompts, length)
    return image, ids.reshape(shape), mask.reshape(shape)


@pytest.mark.parametrize(("images", "prompts"), [(1, None), (3, None), (2, 1), (2, 3)])
def test_shape(network: CRISNet, images: int, prompts: int | None) -> None:
    logits = network(*inputs(images, prompts))
    assert logits.shape == (images, prompts or 1, SIZE, SIZE)
    assert logits.dtype == torch.float32


def test_another_image_size(network: CRISNet) -> None:
    _, ids, mask = inputs(1)
    assert network(torch.randn(1, 3, 96, 96), ids, mask).shape == (1, 1, 96, 96)


def test_float32_under_autocast(network: CRISNet) -> None:
    arguments = inputs(2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(*arguments)
    assert logits.dtype == torch.float32
    expected = network(*arguments)
    assert (logits - expected).norm() < 0.1 * expected.norm()


def test_prompts_of_one_image_do_not_mix(network: CRISNet) -> None:
    image, ids, mask = inputs(2, 3)
    together = network(image, ids, mask)
    for k in range(3):
        torch.testing.assert_close(network(image, ids[:, k], mask[:, k])[:, 0], together[:, k], atol=1e-5, rtol=1e-5)
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-4


def test_rows_of_prompts_share_an_image(network: CRISNet) -> None:
    image, ids, mask = inputs(2, 3)
    index = torch.tensor([0, 0, 0, 1, 1, 1])
    shared = network.forward_rows(image, ids.flatten(0, 1), mask.flatten(0, 1), image_index=index)
    expected = network(image, ids, mask)
    torch.testing.assert_close(shared.view(expected.shape), expected, atol=1e-5, rtol=1e-5)


def test_an_image_is_encoded_once(network: CRISNet) -> None:
    rows: list[int] = []
    network.visual.layer4.register_forward_hook(lambda _module, _arguments, output: rows.append(output.shape[0]))
    network(*inputs(2, 3))
    assert rows == [2]


def test_one_text_serves_all_images(network: CRISNet) -> None:
    image, ids, mask = inputs(3)
    expected = network(image, ids[:1].expand(3, -1), mask[:1].expand(3, -1))
    torch.testing.assert_close(network(image, ids[:1], mask[:1]), expected)


def test_default_prompt(network: CRISNet) -> None:
    image, _, _ = inputs(2)
    ids = torch.tensor([load_tokenizer("cris-mini")("brain").input_ids])
    assert torch.equal(network(image), network(image, ids))
    assert not any("default" in name for name in network.state_dict())


@pytest.mark.parametrize("with_mask", [False, True])
def test_padding_is_hidden(network: CRISNet, with_mask: bool) -> None:
    image, ids, mask = inputs(2)
    longer = torch.nn.functional.pad(ids, (0, 20), value=END), torch.nn.functional.pad(mask, (0, 20))
    expected = network(image, ids, mask)
    found = network(image, *longer) if with_mask else network(image, longer[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("with_mask", [False, True])
def test_padding_is_seen_where_asked(build: Build, with_mask: bool) -> None:
    network, (image, ids, mask) = build(mask_padding=False), inputs(2)
    longer = torch.nn.functional.pad(ids, (0, 20), value=END), torch.nn.functional.pad(mask, (0, 20))
    found = network(image, *longer) if with_mask else network(image, longer[0])
    assert (found - network(image, ids, mask)).abs().max() > 1e-4
    assert torch.equal(network(image, ids, mask), network(image, ids))


def test_text_is_trimmed_to_the_longest_prompt(network: CRISNet) -> None:
    image, ids, mask = inputs(2)
    lengths: list[int] = []
    network.text.register_forward_hook(lambda _m, _a, out: lengths.append(out.last_hidden_state.shape[1]))
    torch.testing.assert_close(network(image, ids, mask), network(image, ids), atol=1e-5, rtol=1e-5)
    assert lengths == [int(mask.sum(-1).max()), ids.shape[1]]


def test_all_of_it_trains(network: CRISNet) -> None:
    network.train()(*inputs(4)).square().mean().backward()
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert frozen == ["logit_scale"]
    without = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    assert set(network.trained_names) == set(network.state_dict())


def test_a_batch_of_one_image_trains(build: Build) -> None:
    network = build(dropout=0.0)
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    loss = network.train()(*inputs(1)).square().mean()
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    assert not torch.equal(before["visual.bn1.running_mean"], network.state_dict()["visual.bn1.running_mean"])
    assert not torch.equal(before["neck.txt_proj.0.weight"], network.state_dict()["neck.txt_proj.0.weight"])


def test_dropout_acts_in_training_mode_only(build: Build) -> None:
    network, arguments = build(dropout=0.5), inputs()
    assert torch.equal(network(*arguments), network(*arguments))
    network.decoder.train()
    assert not torch.equal(network(*arguments), network(*arguments))


def test_deepcopy(network: CRISNet) -> None:
    twin, arguments = copy.deepcopy(network), inputs()
    before = network(*arguments)
    torch.testing.assert_close(twin(*arguments), before, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        twin.visual.conv1.weight.add_(0.1)
    assert not torch.equal(twin(*arguments), before)
    assert torch.equal(network(*arguments), before)


@pytest.mark.parametrize("with_text", [False, True])
def test_trace(network: CRISNet, with_text: bool) -> None:
    image, ids, _ = inputs(2)
    arguments = (image, ids) if with_text else (image,)
    with eval_mode(network):
        traced = torch.jit.trace(network, arguments, check_trace=False)
        torch.testing.assert_close(traced(*arguments), network(*arguments), atol=1e-5, rtol=1e-5)
        image, ids, _ = inputs(3)  # the batch size stays free
        arguments = (image, ids) if with_text else (image,)
        torch.testing.assert_close(traced(*arguments), network(*arguments), atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def real_size() -> CRISNet:
    with torch.device("meta"):
        return CRISNet(load_weights=False)


def test_real_size(real_size: CRISNet) -> None:
    assert count_parameters(real_size) == (146_849_121, 146_849_122)  # logit_scale does not train
    assert real_size.image_size == 416
    official = official_state(real_size)
    assert len(official) == 662
    assert sum(value.numel() for value in official.values()) == 146_921_897
    features = real_size.encode_image(torch.empty(2, 3, 416, 416, device="meta"))
    assert [tuple(f.shape) for f in features] == [(2, 512, 52, 52), (2, 1024, 26, 26), (2, 1024, 13, 13)]
    text = real_size.encode_text(torch.empty(4, 9, dtype=torch.int64, device="meta"))
    assert (text.words.shape, text.sentence.shape) == ((4, 9, 512), (4, 1024))
    picture = real_size.decoder(real_size.neck(features, text.sentence), text.words, text.padding)
    assert picture.shape == (4, 512, 26, 26)
    assert real_size.proj.vis(picture).shape == (4, 256, 104, 104)


def test_real_size_group_by_group(real_size: CRISNet, shared: Path) -> None:
    """Tensors and numbers of each part, as the authors' code has them."""
    facts = json.loads((shared / "golden" / "facts_cris.json").read_text())["cris"]
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    groups: dict[str, list[int]] = {}
    for name, value in official_state(real_size).items():
        if not name.endswith(buffers):
            sizes = groups.setdefault(".".join(name.split(".")[:3]), [0, 0])
            sizes[0], sizes[1] = sizes[0] + 1, sizes[1] + value.numel()
    assert groups == {name: values[:2] for name, values in facts["groups"].items()}
    assert sum(count for count, _ in groups.values()) == facts["n_requires_grad_tensors"] == 449


def test_mini() -> None:
    network = CRISNet("cris-mini", default_prompt="brain").eval()
    assert 1e6 < count_parameters(network)[1] < 3e6
    assert network(torch.zeros(1, 3, network.image_size, network.image_size)).shape == (1, 1, 160, 160)
    assert network.text.config.vocab_size == len(load_tokenizer("cris-mini"))
    ids = network.text.config.bos_token_id, network.text.config.eos_token_id
    assert ids == (load_tokenizer("cris-mini").bos_token_id, load_tokenizer("cris-mini").eos_token_id)


def test_found_by_monai() -> None:
    parser = ConfigParser({"net": {"_target_": "monai_vlsm.networks.cris.CRISNet", "backbone": "cris-mini"}})
    assert isinstance(parser.get_parsed_content("net"), CRISNet)


# --- model.pt ---------------------------------------------------------------------------------------------------------


def test_model_file_of_the_other_padding(build: Build) -> None:
    with pytest.raises(ModelMismatchError, match=r"another mask_padding: .* trained with False .* network has True"):
        build().load_state_dict(TrainedState(build(mask_padding=False)).state_dict())


# --- weight files -----------------------------------------------------------------------------------------------------


def save(state: dict[str, Any], path: Path) -> Path:
    torch.save(state, path)
    return path


def safetensors(state: dict[str, Tensor], path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


CLIP_FILES: dict[str, Callable[[dict[str, Tensor], Path], Path]] = {
    "OpenAI's archive": lambda state, folder: save_archive(state, folder / "RN50.pt"),
    "open_clip": lambda state, folder: safetensors(state, folder / "open_clip_model.safetensors"),
    "plain": lambda state, folder: save(state, folder / "RN50.pt"),
}
CRIS_FILES: dict[str, Callable[[dict[str, Tensor], Path], Path]] = {
    "checkpoint": lambda state, folder: save({"epoch": 3, "state_dict": state}, folder / "best_model.pth"),
    "distributed": lambda state, folder: save(
        {"state_dict": {f"module.{name}": value for name, value in state.items()}}, folder / "best_model.pth"
    ),
    "safetensors": lambda state, folder: safetensors(state, folder / "cris.safetensors"),
}


def other(build: Build) -> CRISNet:
    """A network with other weights than `build` makes, all of them exact in half precision."""
    network = build()
    generator = torch.Generator().manual_seed(3)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator) + ("running_var" in name)
            value.copy_(noise.half().float())
    return network


@pytest.mark.parametrize("kind", CLIP_FILES)
def test_clip_weights(build: Build, kind: str, tmp_path: Path) -> None:
    source = other(build)
    path = CLIP_FILES[kind](clip_state(source), tmp_path)
    state, fresh, expected = build(weights=path).state_dict(), build().state_dict(), source.state_dict()
    added = {name for name in state if name.startswith(("neck.", "decoder.", "proj.", "visual.attnpool.connect."))}
    assert len(added) > 50
    for name, value in state.items():
        assert torch.equal(value, fresh[name] if name in added else expected[name]), name
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("kind", CRIS_FILES)
def test_cris_weights(build: Build, kind: str, tmp_path: Path) -> None:
    source = other(build)
    network = build(weights=CRIS_FILES[kind](official_state(source), tmp_path))
    for name, value in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


def test_weights_are_not_read_where_not_wanted(build: Build, tmp_path: Path) -> None:
    build(weights=tmp_path / "no.pt", load_weights=False)


def changed(state: dict[str, Tensor], **values: Tensor | None) -> dict[str, Tensor]:
    """With some entries replaced, or left out where None."""
    state = {**state, **{name.replace("__", "."): value for name, value in values.items() if value is not None}}
    return {name: value for name, value in state.items() if values.get(name.replace(".", "__"), value) is not None}


BAD_FILES: dict[str, tuple[Callable[[CRISNet], dict[str, Any]], str]] = {
    "CLIPSeg": (
        lambda _: {"clip.vision_model.post_layernorm.weight": torch.zeros(2)},
        r"looks like CLIPSeg in Hugging Face layout; expected CLIP's RN50 .* or CRIS",
    ),
    "CLIP ViT": (lambda _: {"visual.class_embedding": torch.zeros(2)}, "looks like a CLIP ViT in the layout of OpenAI"),
    "something else": (lambda _: {"fc.weight": torch.zeros(2)}, r"looks like unknown, first keys \['fc.weight'\]"),
    "ours": (lambda network: TrainedState(network).state_dict(), "looks like a model file of monai_vlsm"),
    "a bigger CLIP": (
        lambda network: changed(clip_state(network), visual__layer3__1__bn1__bias=torch.zeros(8)),
        r"\(a CLIP ResNet .*\): the weights .*: 0 missing \[\], 1 unexpected \['visual.layer3.1.bn1.bias'\]",
    ),
    "a wider CLIP": (
        lambda network: changed(clip_state(network), visual__conv1__weight=torch.zeros(4, 3, 3, 3)),
        r"1 of another shape \['visual.conv1.weight must be \(2, 3, 3, 3\), is \(4, 3, 3, 3\)'\]",
    ),
    "CLIP without text": (
        lambda network: changed(clip_state(network), ln_final__bias=None),
        r"1 missing \['text.text_model.final_layer_norm.bias'\]",
    ),
    "CRIS without a part of its neck": (
        lambda network: changed(official_state(network), neck__aggr__0__weight=None),
        r"\(CRIS\): the weights .* 1 missing \['neck.aggr.0.weight'\]",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_wrong_weights(build: Build, case: str, tmp_path: Path) -> None:
    make, message = BAD_FILES[case]
    path = save(make(build()), tmp_path / "weights.pt")
    with pytest.raises(WeightsFileError, match=message) as caught:
        build(weights=path)
    assert str(path) in str(caught.value)


def test_no_weights() -> None:
    with pytest.raises(BackboneNotFoundError, match=r"RN50\.pt") as caught:
        CRISNet()
    message = str(caught.value)
    assert len(message.splitlines()) <= 8
    assert all(part in message for part in ("--weights PATH", "open_clip", "checkpoint of CRIS", "cris-mini"))


# --- bad input --------------------------------------------------------------------------------------------------------


def test_adapters_are_refused() -> None:
    with pytest.raises(NoAdaptersError, match=r"CRIS trains from end to end and has no places .* CLIPSegNet"):
        CRISNet("cris-mini", adaptation=DenseAdaptation("vl"))


def test_unknown_backbone() -> None:
    with pytest.raises(BackboneNotFoundError, match=r"unknown backbone 'rn50' .* cris-mini, cris-rn50"):
        CRISNet("rn50")


@pytest.mark.parametrize("size", [16, 100])
def test_bad_image_size(size: int) -> None:
    nearest = "32 and 64" if size < 32 else "96 and 128"
    with pytest.raises(ValueError, match=f"multiple of 32 .* got {size}; the nearest are {nearest}"):
        CRISNet("cris-mini", image_size=size)


BAD_INPUTS = [
    ((2, 1, 64, 64), (2, 9), r"image must be .* got \(2, 1, 64, 64\)"),
    ((2, 3, 64, 96), (2, 9), r"H = W .* got \(2, 3, 64, 96\)"),
    ((2, 3, 72, 72), (2, 9), "multiple of 32 .* got 72; the nearest are 64 and 96"),
    ((3, 3, 64, 64), (2, 9), r"input_ids must be .* B = 3 images, got \(2, 9\)"),
    ((2, 3, 64, 64), (2, 78), "a text of 78 tokens is longer than the 77 positions"),
]


@pytest.mark.parametrize(("image", "ids", "message"), BAD_INPUTS)
def test_bad_input(network: CRISNet, image: tuple[int, ...], ids: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(image), torch.zeros(ids, dtype=torch.int64))
