# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Prompts encoded once: the same masks, the same gradients, fewer passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from monai_vlsm.adapters import Adaptation, DenseAdaptation, FineTuning, ShallowAdaptation
from monai_vlsm.caches import CacheSettingError, DistinctPrompts, PromptCache, inference_prompts, prompt_encoding
from monai_vlsm.inferers import PromptInferer
from monai_vlsm.networks import CLIPSegNet, CRISNet, NotFrozenError, SANNet, TargetUNet
from tests import tiny

SIZE = 32
TEXTS = ["left brain", "one small red polyp", "left brain", "polyp", "polyp", "left brain"]
KINDS: dict[str, Adaptation] = {
    "dense v": DenseAdaptation("v", width=4, condition_width=4),
    "dense vl": DenseAdaptation("vl", width=4),
    "shallow vl": ShallowAdaptation("vl", width=4, condition_width=4),
    "decoder": FineTuning("decoder"),
}


def build(kind: str, backbone: Path) -> CLIPSegNet:
    torch.manual_seed(0)
    return CLIPSegNet(backbone, KINDS[kind], image_size=SIZE)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    tokenizer = tiny.tokenizer(tmp_path_factory.mktemp("tokenizer"))
    found = tokenizer(TEXTS, padding="max_length", max_length=20, return_tensors="pt")
    return {"input_ids": found.input_ids, "attention_mask": found.attention_mask}


