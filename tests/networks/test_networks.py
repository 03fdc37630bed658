# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What holds for every network; a new network, or adaptation, is a new row of `tiny_networks.KINDS`."""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from torch import Tensor, nn
from torch.testing import assert_close

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, TrainedState
from monai_vlsm.networks import CLIPSegNet, NoAdaptersError, PromptedNet
from tests.networks.tiny_networks import ADAPTATIONS, KINDS, build, inputs, slow_beside

# whose parts others have too; slow where all kinds are asked
BESIDE = {
    "dense_v",
    "shallow_v",
    "shallow_vl",
    "telescopic",
    "prompts",
    "adaptformer",
    "decoder",
    "pubmed",
    "san_official",
}
QUICK = [kind for kind in KINDS if kind not in BESIDE]
READERS = [kind for kind in KINDS if KINDS[kind].text_embedding]
TRAINED = [kind for kind in KINDS if kind != "none"]
CLASSES = ["dense_vl", "cris", "san", "unet"]  # one of each
TRACED = [("unet", True)]  # a trace takes seconds; tests/export has others, quick ones too

of_each_class = pytest.mark.parametrize("kind", CLASSES)


@pytest.fixture(scope="module")
def built(backbone: Path) -> Callable[[str], PromptedNet]:
    return cache(lambda kind: build(kind, backbone))


