# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Properties that every adaptation must keep; a new adaptation is a new row of ADAPTATIONS."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.networks.utils import eval_mode
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from transformers import CLIPSegForImageSegmentation

from monai_vlsm.adapters import Adaptation, DenseAdaptation, FineTuning, ShallowAdaptation, count_parameters
from monai_vlsm.networks import CLIPSegNet, load_base
from tests import tiny

ADAPTATIONS = {
    "none": Adaptation(),
    "dense_v": DenseAdaptation("v", width=4),
    "dense_vl": DenseAdaptation("vl", width=4),
    "dense_vlc": DenseAdaptation("vl", width=4, condition_width=4),
    "shallow_v": ShallowAdaptation("v", width=6),
    "shallow_vl": ShallowAdaptation("vl", width=6),
    "shallow_vlc": ShallowAdaptation("vl", width=6, condition_width=4),
    "decoder": FineTuning("decoder"),
    "full": FineTuning("full"),
}
TRAINED = [name for name in ADAPTATIONS if name != "none"]
ADAPTED = [name for name in TRAINED if name.startswith(("dense", "shallow"))]
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
    torch.manual_seed(1)
    adaptation = ADAPTATIONS[getattr(request, "param", "dense_vlc")]
    return CLIPSegNet(backbone, adaptation=adaptation, default_prompt="one polyp").eval()


