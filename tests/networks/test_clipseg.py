# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What only CLIPSegNet has: transformers' CLIPSeg inside, its early exit, its sizes, its dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPSegForImageSegmentation

from monai_vlsm.adapters import Adaptation, DenseAdaptation, FineTuning, ShallowAdaptation, count_parameters
from monai_vlsm.networks import CLIPSegNet, load_base
from tests.networks.tiny_networks import ADAPTATIONS, build, inputs

REAL_SIZE = [  # adaptation, trainable parameters: table 1 of the paper and its authors' code
    (DenseAdaptation("v"), 1_784_448),
    (DenseAdaptation("vl"), 2_974_464),
    (DenseAdaptation("vl", condition_width=256), 3_237_376),
    (ShallowAdaptation("v"), 2_363_136),
    (ShallowAdaptation("vl"), 3_939_072),
    (ShallowAdaptation("vl", condition_width=256), 4_201_984),
]
REAL_SIZE_PARTS = [("none", 0), ("decoder", 1_127_009), ("full", 136_177_249)]


@pytest.fixture
def network(request: pytest.FixtureRequest, backbone: Path) -> CLIPSegNet:
    return build(getattr(request, "param", "dense_vlc"), backbone)


def test_without_adapters_it_is_transformers_clipseg(backbone: Path) -> None:
    network = CLIPSegNet(backbone).eval()
    reference = CLIPSegForImageSegmentation.from_pretrained(backbone).eval()
    image, ids, mask = inputs(network, 3)
    with torch.no_grad():
        expected = reference(pixel_values=image, input_ids=ids, attention_mask=mask).logits
        torch.testing.assert_close(network(image, ids, mask)[:, 0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("network", [name for name in ADAPTATIONS if name != "cross_modal"], indirect=True)
def test_early_exit_is_exact(network: CLIPSegNet) -> None:
    """The whole encoder, computed by transformers, gives bit-equal activations."""
    image, _, _ = inputs(network)
    hidden = network.base.clip.vision_model(image, output_hidden_states=True).hidden_states
    expected = network.feature_adapters.skips([hidden[layer + 1] for layer in network.config.extract_layers])
    for skip, whole in zip(network.encode_image(image), expected, strict=True):
        assert torch.equal(skip, whole)


def test_early_exit_saves_the_last_layers(network: CLIPSegNet) -> None:
    ran: list[int] = []
    for index, layer in enumerate(network.base.clip.vision_model.encoder.layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    network(*inputs(network))
    assert ran == list(range(10))


@pytest.mark.parametrize("network", [name for name in ADAPTATIONS if name not in ("decoder", "full")], indirect=True)
def test_base_state_is_unchanged(network: CLIPSegNet, backbone: Path) -> None:
    own = {name.removeprefix("base."): value for name, value in network.state_dict().items()}
    expected = load_base(backbone).state_dict()
    assert set(own) - {name.removeprefix("base.") for name in network.trained_names} == set(expected)
    assert all(torch.equal(own[name], value) for name, value in expected.items())


@pytest.mark.slow
@pytest.mark.parametrize("network", ADAPTATIONS, indirect=True)
def test_compiles_to_one_graph(network: CLIPSegNet) -> None:
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    counter = CompileCounter()
    arguments = inputs(network, 2, 3)
    compiled = torch.compile(network, backend=counter, fullgraph=True)
    torch.testing.assert_close(compiled(*arguments), network(*arguments), atol=1e-5, rtol=1e-5)
    assert counter.frame_count == 1


@pytest.mark.slow
def test_compiled_all_convolutions_get_contiguous_maps(network: CLIPSegNet) -> None:
    """Of others Inductor and cuDNN disagree on the strides of the gradient (tests/gpu/test_networks.py)."""
    found: dict[str, bool] = {}

    def look(graph: Any, _: Any) -> Any:
        called = (node for node in graph.graph.nodes if "conv" in getattr(node.target, "__name__", ""))
        found.update({node.name: node.args[0].meta["example_value"].is_contiguous() for node in called})
        return graph.forward

    torch._dynamo.reset()
    torch.compile(network, backend=look, fullgraph=True)(*inputs(network, 2, 3))
    assert len(found) >= 2 and all(found.values()), found


def real_size(adaptation: Adaptation) -> CLIPSegNet:
    with torch.device("meta"):
        return CLIPSegNet(adaptation=adaptation, load_weights=False)


@pytest.mark.parametrize(("adaptation", "trainable"), REAL_SIZE)
def test_real_size(adaptation: Adaptation, trainable: int) -> None:
    network = real_size(adaptation)
    trains, total = count_parameters(network)
    assert (trains, total - trains) == (trainable, 150_747_746)
    assert network.image_size == 352


@pytest.mark.parametrize(("part", "trainable"), REAL_SIZE_PARTS)
def test_real_size_without_adapters(part: str, trainable: int) -> None:
    network = real_size(FineTuning(part))
    assert count_parameters(network) == (trainable, 150_747_746)
    saved = {"none": 0, "decoder": trainable, "full": 150_747_746}[part]
    parameters = dict(network.named_parameters())
    assert sum(parameters[name].numel() for name in network.trained_names if name in parameters) == saved


def test_dropout_acts_in_training_mode_only(backbone: Path) -> None:
    network = CLIPSegNet(backbone, dropout=0.5)
    arguments = inputs(network)
    assert torch.equal(network.eval()(*arguments), network(*arguments))
    assert not torch.equal(network.train()(*arguments), network(*arguments))


@pytest.mark.parametrize("network", ["dense_vlc"], indirect=True)
def test_images_and_prompts_share_a_space(network: CLIPSegNet) -> None:
    """Patches behind CLIP's own norm and projection, prompts as they are decoded; adapters of both can learn."""
    image, ids, _ = inputs(network, 3)
    seen: list[tuple[list[torch.Tensor], torch.Tensor]] = []
    network.watch = lambda *features: seen.append(features)
    network.forward_rows(image, ids, image_index=torch.tensor([0, 0, 2]))
    ((features, texts),) = seen
    images, prompts = network.shared_embeddings(features, texts)
    clip = network.base.clip
    expected = clip.visual_projection(clip.vision_model.post_layernorm(features[-1])[:, 1:].mean(1))
    torch.testing.assert_close(images, expected)
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    assert torch.equal(prompts, texts)
    (images @ prompts.T).sum().backward()
    names = [name for name, one in network.named_parameters() if one.grad is not None and bool(one.grad.any())]
    assert {"vision" in name for name in names} == {True, False}