@pytest.fixture(params=slow_beside(QUICK, KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """All kinds, where a test names no others."""
    return str(request.param)


@pytest.fixture
def network(kind: str, built: Callable[[str], PromptedNet]) -> PromptedNet:
    """A network that all tests share; those that do not leave theirs as it was take `own`."""
    return built(kind)


@pytest.fixture
def own(network: PromptedNet) -> PromptedNet:
    """A copy, to train or to change."""
    return copy.deepcopy(network)


def close(found: Tensor, expected: Tensor) -> None:
    assert_close(found, expected, atol=1e-5, rtol=1e-5)


def shift_trained(network: PromptedNet, by: float) -> None:
    """Change all that trains, or all weights where nothing does."""
    names = network.trained_names or tuple(network.state_dict())
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name in names and value.is_floating_point():
                value.add_(by)


@of_each_class
def test_forward_has_the_arguments_of_the_design(network: PromptedNet) -> None:
    assert list(inspect.signature(network.forward).parameters) == ["image", "input_ids", "attention_mask"]


@pytest.mark.parametrize(("images", "prompts"), [(1, None), (3, None), (2, 1), (2, 3)])
def test_shape(network: PromptedNet, images: int, prompts: int | None) -> None:
    logits = network(*inputs(network, images, prompts))
    assert logits.shape == (images, prompts or 1, network.image_size, network.image_size)
    assert logits.dtype == torch.float32


def test_another_image_size(network: PromptedNet) -> None:
    size = network.image_size + network.stride
    _, ids, mask = inputs(network, 1)
    assert network(torch.randn(1, 3, size, size), ids, mask).shape == (1, 1, size, size)


@pytest.mark.slow
@of_each_class
def test_compiles_with_free_sizes(own: PromptedNet) -> None:
    """As after another network was compiled in the same process, when no size counts as fixed any more."""
    torch.compiler.reset()
    arguments = inputs(own, 2, 3)
    compiled: Any = torch.compile(own, backend="eager", dynamic=True)
    close(compiled(*arguments), own(*arguments))


def test_prompts_of_one_image_do_not_mix(network: PromptedNet) -> None:
    image, ids, mask = inputs(network, 2, 3)
    together = network(image, ids, mask)
    for k in range(3):
        close(network(image, ids[:, k], mask[:, k])[:, 0], together[:, k])
    assert (together[:, 0] - together[:, 1]).abs().max() > 2e-5


def count_rows(rows: Counter[tuple[int, int]], number: int, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    rows[number, arguments[0].shape[0]] += 1


def test_an_image_is_encoded_once(kind: str, network: PromptedNet) -> None:
    image, ids, mask = inputs(network, 2, 3)
    rows: Counter[tuple[int, int]] = Counter()
    parts = KINDS[kind].image_parts(network)
    once = {(number, 2): 1 for number in range(len(parts))}
    with ExitStack() as hooks:
        for number, part in enumerate(parts):
            count = partial(count_rows, rows, number)
            hooks.enter_context(part.register_forward_pre_hook(count))
        together = network(image, ids, mask)
        assert rows == once
        rows.clear()
        index = torch.tensor([0, 0, 0, 1, 1, 1])
        alone = network.forward_rows(image, ids.flatten(0, 1), mask.flatten(0, 1), image_index=index)
        assert rows == once
    close(alone.view(together.shape), together)


def test_one_text_serves_all_images(network: PromptedNet) -> None:
    image, ids, mask = inputs(network, 3)
    expected = network(image, ids[:1].expand(3, -1), mask[:1].expand(3, -1))
    assert_close(network(image, ids[:1], mask[:1]), expected)


def test_default_prompt(network: PromptedNet) -> None:
    image, _, _ = inputs(network)
    ids = torch.tensor([load_tokenizer(network.backbone)(network.default_prompt).input_ids])
    assert torch.equal(network(image), network(image, ids))
    assert not any("default" in name for name in network.state_dict())


@pytest.mark.parametrize("kind", slow_beside(QUICK, READERS))
def test_text_is_trimmed_to_the_longest_prompt(kind: str, network: PromptedNet) -> None:
    image, ids, mask = inputs(network)
    ids, mask = torch.nn.functional.pad(ids, (0, 68), value=int(ids[0, -1])), torch.nn.functional.pad(mask, (0, 68))
    lengths: list[int] = []
    words = network.get_submodule(KINDS[kind].text_embedding or "")
    with words.register_forward_hook(lambda _module, _arguments, output: lengths.append(output.shape[1])):
        close(network(image, ids, mask), network(image, ids))
    assert lengths == [int(mask.sum(-1).max()), 77]  # without a mask all columns


def test_float32_under_autocast(network: PromptedNet) -> None:
    arguments = inputs(network, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(*arguments)
    assert logits.dtype == torch.float32
    expected = network(*arguments)
    assert (logits - expected).norm() < 0.1 * expected.norm()


def test_float64(network: PromptedNet) -> None:
    image, ids, mask = inputs(network, 2, 3)
    expected = network(image, ids, mask)
    try:
        logits = network.double()(image.double(), ids, mask)
    finally:
        network.float()  # which gives the same values again
    assert logits.dtype == torch.float64
    assert_close(logits, expected.double(), atol=1e-4, rtol=1e-4)


def test_deepcopy_uses_its_own_weights(network: PromptedNet) -> None:
    twin, arguments = copy.deepcopy(network), inputs(network)
    before = network(*arguments)
    assert_close(twin(*arguments), before, atol=1e-6, rtol=1e-5)
    shift_trained(twin, 0.1)
    assert not torch.equal(twin(*arguments), before)
    assert torch.equal(network(*arguments), before)


@pytest.mark.parametrize(
    ("kind", "with_text"),
    slow_beside(TRACED, [(kind, text) for kind in KINDS for text in (False, True)]),
)
def test_trace(network: PromptedNet, with_text: bool) -> None:
    arguments = inputs(network)[: 1 + with_text]
    traced = torch.jit.trace(network, arguments, check_trace=False)
    close(traced(*arguments), network(*arguments))
    arguments = inputs(network, 3)[: 1 + with_text]  # the batch size stays free
    close(traced(*arguments), network(*arguments))


def gradients(network: PromptedNet) -> set[str]:
    """Names of the parameters with a gradient that is not zero."""
    return {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}


@pytest.mark.parametrize("kind", slow_beside(QUICK, TRAINED))
def test_gradients_where_it_trains_only(kind: str, own: PromptedNet) -> None:
    """On images as MONAI's loaders hand them to a trainer of one's own; Invertd needs their meta behind the network."""
    if kind in ("adaptformer", "cross_modal"):  # nothing reaches what is in front of a layer that begins at zero
        shift_trained(own, 0.1)
    image, *tokens = inputs(own, 4)
    found = own.train()(MetaTensor(image, meta={"filename_or_obj": [*"abcd"]}), *tokens)
    assert isinstance(found, MetaTensor) and found.meta["filename_or_obj"] == [*"abcd"]
    found.square().mean().backward()
    trains = {name for name, p in own.named_parameters() if p.requires_grad}
    assert gradients(own) <= trains <= set(own.trained_names)
    idle = {name for name in trains if name.startswith(KINDS[kind].idle or "nothing")}
    assert not gradients(own) & idle
    without = trains - gradients(own) - idle
    # a ReLU of a width of 4 may be off for all tokens; a whole block without gradient would be a fault
    assert len(without) < (0.2 * len(trains) if kind in ADAPTATIONS else 1), without


def test_meta_tensors_give_what_tensors_give(network: PromptedNet) -> None:
    image, *tokens = inputs(network)
    assert_close(network(MetaTensor(image), *tokens).as_tensor(), network(image, *tokens), atol=1e-6, rtol=1e-5)


@of_each_class
def test_meta_tensors_of_images_that_rows_share(network: PromptedNet) -> None:
    image, ids, mask = inputs(network, 3)
    index = torch.tensor([0, 1, 1])
    found = network.forward_rows(MetaTensor(image[:2]), ids, mask, image_index=index)
    close(found, network(image[:2][index], ids, mask))
    assert not isinstance(found, MetaTensor)


def test_model_file_holds_what_trains(kind: str, own: PromptedNet, backbone: Path) -> None:
    own.train()(*inputs(own, 3))  # moves running statistics
    if own.trained_names:
        shift_trained(own, 0.01)
    state = TrainedState(own).state_dict()
    assert set(state) == {SETTINGS_KEY, *own.trained_names}
    fresh, arguments = build(kind, backbone), inputs(own, 3)
    if own.trained_names:
        assert not torch.equal(fresh(*arguments), own.eval()(*arguments))
    fresh.load_state_dict(state)
    assert_close(fresh(*arguments), own.eval()(*arguments), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "own", "other", "facts"),
    [
        ("cris", {}, {"mask_padding": False}, ("mask_padding", "False", "True")),
        ("san", {}, {"fusion": "official"}, ("fusion", "official", "san")),
        ("unet", {}, {"targets": ["brain", "polyp", "red"]}, ("targets", "red", "tumor")),
    ],
)
def test_model_file_of_other_settings(
    kind: str, own: dict[str, object], other: dict[str, object], facts: tuple[str, ...], backbone: Path
) -> None:
    state = TrainedState(build(kind, backbone, **other)).state_dict()
    with pytest.raises(ModelMismatchError) as caught:
        build(kind, backbone, **own).load_state_dict(state)
    assert all(fact in str(caught.value) for fact in facts)


@of_each_class
def test_found_by_monai(network: PromptedNet) -> None:
    name = type(network).__name__
    arguments = {"backbone": network.backbone, "image_size": 2 * network.stride}
    parser = ConfigParser({"network_def": {"_target_": name, **arguments}})
    assert type(parser.get_parsed_content("network_def")) is type(network)
    parser = ConfigParser({"network_def": {"_target_": f"monai_vlsm.networks.{name}", "_mode_": "callable"}})
    assert parser.get_parsed_content("network_def") is type(network)


BAD_INPUTS = {  # shape of the image, shape of the ids, from the size and stride of the network
    "one channel": lambda size, _: ((2, 1, size, size), (2, 9), "image must be"),
    "four channels": lambda size, _: ((2, 4, size, size), (2, 9), "image must be"),
    "not square": lambda size, stride: ((2, 3, size, size + stride), (2, 9), "H = W"),
    "no image": lambda size, _: ((0, 3, size, size), (1, 9), "B > 0"),
    "no batch": lambda size, _: ((3, size, size), (1, 9), "image must be"),
    "fewer texts than images": lambda size, _: ((3, 3, size, size), (2, 9), "B = 3 images"),
    "ids without batch": lambda size, _: ((2, 3, size, size), (9,), "input_ids must be"),
}


@of_each_class
@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input(network: PromptedNet, case: str) -> None:
    image, ids, expected = BAD_INPUTS[case](network.image_size, network.stride)
    with pytest.raises(ValueError, match=expected) as caught:
        network(torch.zeros(image), torch.zeros(ids, dtype=torch.int64))
    assert f"got {ids if 'input_ids' in str(caught.value) else image}" in str(caught.value)


@of_each_class
def test_rows_must_number_the_image_index(network: PromptedNet) -> None:
    image, ids, mask = inputs(network)
    with pytest.raises(ValueError, match="B = 3 images"):
        network.forward_rows(image, ids, mask, image_index=torch.tensor([0, 0, 1]))


@of_each_class
def test_bad_image_size(kind: str, network: PromptedNet, backbone: Path) -> None:
    stride = network.stride
    with pytest.raises(ValueError, match=rf"multiple of {stride} .*got 0;"):
        build(kind, backbone, image_size=0)
    for size, lower in ((stride // 2, stride), (2 * stride + 1, 2 * stride), (3 * stride - 1, 2 * stride)):
        facts = rf"multiple of {stride} .*got {size}; .* {lower} and {lower + stride}$"
        with pytest.raises(ValueError, match=facts):
            build(kind, backbone, image_size=size)
        with pytest.raises(ValueError, match=facts):
            network(torch.zeros(1, 3, size, size))


@pytest.mark.parametrize("kind", ["cris", "san"])
def test_text_longer_than_the_context(network: PromptedNet) -> None:
    image, _, _ = inputs(network, 1)
    with pytest.raises(ValueError, match=r"78 tokens .* 77"):
        network(image, torch.zeros(1, 78, dtype=torch.int64))


@pytest.mark.parametrize("kind", ["cris", "san"])
def test_adapters_are_refused(kind: str, backbone: Path) -> None:
    with pytest.raises(NoAdaptersError, match=CLIPSegNet.__name__):
        build(kind, backbone, adaptation=DenseAdaptation("vl"))