def shaped(tokens: dict[str, Tensor], shape: tuple[int, ...]) -> tuple[dict[str, Tensor], Tensor]:
    """Tokens ``(B, L)`` or ``(B, K, L)`` and B images."""
    rows = int(torch.Size(shape).numel())
    images = torch.rand(6 if shape == (1,) else shape[0], 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return {key: value[:rows].view(*shape, -1) for key, value in tokens.items()}, images


def gradients(network: CLIPSegNet, logits: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    logits.square().mean().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("kind", "how"),
    [(kind, "batch") for kind in KINDS] + [(kind, "run") for kind in ("dense v", "shallow vl", "decoder")],
)
def test_same_masks_and_gradients(kind: str, how: str, tokens: dict[str, Tensor], backbone: Path) -> None:
    network = build(kind, backbone)
    for shape in [(6,), (2, 3), (1,), (3, 2), (1, 4)]:
        own, images = shaped(tokens, shape)
        expected = PromptInferer(cpu_autocast=False)(images, network, **own)
        wanted = gradients(network, expected)
        inferer = PromptInferer(cpu_autocast=False, prompts=prompt_encoding(how, network))
        for _ in range(2):
            found = inferer(images, network, **own)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
            got = gradients(network, found)
            assert got.keys() == wanted.keys()
            for name, value in wanted.items():
                torch.testing.assert_close(got[name], value, atol=1e-6, rtol=1e-3)


def passes(network: CLIPSegNet) -> list[int]:
    """Fills with the number of rows of each pass through the text encoder."""
    rows: list[int] = []
    layer = network.base.clip.text_model.embeddings
    layer.register_forward_hook(lambda _module, _args, output: rows.append(len(output)))
    return rows


@pytest.mark.parametrize(("how", "expected"), [("off", [6, 6]), ("batch", [3, 3]), ("run", [1, 1, 1])])
def test_passes(how: str, expected: list[int], tokens: dict[str, Tensor], backbone: Path) -> None:
    network = build("dense v", backbone)
    rows, images = passes(network), torch.rand(6, 3, SIZE, SIZE)
    inferer = PromptInferer(cpu_autocast=False, prompts=prompt_encoding(how, network))
    for _ in range(2):
        inferer(images, network, **tokens)
    assert rows == expected


@pytest.mark.parametrize("kind", ["dense vl", "shallow vl"])
def test_inference_encodes_other_prompts_only(kind: str, tokens: dict[str, Tensor], backbone: Path) -> None:
    """Also with adapters in the text encoder; batches of any size go on from what is there."""
    network, other = build(kind, backbone).eval(), build(kind, backbone).eval()
    rows, inferer = passes(network), PromptInferer(cpu_autocast=False, prompts=inference_prompts("run", network))
    with torch.no_grad():
        for shape in [(1, 3), (1, 3), (6,), (1, 3)]:
            own, images = shaped(tokens, shape)
            expected = PromptInferer(cpu_autocast=False)(images, other, **own)
            torch.testing.assert_close(inferer(images, network, **own), expected, atol=1e-5, rtol=1e-5)
    assert rows == [2, 3, 2]


def test_slices_of_a_volume(tokens: dict[str, Tensor], backbone: Path) -> None:
    network = build("dense v", backbone)
    volume = torch.rand(1, 3, SIZE, SIZE, 5)
    own = {key: value[None, :2] for key, value in tokens.items()}
    cache = PromptCache(network)
    with torch.no_grad():
        expected = PromptInferer(cpu_autocast=False, slice_batch=2)(volume, network, **own)
        found = PromptInferer(cpu_autocast=False, slice_batch=2, prompts=cache)(volume, network, **own)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert len(cache) == 2


def test_numbers_do_not_depend_on_the_company(tokens: dict[str, Tensor], backbone: Path) -> None:
    network = build("shallow vl", backbone)
    first, second = PromptCache(network), PromptCache(network)
    one = {key: value[1:2] for key, value in tokens.items()}
    alone, among = first(one, 1), second(tokens, 6)
    row = among["prompt_index"][1, 0]
    for part, parts in zip(alone["frozen_text"], among["frozen_text"], strict=True):
        assert torch.equal(part[0], parts[row])


def test_precisions_are_kept_apart(tokens: dict[str, Tensor], backbone: Path) -> None:
    cache = PromptCache(build("dense v", backbone))
    cache(tokens, 6)
    with torch.autocast("cpu", torch.bfloat16):
        kept = cache(tokens, 6)
    assert kept["frozen_text"][0].dtype == torch.bfloat16
    assert len(cache) == 6
    assert cache(tokens, 6)["frozen_text"][0].dtype == torch.float32


@pytest.mark.parametrize(
    "network",
    [lambda: CRISNet("cris-mini", image_size=64), lambda: SANNet("san-mini", image_size=64)],
    ids=["cris", "san"],
)
def test_distinct_prompts_with_other_networks(network: Any) -> None:
    torch.manual_seed(0)
    built = network().eval()
    ids = built.default_input_ids.expand(4, -1)
    images = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        found = PromptInferer(cpu_autocast=False, prompts=DistinctPrompts())(images, built, ids)
        torch.testing.assert_close(found, built(images, ids), atol=1e-4, rtol=1e-4)


def test_without_tokens_the_default_prompt_serves(backbone: Path) -> None:
    network = build("dense v", backbone)
    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        found = PromptInferer(cpu_autocast=False, prompts=PromptCache(network))(images, network)
        assert torch.equal(found, network(images))


def test_refusals(backbone: Path) -> None:
    with pytest.raises(NotFrozenError, match=r"text encoder cannot be kept.*DenseAdaptation.*'batch'"):
        PromptCache(build("dense vl", backbone))
    with pytest.raises(NotFrozenError, match="TargetUNet"):
        prompt_encoding("run", TargetUNet("unet-mini", image_size=64))
    with pytest.raises(CacheSettingError, match="'off', 'batch' or 'run', got 'never'"):
        prompt_encoding("never", build("dense v", backbone))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image": torch.rand(2, 3, 32, 32), "frozen_text": [torch.rand(2, 8)]}, "prompt_index"),
        ({"image": torch.rand(2, 3, 32, 32), "prompt_index": torch.zeros(2, dtype=torch.long)}, r"\(B, K\) for B = 2"),
        ({"image": torch.rand(2, 3, 32, 32), "prompt_index": torch.zeros(3, 1, dtype=torch.long)}, r"got \(3, 1\)"),
    ],
)
def test_wrong_arguments_of_the_network(arguments: dict[str, Any], words: str, backbone: Path) -> None:
    with pytest.raises(ValueError, match=words):
        build("dense v", backbone).forward_rows(**arguments)


def test_other_networks_say_what_they_cannot() -> None:
    network = TargetUNet("unet-mini", image_size=64)
    assert network.frozen_encoders == frozenset()
    for call in (
        lambda: network.encode_frozen_image(torch.rand(1, 3, 64, 64)),
        lambda: network.finish_image(torch.rand(1, 3, 5, 4)),
        lambda: network.encode_frozen_text(network.default_input_ids),
        lambda: network.finish_text([torch.rand(1, 4)]),
        lambda: network.frozen_settings("vision"),
    ):
        with pytest.raises(NotFrozenError, match="TargetUNet"):
            call()
