# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Properties of SANNet."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.utils import eval_mode

from monai_vlsm.adapters import DenseAdaptation, count_parameters
from monai_vlsm.backbones import default_image_size, known_backbones
from monai_vlsm.checkpoints import ModelMismatchError, TrainedState
from monai_vlsm.networks import NoAdaptersError, SANNet
from monai_vlsm.networks.san import SANFeatures
from tests import tiny
from tests.networks.tiny_san import SIZE, inputs, shrink_side

POSITIONS = "clip.vision_model.embeddings.position_embedding.weight"
WITHOUT_GRADIENT = ("proposals.attn_mlp.", "proposals.bias_scaling.", "side.fusion_layers.3.")

both = pytest.mark.parametrize("network", ["san", "official"], indirect=True)


@pytest.fixture
def small_side(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_side(monkeypatch)


@pytest.fixture(scope="module")
def built(backbone: Path) -> dict[str, SANNet]:
    torch.manual_seed(1)
    arguments: dict[str, Any] = {"image_size": SIZE, "default_prompt": "one polyp"}
    with pytest.MonkeyPatch.context() as patch:
        shrink_side(patch)
        return {fusion: SANNet(backbone, fusion=fusion, **arguments).eval() for fusion in ("san", "official")}


@pytest.fixture
def network(request: pytest.FixtureRequest, built: dict[str, SANNet]) -> SANNet:
    return copy.deepcopy(built[getattr(request, "param", "san")])


@both
@pytest.mark.parametrize(("images", "prompts"), [(1, None), (3, None), (2, 1), (2, 3)])
def test_shape(network: SANNet, images: int, prompts: int | None) -> None:
    logits = network(*inputs(images, prompts))
    assert logits.shape == (images, prompts or 1, SIZE, SIZE)
    assert logits.dtype == torch.float32


def test_another_image_size(network: SANNet) -> None:
    _, ids, mask = inputs(1)
    assert network(torch.randn(1, 3, 96, 96), ids, mask).shape == (1, 1, 96, 96)


@both
def test_float32_under_autocast(network: SANNet) -> None:
    arguments = inputs(2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(*arguments)
    assert logits.dtype == torch.float32
    expected = network(*arguments)
    assert (logits - expected).norm() < 0.1 * expected.norm()


@both
def test_prompts_of_one_image_do_not_mix(network: SANNet) -> None:
    image, ids, mask = inputs(2, 3)
    together = network(image, ids, mask)
    for k in range(3):
        torch.testing.assert_close(network(image, ids[:, k], mask[:, k])[:, 0], together[:, k], atol=1e-5, rtol=1e-5)
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-5


@both
def test_rows_of_prompts_share_an_image(network: SANNet) -> None:
    image, ids, mask = inputs(2, 3)
    index = torch.tensor([0, 0, 0, 1, 1, 1])
    shared = network.forward_rows(image, ids.flatten(0, 1), mask.flatten(0, 1), image_index=index)
    expected = network(image, ids, mask)
    torch.testing.assert_close(shared.view(expected.shape), expected, atol=1e-5, rtol=1e-5)


def test_one_text_serves_all_images(network: SANNet) -> None:
    image, ids, mask = inputs(3)
    expected = network(image, ids[:1].expand(3, -1), mask[:1].expand(3, -1))
    torch.testing.assert_close(network(image, ids[:1], mask[:1]), expected)


def test_default_prompt(network: SANNet, backbone: Path) -> None:
    image, _, _ = inputs(2)
    ids = torch.tensor([tiny.tokenizer(backbone)("one polyp").input_ids])
    assert torch.equal(network(image), network(image, ids))
    assert not any("default" in name for name in network.state_dict())


def test_everything_about_an_image_runs_once(network: SANNet) -> None:
    rows: Counter[str] = Counter()
    parts = {f"clip {i}": layer for i, layer in enumerate(network.clip.vision_model.encoder.layers)}
    parts |= {f"side {i}": block for i, block in enumerate(network.side.blocks)}
    for name, part in parts.items():
        part.register_forward_pre_hook(lambda _, tokens, name=name: rows.update({name: tokens[0].shape[0]}))
    network.train()(*inputs(2, 3))
    assert rows == dict.fromkeys(parts, 2)
    assert len(parts) == 12 + 8


def test_text_is_trimmed_to_the_longest_prompt(network: SANNet) -> None:
    image, ids, mask = inputs(2, length=9)
    end = tiny.config().text_config.eos_token_id
    padded = torch.nn.functional.pad(ids, (0, 80), value=end), torch.nn.functional.pad(mask, (0, 80))
    lengths: list[int] = []
    network.clip.text_model.embeddings.register_forward_hook(lambda _m, _a, out: lengths.append(out.shape[1]))
    torch.testing.assert_close(network(image, *padded), network(image, ids), atol=1e-5, rtol=1e-5)
    assert lengths == [int(mask.sum(-1).max()), 9]


# --- decoding ---------------------------------------------------------------------------------------------------------


def test_logits_are_a_mean_of_proposals(network: SANNet) -> None:
    """Equal fit: the plain mean. A proposal that fits far better than the others: its mask alone."""
    masks = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(5))
    text = torch.nn.functional.one_hot(torch.tensor([0, 5]), 8).float()
    seen = torch.nn.functional.one_hot(torch.tensor([[0, 1, 2]]), 8).float()
    torch.nn.init.constant_(network.clip.logit_scale, 4.6)  # CLIP's own: a factor of 100
    enlarged = torch.nn.functional.interpolate(masks, size=(64, 64), mode="bilinear", align_corners=False)
    expected = torch.stack([enlarged[0, 0], enlarged[0].mean(0)])[None]
    torch.testing.assert_close(network.decode(SANFeatures(masks, seen), text), expected)


def test_only_the_directions_of_embeddings_count(network: SANNet) -> None:
    generator = torch.Generator().manual_seed(5)
    masks, seen = torch.randn(2, 3, 4, 4, generator=generator), torch.randn(2, 3, 8, generator=generator)
    text = torch.randn(4, 8, generator=generator)
    expected = network.decode(SANFeatures(masks, seen), text)
    torch.testing.assert_close(network.decode(SANFeatures(masks, 7 * seen), 3 * text), expected)


def test_official_logits_are_a_sum_of_products() -> None:
    masks = torch.arange(3.0).reshape(1, 3, 1, 1).expand(-1, -1, 4, 4)
    seen, text = 5 * torch.eye(3)[None], torch.tensor([[3.0, 6.0, 9.0]])
    with torch.device("meta"):
        network = SANNet(fusion="official", load_weights=False)
    logits = network.decode(SANFeatures(masks, seen), text)
    torch.testing.assert_close(logits, torch.full((1, 1, 64, 64), (0 * 3 + 1 * 6 + 2 * 9) / 3))


# --- what trains ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "frozen"), [("san", ()), ("official", WITHOUT_GRADIENT)], indirect=["network"])
def test_gradients(network: SANNet, frozen: tuple[str, ...]) -> None:
    network.train()(*inputs(2, 2)).square().mean().backward()
    with_gradient = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    expected = {name for name in network.trained_names if not name.startswith(frozen or "nothing")}
    assert with_gradient == expected
    assert (POSITIONS in with_gradient) == (not frozen)
    assert all(name == POSITIONS or name.startswith(("side.", "proposals.")) for name in network.trained_names)


@pytest.mark.usefixtures("small_side")
def test_the_frozen_part_keeps_no_graph_where_nothing_trains_before_it(backbone: Path) -> None:
    network = SANNet(backbone, image_size=SIZE, fusion="official")
    features = network.encode_image(inputs()[0])
    assert features.masks.requires_grad
    assert not features.embeddings.requires_grad
    assert not network.encode_text(inputs()[1]).requires_grad


@both
def test_deepcopy(network: SANNet) -> None:
    twin, arguments = copy.deepcopy(network), inputs()
    before = network(*arguments)
    torch.testing.assert_close(twin(*arguments), before, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if name in twin.trained_names:
                parameter.add_(0.1)
    assert not torch.equal(twin(*arguments), before)
    assert torch.equal(network(*arguments), before)


@pytest.mark.usefixtures("small_side")
def test_model_file_fits_another_image_size(backbone: Path, network: SANNet) -> None:
    network.load_state_dict(TrainedState(SANNet(backbone, image_size=96)).state_dict())


@pytest.mark.usefixtures("small_side")
def test_model_file_of_the_other_fusion(backbone: Path, network: SANNet) -> None:
    file = TrainedState(SANNet(backbone, image_size=SIZE, fusion="official")).state_dict()
    with pytest.raises(ModelMismatchError, match=r"another fusion: .* trained with official .* network has san"):
        network.load_state_dict(file)


@pytest.mark.parametrize("with_text", [False, True])
def test_trace(network: SANNet, with_text: bool) -> None:
    image, ids, _ = inputs(2)
    arguments = (image, ids) if with_text else (image,)
    with eval_mode(network):
        traced = torch.jit.trace(network, arguments, check_trace=False)
        torch.testing.assert_close(traced(*arguments), network(*arguments), atol=1e-5, rtol=1e-5)
        image, ids, _ = inputs(3)  # the batch size stays free
        arguments = (image, ids) if with_text else (image,)
        torch.testing.assert_close(traced(*arguments), network(*arguments), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("fusion", "trainable"), [("san", 8_219_058 + 151_296), ("official", 8_219_058)])
def test_real_size(fusion: Any, trainable: int) -> None:
    with torch.device("meta"):
        network = SANNet(fusion=fusion, load_weights=False)
        features = network.encode_image(torch.empty(2, 3, 640, 640))
    assert count_parameters(network) == (trainable, 157_839_795)
    assert (network.image_size, network.stride) == (640, 32)
    assert features.masks.shape == (2, 100, 40, 40)
    assert features.embeddings.shape == (2, 100, 512)


def test_real_size_group_by_group(shared: Path) -> None:
    """Numbers in each part, as the authors' code has them."""
    groups = json.loads((shared / "golden" / "facts_san.json").read_text())["san"]["groups"]
    theirs = {name.removeprefix("side_adapter_network."): values[1] for name, values in groups.items()}
    with torch.device("meta"):
        network = SANNet(load_weights=False)
    ours: Counter[str] = Counter()
    for name, parameter in network.named_parameters():
        if not name.startswith("clip."):
            ours[".".join(name.split(".")[:2])] += parameter.numel()
    assert ours == {
        "side.queries": theirs["query_embed"],
        "side.query_positions": theirs["query_pos_embed"],
        "side.embed": theirs["vit_model.pos_embed"] + theirs["vit_model.patch_embed"],
        "side.blocks": theirs["vit_model.blocks"],
        "side.fusion_layers": sum(theirs[f"fusion_layers.layer_{layer}"] for layer in (0, 3, 6, 9)),
        "proposals.query_mlp": theirs["mask_decoder.query_mlp"],
        "proposals.pixel_mlp": theirs["mask_decoder.pix_mlp"],
        "proposals.attn_mlp": theirs["mask_decoder.attn_mlp"],
        "proposals.bias_scaling": theirs["mask_decoder.bias_scaling"],
    }


def test_mini() -> None:
    network = SANNet("san-mini", default_prompt="brain").eval()
    assert (network.image_size, network.stride) == (160, 32)
    assert network(torch.zeros(1, 3, 160, 160)).shape == (1, 1, 160, 160)
    assert network.encode_image(torch.zeros(1, 3, 160, 160)).masks.shape == (1, 20, 20, 20)
    assert network.clip.logit_scale.exp().item() == pytest.approx(100)
    assert "clip.visual_projection.weight" in network.trained_names
    assert count_parameters(network)[0] < 500_000


def test_names() -> None:
    assert known_backbones("san") == ["san-mini", "san-vit-b16"]
    assert default_image_size("san-vit-b16") == 640


@pytest.mark.usefixtures("small_side")
@pytest.mark.parametrize("target", ["monai_vlsm.networks.SANNet", "SANNet"])
def test_found_by_monai(target: str, backbone: Path) -> None:
    import monai_vlsm  # noqa: F401  short names resolve once it is imported

    parser = ConfigParser({"network_def": {"_target_": target, "backbone": str(backbone)}})
    assert isinstance(parser.get_parsed_content("network_def"), SANNet)


# --- bad input --------------------------------------------------------------------------------------------------------


def test_adapters_are_refused(backbone: Path) -> None:
    with pytest.raises(NoAdaptersError, match=r"own side adapter and takes no adaptation, .* take CLIPSegNet"):
        SANNet(backbone, adaptation=DenseAdaptation("v"))


def test_unknown_fusion(backbone: Path) -> None:
    with pytest.raises(ValueError, match="fusion must be one of san, official, got 'paper'"):
        SANNet(backbone, fusion="paper")  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "nearest"), [(650, "640 and 672"), (16, "32 and 64"), (655, "640 and 672")])