def inputs(images: int = 2, prompts: int | None = None, length: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Images ``(B, 3, 32, 32)``, ids and mask ``(B, L)`` or ``(B, K, L)`` with texts of different lengths."""
    generator = torch.Generator().manual_seed(2)
    image = torch.randn(images, 3, tiny.SIZE, tiny.SIZE, generator=generator)
    end = tiny.config().text_config.eos_token_id
    rows = images * (prompts or 1)
    ids = torch.full((rows, length), end)
    ids[:, 0] = end - 1
    mask = torch.zeros(rows, length, dtype=torch.int64)
    for row in range(rows):
        words = 1 + row % (length - 3)
        ids[row, 1 : 1 + words] = torch.randint(0, end - 1, (words,), generator=generator)
        mask[row, : words + 2] = 1
    shape = (images, length) if prompts is None else (images, prompts, length)
    return image, ids.reshape(shape), mask.reshape(shape)


@pytest.mark.parametrize("network", ADAPTATIONS, indirect=True)
@pytest.mark.parametrize(("images", "prompts"), [(1, None), (3, None), (2, 1), (2, 3)])
def test_shape(network: CLIPSegNet, images: int, prompts: int | None) -> None:
    logits = network(*inputs(images, prompts))
    assert logits.shape == (images, prompts or 1, tiny.SIZE, tiny.SIZE)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("network", ADAPTATIONS, indirect=True)
def test_prompts_of_one_image_do_not_mix(network: CLIPSegNet) -> None:
    image, ids, mask = inputs(2, 3)
    together = network(image, ids, mask)
    for k in range(3):
        torch.testing.assert_close(network(image, ids[:, k], mask[:, k])[:, 0], together[:, k], atol=1e-5, rtol=1e-5)
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-4


@pytest.mark.parametrize("network", ADAPTATIONS, indirect=True)
def test_an_image_of_several_rows_is_encoded_once(network: CLIPSegNet) -> None:
    image, ids, mask = inputs(2, 3)
    sizes: list[int] = []
    network.base.clip.vision_model.embeddings.register_forward_hook(lambda _m, _a, out: sizes.append(len(out)))
    index = torch.tensor([0, 0, 0, 1, 1, 1])
    alone = network.forward_rows(image, ids.flatten(0, 1), mask.flatten(0, 1), image_index=index)
    assert sizes == [2]
    torch.testing.assert_close(alone.view(2, 3, *alone.shape[2:]), network(image, ids, mask), atol=1e-5, rtol=1e-5)


def test_rows_must_number_the_image_index(network: CLIPSegNet) -> None:
    image, ids, mask = inputs(2)
    with pytest.raises(ValueError, match="for B = 3 images"):
        network.forward_rows(image, ids, mask, image_index=torch.tensor([0, 0, 1]))


def test_one_text_serves_all_images(network: CLIPSegNet) -> None:
    image, ids, mask = inputs(3)
    expected = network(image, ids[:1].expand(3, -1), mask[:1].expand(3, -1))
    torch.testing.assert_close(network(image, ids[:1], mask[:1]), expected)


def test_without_adapters_it_is_transformers_clipseg(backbone: Path) -> None:
    network = CLIPSegNet(backbone).eval()
    reference = CLIPSegForImageSegmentation.from_pretrained(backbone).eval()
    image, ids, mask = inputs(3)
    with torch.no_grad():
        expected = reference(pixel_values=image, input_ids=ids, attention_mask=mask).logits
        torch.testing.assert_close(network(image, ids, mask)[:, 0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("network", ADAPTATIONS, indirect=True)
def test_early_exit_is_exact(network: CLIPSegNet) -> None:
    """The whole tower, computed by transformers, gives bit-equal activations."""
    image, _, _ = inputs()
    hidden = network.base.clip.vision_model(image, output_hidden_states=True).hidden_states
    expected = network.seams.skips([hidden[layer + 1] for layer in network.config.extract_layers])
    for skip, whole in zip(network.encode_image(image), expected, strict=True):
        assert torch.equal(skip, whole)


def test_early_exit_saves_the_last_layers(network: CLIPSegNet) -> None:
    ran: list[int] = []
    for index, layer in enumerate(network.base.clip.vision_model.encoder.layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    network(*inputs())
    assert ran == list(range(10))


def test_text_is_trimmed_to_the_longest_prompt(network: CLIPSegNet) -> None:
    image, ids, mask = inputs(2, length=9)
    end = tiny.config().text_config.eos_token_id
    padded = torch.nn.functional.pad(ids, (0, 68), value=end), torch.nn.functional.pad(mask, (0, 68))
    lengths: list[int] = []
    network.base.clip.text_model.embeddings.register_forward_hook(lambda _m, _a, out: lengths.append(out.shape[1]))
    logits = network(image, *padded)
    assert lengths == [int(mask.sum(-1).max())]
    torch.testing.assert_close(logits, network(image, padded[0]), atol=1e-5, rtol=1e-5)  # no mask: all 77 columns
    assert lengths[-1] == 77


def test_default_prompt(network: CLIPSegNet, backbone: Path) -> None:
    image, _, _ = inputs(2)
    ids = torch.tensor([tiny.tokenizer(backbone)("one polyp").input_ids])
    assert torch.equal(network(image), network(image, ids))
    assert not any("default" in name for name in network.state_dict())


@pytest.mark.parametrize("network", TRAINED, indirect=True)
def test_gradients_where_it_trains_only(network: CLIPSegNet) -> None:
    network(*inputs()).square().mean().backward()
    with_gradient = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    trains = {name for name, p in network.named_parameters() if p.requires_grad}
    assert with_gradient <= trains <= set(network.trained_names)
    without = trains - with_gradient
    # a ReLU of a width of 4 may be off for all tokens; a whole block without gradient would be a fault
    assert len(without) < 0.2 * len(trains), without


@pytest.mark.parametrize("network", TRAINED, indirect=True)
def test_meta_tensors_of_monais_loaders(network: CLIPSegNet) -> None:
    """A trainer of one's own hands over what MONAI's transforms made; Invertd needs its meta behind the network."""
    image, *tokens = inputs(2)
    found = network.train()(MetaTensor(image, meta={"filename_or_obj": ["a", "b"]}), *tokens)
    assert isinstance(found, MetaTensor) and found.meta["filename_or_obj"] == ["a", "b"]
    torch.testing.assert_close(found.as_tensor(), network(image, *tokens), atol=1e-6, rtol=1e-5)
    found.square().mean().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters() if p.requires_grad)


def test_meta_tensors_of_images_that_rows_share(network: CLIPSegNet) -> None:
    image, ids, mask = inputs(3)
    index = torch.tensor([0, 1, 1])
    found = network.eval().forward_rows(MetaTensor(image[:2]), ids, mask, image_index=index)
    torch.testing.assert_close(found, network(image[:2][index], ids, mask), atol=1e-5, rtol=1e-5)
    assert not isinstance(found, MetaTensor)


@pytest.mark.parametrize("network", TRAINED, indirect=True)
def test_deepcopy_uses_its_own_weights(network: CLIPSegNet) -> None:
    twin, arguments = copy.deepcopy(network), inputs()
    before = network(*arguments)
    torch.testing.assert_close(twin(*arguments), before, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if name in set(twin.trained_names):
                parameter.add_(0.1)
    assert not torch.equal(twin(*arguments), before)
    assert torch.equal(network(*arguments), before)


@pytest.mark.parametrize("network", ["none", *ADAPTED], indirect=True)
def test_base_state_is_unchanged(network: CLIPSegNet, backbone: Path) -> None:
    own = {name.removeprefix("base."): value for name, value in network.state_dict().items()}
    expected = load_base(backbone).state_dict()
    assert set(own) - {name.removeprefix("base.") for name in network.trained_names} == set(expected)
    assert all(torch.equal(own[name], value) for name, value in expected.items())


@pytest.mark.parametrize("network", ADAPTATIONS, indirect=True)
@pytest.mark.parametrize("with_text", [False, True])
def test_trace(network: CLIPSegNet, with_text: bool) -> None:
    image, ids, _ = inputs(2)
    arguments = (image, ids) if with_text else (image,)
    with eval_mode(network):
        traced = torch.jit.trace(network, arguments, check_trace=False)
        torch.testing.assert_close(traced(*arguments), network(*arguments), atol=1e-5, rtol=1e-5)
        image, ids, _ = inputs(3)  # the batch size stays free
        arguments = (image, ids) if with_text else (image,)
        torch.testing.assert_close(traced(*arguments), network(*arguments), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("network", ADAPTATIONS, indirect=True)
def test_compiles_to_one_graph(network: CLIPSegNet) -> None:
    torch._dynamo.reset()
    counter = CompileCounter()
    arguments = inputs(2, 3)
    compiled = torch.compile(network, backend=counter, fullgraph=True)
    torch.testing.assert_close(compiled(*arguments), network(*arguments), atol=1e-5, rtol=1e-5)
    assert counter.frame_count == 1


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
    network, arguments = CLIPSegNet(backbone, dropout=0.5), inputs()
    assert torch.equal(network.eval()(*arguments), network(*arguments))
    assert not torch.equal(network.train()(*arguments), network(*arguments))


@pytest.mark.parametrize("target", ["monai_vlsm.networks.CLIPSegNet", "CLIPSegNet"])
def test_found_by_monai(target: str, backbone: Path) -> None:
    import monai_vlsm  # noqa: F401  short names resolve once it is imported

    parser = ConfigParser({"network_def": {"_target_": target, "backbone": str(backbone)}})
    assert isinstance(parser.get_parsed_content("network_def"), CLIPSegNet)


BAD_INPUTS = [
    ((2, 1, 32, 32), (2, 9), r"image must be .* got \(2, 1, 32, 32\)"),
    ((2, 4, 32, 32), (2, 9), r"got \(2, 4, 32, 32\)"),
    ((2, 3, 32, 48), (2, 9), r"H = W .* got \(2, 3, 32, 48\)"),
    ((0, 3, 32, 32), (1, 9), r"B > 0, got \(0, 3, 32, 32\)"),
    ((3, 32, 32), (1, 9), r"got \(3, 32, 32\)"),
    ((2, 3, 40, 40), (2, 9), r"multiple of 16 .* got 40; the nearest are 32 and 48"),
    ((3, 3, 32, 32), (2, 9), r"input_ids must be .* B = 3 images, got \(2, 9\)"),
    ((2, 3, 32, 32), (9,), r"input_ids must be .* got \(9,\)"),
]


@pytest.mark.parametrize(("image", "ids", "message"), BAD_INPUTS)
def test_bad_input(network: CLIPSegNet, image: tuple[int, ...], ids: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(image), torch.zeros(ids, dtype=torch.int64))


def test_bad_image_size(backbone: Path) -> None:
    with pytest.raises(ValueError, match="got 30; the nearest are 16 and 32"):
        CLIPSegNet(backbone, image_size=30)


def test_forward_has_the_arguments_of_the_design(network: CLIPSegNet) -> None:
    assert list(inspect.signature(network.forward).parameters) == ["image", "input_ids", "attention_mask"]
