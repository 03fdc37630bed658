# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers that train faster on CPUs: the numbers of transformers' own, and its own code wherever they do not apply."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPSegForImageSegmentation
from transformers.models.clipseg import modeling_clipseg

from monai_vlsm.adapters import Adaptation, DenseAdaptation, FineTuning, ShallowAdaptation
from monai_vlsm.kernels import FrozenAttention, FrozenSiLUMLP, NarrowMLP
from monai_vlsm.networks import CLIPSegNet, clipseg_layers
from monai_vlsm.networks.pretrained import load_base
from tests import tiny
from tests.networks.test_clipseg import inputs

ADAPTATIONS: dict[str, Adaptation] = {
    "dense_v": DenseAdaptation("v", width=4),
    "dense_vl": DenseAdaptation("vl", width=4, condition_width=4),
    "shallow_vl": ShallowAdaptation("vl", width=6),
    "decoder": FineTuning("decoder"),
    "full": FineTuning("full"),
}
BLOCKS = {
    "EncoderAttention": modeling_clipseg.CLIPSegAttention,
    "EncoderMLP": modeling_clipseg.CLIPSegMLP,
    "DecoderMLP": modeling_clipseg.CLIPSegMLP,
    "Upsampling": nn.ConvTranspose2d,
}


@contextmanager
def as_transformers_made_them() -> Iterator[None]:
    """Layers run the forward passes of the classes that they stand in for."""
    with pytest.MonkeyPatch.context() as patch:
        for name, kind in BLOCKS.items():
            patch.setattr(getattr(clipseg_layers, name), "forward", kind.forward)
        yield


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """How often each kernel runs."""
    calls: dict[str, int] = {}

    def counting(kernel: type[torch.autograd.Function], name: str) -> Any:
        def apply(*arguments: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return kernel.apply(*arguments)

        return type(name, (), {"apply": staticmethod(apply)})

    with pytest.MonkeyPatch.context() as patch:
        for kernel in (FrozenAttention, FrozenSiLUMLP, NarrowMLP):
            patch.setattr(clipseg_layers, kernel.__name__, counting(kernel, kernel.__name__))
        yield calls


def network(backbone: Path, adaptation: Adaptation | None = None, dtype: torch.dtype = torch.float32) -> CLIPSegNet:
    torch.manual_seed(3)
    made = CLIPSegNet(backbone, adaptation=adaptation)
    for name, parameter in made.named_parameters():
        if "adapter" in name:
            nn.init.normal_(parameter, std=0.3)
    return made.train().to(dtype)


def step(net: CLIPSegNet, autocast: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the gradients of all that trains."""
    image, *tokens = inputs(2, 3)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = net(image.to(next(net.parameters()).dtype), *tokens)
    net.zero_grad()
    logits.square().mean().backward()
    return logits.detach(), {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def flat(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradients[name].double().flatten() for name in sorted(gradients)])


@pytest.mark.parametrize("adaptation", ADAPTATIONS.values(), ids=list(ADAPTATIONS))
def test_same_numbers_in_float32(backbone: Path, adaptation: Adaptation) -> None:
    net = network(backbone, adaptation)
    logits, gradients = step(net)
    with as_transformers_made_them():
        expected, expected_gradients = step(net)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    assert set(gradients) == set(expected_gradients)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], atol=1e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("adaptation", ["dense_v", "dense_vl", "shallow_vl"])
def test_bfloat16_is_as_close_to_float32_as_transformers_layers(backbone: Path, adaptation: str) -> None:
    net = network(backbone, ADAPTATIONS[adaptation])
    true_logits, true_gradients = step(net)
    logits, gradients = step(net, autocast=True)
    with as_transformers_made_them():
        plain_logits, plain_gradients = step(net, autocast=True)
    assert not torch.equal(logits, true_logits)
    assert (logits - true_logits).norm() < 1.5 * (plain_logits - true_logits).norm()
    error, plain_error = (flat(each) - flat(true_gradients) for each in (gradients, plain_gradients))
    assert error.norm() < 1.5 * plain_error.norm()


# how often each kernel runs in a step of the small network: 10 vision and 10 text layers, 3 decoder layers. The first
# layer has nothing to train before its attention; the last text layers have, since gradients go through them
@pytest.mark.parametrize(
    ("adaptation", "autocast", "expected"),
    [
        ("dense_v", False, {"FrozenSiLUMLP": 10, "NarrowMLP": 3}),
        ("dense_v", True, {"FrozenAttention": 9, "FrozenSiLUMLP": 10, "NarrowMLP": 3}),
        ("dense_vl", True, {"FrozenAttention": 18, "FrozenSiLUMLP": 20, "NarrowMLP": 3}),
        ("shallow_vl", True, {"NarrowMLP": 3}),
        ("decoder", False, {"NarrowMLP": 3}),
        ("full", False, {"NarrowMLP": 3}),
    ],
)
def test_who_runs(backbone: Path, adaptation: str, autocast: bool, expected: dict[str, int]) -> None:
    net = network(backbone, ADAPTATIONS[adaptation])
    with counted() as calls:
        step(net, autocast)
    assert calls == expected


RECORDERS: dict[str, Callable[[CLIPSegNet], Any]] = {
    "torch.jit.trace": lambda net: torch.jit.trace(net, inputs(2, 3), check_trace=False),
    "torch.compile": lambda net: torch.compile(net, backend="eager")(*inputs(2, 3)),
}


@pytest.mark.parametrize("record", RECORDERS.values(), ids=list(RECORDERS))
def test_graphs_hold_torchs_own_operations(record: Callable[[CLIPSegNet], Any], backbone: Path) -> None:
    net = network(backbone, ADAPTATIONS["dense_vl"])
    with counted() as calls:
        record(net)
    assert calls == {}


@pytest.mark.parametrize("training", [True, False])
def test_without_gradients_encoders_run_torchs_kernels(backbone: Path, training: bool) -> None:
    net = network(backbone, ADAPTATIONS["dense_vl"]).train(training)
    with counted() as calls, torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        net(*inputs(2, 3))
    assert calls == {"NarrowMLP": 3}


def test_attention_that_drops_is_transformers(backbone: Path) -> None:
    net = network(backbone, ADAPTATIONS["dense_v"])
    for layer in net.base.clip.vision_model.encoder.layers:
        layer.self_attn.dropout = 0.5
    with counted() as calls:
        step(net, autocast=True)
    assert "FrozenAttention" not in calls


def test_new_base_weights_are_noticed_between_steps(backbone: Path) -> None:
    """What is kept of frozen weights in bfloat16 must not outlive them."""
    net = network(backbone, ADAPTATIONS["dense_vl"])
    step(net, autocast=True)
    weights = {name: value + 0.1 * torch.randn_like(value) for name, value in net.base.state_dict().items()}
    fresh = network(backbone, ADAPTATIONS["dense_vl"])
    for each in (net, fresh):
        each.base.load_state_dict(weights)
    logits, gradients = step(net, autocast=True)
    expected, expected_gradients = step(fresh, autocast=True)
    # two networks at two addresses: bfloat16 rounds to 1/256; the old weights would be off by far more
    for found, wanted in ((logits, expected), (flat(gradients), flat(expected_gradients))):
        assert (found - wanted).norm() < 0.02 * wanted.norm()


def test_same_keys_classes_and_copies(backbone: Path) -> None:
    base = load_base(backbone)
    before = base.state_dict()
    clipseg_layers.exchange_layers(base)
    after = base.state_dict()
    assert list(after) == list(before)
    assert all(after[name].data_ptr() == value.data_ptr() for name, value in before.items())
    for name, module in base.named_modules():
        if name.endswith("self_attn") and "decoder" not in name:
            assert type(module) is clipseg_layers.EncoderAttention and module.config is not None
    again = copy.deepcopy(base)
    assert all(torch.equal(value, after[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize("complex_upsampling", [True, False])
@pytest.mark.parametrize("prompts", [1, 2])
def test_both_ways_of_upsampling(complex_upsampling: bool, prompts: int, tmp_path: Path) -> None:
    folder = tiny.write_backbone(tmp_path)
    made = CLIPSegForImageSegmentation(tiny.config(use_complex_transposed_convolution=complex_upsampling))
    made.save_pretrained(folder)
    net = network(folder).eval()
    kinds = [type(module).__name__ for module in net.base.decoder.modules()]
    assert kinds.count("Upsampling") == (2 if complex_upsampling else 1)
    given = inputs(2, prompts)
    with torch.no_grad():
        logits = net(*given)
        with as_transformers_made_them():
            expected = net(*given)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "convolution",
    [
        nn.ConvTranspose2d(4, 2, 3, stride=2),
        nn.ConvTranspose2d(4, 2, (2, 3), stride=(2, 3)),
        nn.ConvTranspose2d(4, 2, 2, stride=2, padding=1),
        nn.ConvTranspose2d(4, 2, 2, stride=2, groups=2),
    ],
    ids=["overlapping", "not square", "padded", "grouped"],
)
def test_other_convolutions_stay(convolution: nn.ConvTranspose2d) -> None:
    assert clipseg_layers._upsampling(convolution) is convolution


@pytest.mark.parametrize("bias", [True, False])
def test_upsampling(bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.ConvTranspose2d(4, 3, 2, stride=2, bias=bias)
    ours = clipseg_layers._upsampling(plain)
    assert type(ours) is clipseg_layers.Upsampling
    picture = torch.randn(2, 4, 5, 6)
    torch.testing.assert_close(ours(picture), plain(picture), atol=1e-6, rtol=1e-6)
    assert torch.equal(ours(picture, [10, 12]), plain(picture, [10, 12]))


@pytest.mark.parametrize("autocast", [False, True])
def test_frozen_weights_may_change_in_any_way(backbone: Path, autocast: bool) -> None:
    """Nothing of them is kept between steps: writing to ``.data`` does not count as a change for torch."""
    net = network(backbone, ADAPTATIONS["dense_vl"])
    before, _ = step(net, autocast)
    frozen = [parameter for parameter in net.base.clip.parameters() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.data.mul_(1.5)
    logits, gradients = step(net, autocast)
    expected, expected_gradients = step(copy.deepcopy(net), autocast)
    assert (logits - before).abs().max() > 0.01
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(flat(gradients), flat(expected_gradients), atol=1e-4, rtol=1e-3)