def test_bad_image_size(size: int, nearest: str, backbone: Path, network: SANNet) -> None:
    with pytest.raises(ValueError, match=f"multiple of 32 .* got {size}; the nearest are {nearest}"):
        SANNet(backbone, image_size=size)
    with pytest.raises(ValueError, match=f"got {size}; the nearest are {nearest}"):
        network(torch.zeros(1, 3, size, size))


def test_stride_follows_clips_patches(tmp_path: Path) -> None:
    config = tiny.config()
    config.vision_config.patch_size, config.vision_config.image_size = 14, 28
    config.save_pretrained(tmp_path)
    tiny.write_tokenizer(tmp_path)
    with pytest.raises(ValueError, match=r"multiple of 112 .* got 640; the nearest are 560 and 672"):
        SANNet(tmp_path, image_size=640, load_weights=False)


def test_text_longer_than_the_context(network: SANNet) -> None:
    with pytest.raises(ValueError, match="a text of 78 tokens is longer than the 77 positions"):
        network(torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, 78, dtype=torch.int64))


BAD_INPUTS = [
    ((2, 1, 64, 64), (2, 9), r"image must be .* got \(2, 1, 64, 64\)"),
    ((2, 3, 64, 96), (2, 9), r"H = W .* got \(2, 3, 64, 96\)"),
    ((0, 3, 64, 64), (1, 9), r"B > 0, got \(0, 3, 64, 64\)"),
    ((3, 3, 64, 64), (2, 9), r"input_ids must be .* B = 3 images, got \(2, 9\)"),
    ((2, 3, 64, 64), (9,), r"input_ids must be .* got \(9,\)"),
]


@pytest.mark.parametrize(("image", "ids", "message"), BAD_INPUTS)
def test_bad_input(network: SANNet, image: tuple[int, ...], ids: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(image), torch.zeros(ids, dtype=torch.int64))
