# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The inferer: what reaches the network, for images and volumes, and what comes back."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.engines import PrepareBatchExtraInput, SupervisedEvaluator, SupervisedTrainer
from torch import Tensor, nn

from monai_vlsm import inferers
from monai_vlsm.inferers import PromptInferer, call_rows
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.transforms import RequestTokensd, TokenizePromptd
from tests import tiny

L = 6


class Recorder(nn.Module):
    """Adds the first token of each prompt to the mean of the image, and keeps the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.calls: list[dict[str, Any]] = []

    def forward(self, image: Tensor, input_ids: Tensor | None = None, **more: Any) -> Tensor:
        self.calls.append({"image": image, "input_ids": input_ids, **more})
        grey = image.mean(dim=1, keepdim=True) * self.gain
        if input_ids is None:
            return grey
        prompts = input_ids if input_ids.ndim == 3 else input_ids[:, None]
        return grey + prompts[..., 0].to(grey.dtype)[:, :, None, None]


class Product(nn.Module):
    """One matrix product, which autocast runs in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        self.seen: torch.dtype | None = None

    def forward(self, image: Tensor) -> Tensor:
        out = self.conv(image)
        self.seen = out.dtype
        return out


def ids(*shape: int) -> Tensor:
    return (
        torch.arange(shape[0] if len(shape) == 2 else shape[0] * shape[1])
        .reshape(*shape[:-1], 1)
        .repeat(*[1] * (len(shape) - 1), shape[-1])
    )


def meta_image(*shape: int, **meta: Any) -> MetaTensor:
    return MetaTensor(torch.rand(shape), meta={"filename_or_obj": "a.nii", **meta})


IMAGES = [  # batch, shape of ids, structures
    (2, (2, L), 1),
    (2, (2, 3, L), 3),
    (1, (1, 3, L), 3),
]


@pytest.mark.parametrize(("batch", "shape", "structures"), IMAGES)
def test_images_are_one_call(batch: int, shape: tuple[int, ...], structures: int) -> None:
    network, image, tokens = Recorder(), torch.rand(batch, 3, 4, 4), ids(*shape)
    mask = torch.ones_like(tokens)
    out = PromptInferer(False)(image, network, input_ids=tokens, attention_mask=mask)
    (call,) = network.calls
    assert call["image"] is image
    assert torch.equal(call["input_ids"], tokens)
    assert torch.equal(call["attention_mask"], mask)
    assert out.shape == (batch, structures, 4, 4)
    assert torch.equal(out, Recorder()(image, tokens))


def test_tokens_by_position() -> None:
    network, image = Recorder(), torch.rand(2, 3, 4, 4)
    PromptInferer(False)(image, network, ids(2, L), torch.ones(2, L))
    assert set(network.calls[0]) == {"image", "input_ids", "attention_mask"}


def test_no_tokens_anywhere() -> None:
    network = Recorder()
    PromptInferer(False)(torch.rand(2, 3, 4, 4), network)
    PromptInferer(False)(meta_image(2, 3, 4, 4), network)
    PromptInferer(False)(torch.rand(2, 3, 4, 4, 2), network)
    assert all(set(call) == {"image", "input_ids"} and call["input_ids"] is None for call in network.calls)


@pytest.mark.parametrize("slice_batch", [1, 3, 8])
@pytest.mark.parametrize(("batch", "shape", "structures"), [*IMAGES, (2, (1, L), 1), (2, (1, 2, L), 2)])
def test_volumes_are_calls_for_slices(batch: int, shape: tuple[int, ...], structures: int, slice_batch: int) -> None:
    network, image, tokens = Recorder(), torch.rand(batch, 3, 4, 4, 7), ids(*shape)
    out = PromptInferer(False, slice_batch)(image, network, input_ids=tokens, attention_mask=torch.ones_like(tokens))
    assert out.shape == (batch, structures, 4, 4, 7)
    assert len(network.calls) == batch * -(-7 // slice_batch)
    for call in network.calls:
        assert call["image"].shape[0] <= slice_batch
        assert call["input_ids"].shape == call["attention_mask"].shape == (call["image"].shape[0], *shape[1:])
    own = tokens.expand(batch, *tokens.shape[1:])
    for index in range(7):
        assert torch.equal(out[..., index], Recorder()(image[..., index], own))


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 3, 4, 4, 2, 2)])
def test_other_ranks(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"\(B, 3, S, S\) or \(B, 3, S, S, D\), got shape \({shape[0]}, "):
        PromptInferer()(torch.zeros(shape), Recorder())


def test_tokens_of_another_batch() -> None:
    with pytest.raises(ValueError, match=r"input_ids .* 3 images, got \(2, 6\)"):
        PromptInferer()(torch.zeros(3, 3, 4, 4, 2), Recorder(), input_ids=ids(2, L))


@pytest.mark.parametrize("settings", [{"cpu_autocast": "yes"}, {"cpu_autocast": None}, {"slice_batch": 0}])
def test_wrong_settings(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=f"{name} must be"):
        PromptInferer(**settings)


@pytest.mark.parametrize("depth", [(), (5,)])
@pytest.mark.parametrize("shape", [(L,), (2, L)])
def test_tokens_of_a_request(shape: tuple[int, ...], depth: tuple[int, ...]) -> None:
    """MONAI Label: the transforms' image, an axis added, nothing else."""
    tokens = ids(*shape) if len(shape) == 2 else ids(1, L)[0] + 4
    request = {"device": "cpu", "image": meta_image(3, 4, 4, *depth)}
    data = RequestTokensd()({**request, "input_ids": tokens, "attention_mask": torch.ones_like(tokens)})
    network = Recorder()
    out = PromptInferer(False)(data["image"][None], network)
    structures = 1 if len(shape) == 1 else 2
    assert out.shape == (1, structures, 4, 4, *depth)
    assert network.calls[0]["input_ids"].shape[1:] == shape
    assert torch.equal(network.calls[0]["input_ids"][0], tokens)
    assert torch.equal(network.calls[0]["attention_mask"][0], torch.ones_like(tokens))
    assert out[0].meta["filename_or_obj"] == "a.nii"


def test_given_tokens_win_over_meta() -> None:
    network, image = Recorder(), meta_image(3, 4, 4, tokens={"input_ids": ids(1, L)})
    PromptInferer(False)(image[None], network, input_ids=ids(1, L) + 9)
    assert network.calls[0]["input_ids"][0, 0] == 9


@pytest.mark.parametrize("depth", [(), (5,)])
def test_meta_comes_back_and_does_not_reach_the_network(depth: tuple[int, ...]) -> None:
    records = [
        {"image": MetaTensor(torch.rand(3, 4, 4, *depth), meta={"name": name}, applied_operations=[{"class": name}])}
        for name in ("a", "b")
    ]
    (batch,) = list(DataLoader(Dataset(records), batch_size=2))
    network = Recorder()
    batch["pred"] = PromptInferer(False)(batch["image"], network)
    assert all(type(call["image"]) is Tensor for call in network.calls)
    for item, name in zip(decollate_batch(batch), ("a", "b"), strict=True):
        assert item["pred"].meta["name"] == name
        assert item["pred"].applied_operations == [{"class": name}]
        assert item["pred"].shape == (1, 4, 4, *depth)


def test_a_plain_tensor_stays_plain() -> None:
    assert type(PromptInferer(False)(torch.rand(1, 3, 4, 4), Recorder())) is Tensor


AUTOCAST = [  # setting, CPU has bf16, expected inside the network
    ("auto", True, torch.bfloat16),
    ("auto", False, torch.float32),
    (True, False, torch.bfloat16),
    (False, True, torch.float32),
]


@pytest.mark.parametrize(("setting", "capable", "expected"), AUTOCAST)
def test_autocast(monkeypatch: pytest.MonkeyPatch, setting: Any, capable: bool, expected: torch.dtype) -> None:
    monkeypatch.setattr(inferers, "cpu_has_bf16", lambda: capable)
    network = Product()
    for shape in [(1, 3, 4, 4), (1, 3, 4, 4, 2)]:
        out = PromptInferer(setting)(torch.rand(shape), network)
        assert network.seen == expected
        assert out.dtype == torch.float32
    assert network(torch.rand(1, 3, 4, 4)).dtype == torch.float32  # over after the call


def test_autocast_of_the_caller_is_left_alone() -> None:
    network = Product()
    with torch.autocast("cpu", torch.bfloat16):
        out = PromptInferer(False)(torch.rand(1, 3, 4, 4), network)
    assert network.seen == torch.bfloat16
    assert out.dtype == torch.float32


@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor])
@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("depth", [(), (3,)])
def test_gradients_flow(kind: Any, autocast: bool, depth: tuple[int, ...]) -> None:
    network = Product()
    image = torch.rand(2, 3, 4, 4, *depth)
    PromptInferer(autocast, slice_batch=2)(kind(image), network).sum().backward()
    assert network.conv.weight.grad is not None
    expected = image.transpose(0, 1).flatten(1).sum(dim=1)
    assert torch.allclose(network.conv.weight.grad.flatten(), expected, rtol=1e-2)


def test_pickles() -> None:
    image, copy = torch.rand(1, 3, 4, 4, 3), pickle.loads(pickle.dumps(PromptInferer(False, slice_batch=2)))
    assert torch.equal(copy(image, Recorder()), PromptInferer(False)(image, Recorder()))


def engine_batches(backbone: Path, depth: tuple[int, ...]) -> DataLoader:
    prompts = ["polyp", "brain", "red"]
    records = [
        {"image": meta_image(3, tiny.SIZE, tiny.SIZE, *depth), "label": torch.zeros(1, tiny.SIZE, tiny.SIZE, *depth)}
        for _ in prompts
    ]
    records = [{**record, "prompt": prompt} for record, prompt in zip(records, prompts, strict=True)]
    return DataLoader(Dataset(records, TokenizePromptd(tokenizer=backbone, max_length=L)), batch_size=3)


PREPARE = PrepareBatchExtraInput(extra_keys={"input_ids": "input_ids", "attention_mask": "attention_mask"})


@pytest.mark.parametrize("depth", [(), (2,)])
def test_in_an_evaluator(backbone: Path, depth: tuple[int, ...]) -> None:
    """With the real network: each image is answered for its own prompt, as it is alone."""
    network = CLIPSegNet(backbone)
    loader = engine_batches(backbone, depth)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=network,
        inferer=PromptInferer(False),
        prepare_batch=PREPARE,
    )
    evaluator.run()
    output = evaluator.state.output
    (batch,) = list(loader)
    assert len(batch["input_ids"].unique(dim=0)) == len(output) == 3
    for index, item in enumerate(output):
        assert item["pred"].shape == (1, tiny.SIZE, tiny.SIZE, *depth)
        image = item["image"].as_tensor()[None]
        first = image if not depth else image[..., 0]
        with torch.no_grad():
            alone = network(first, *(batch[key][index : index + 1] for key in ("input_ids", "attention_mask")))[0]
            other = network(first)[0]  # the default prompt
        pred = item["pred"].as_tensor() if not depth else item["pred"].as_tensor()[..., 0]
        assert torch.allclose(pred, alone, atol=1e-6)
        assert not torch.allclose(pred, other, atol=1e-6)


def test_in_a_trainer() -> None:
    network = Recorder()
    records = [{"image": torch.rand(3, 4, 4), "label": torch.zeros(1, 4, 4), "input_ids": ids(1, L)[0]}] * 2
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(Dataset(records), batch_size=2),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        loss_function=nn.MSELoss(),
        inferer=PromptInferer(),
        prepare_batch=PrepareBatchExtraInput(extra_keys={"input_ids": "input_ids"}),
    )
    trainer.run()
    assert network.gain < 1


class RowRecorder(Recorder):
    """Keeps what caches call too."""

    def forward_rows(self, image: Tensor, **more: Any) -> Tensor:
        self.calls.append({"image": image, **more})
        return torch.zeros(len(more["image_index"]), 1, 8, 8)


def test_by_image_encodes_neighbours_once() -> None:
    network, images, tokens = RowRecorder(), torch.rand(3, 3, 8, 8), torch.arange(6)[:, None]
    PromptInferer(cpu_autocast=False, by_image=True)(images[[0, 0, 1, 2, 2, 0]], network, tokens)
    (call,) = network.calls
    torch.testing.assert_close(call["image"], images[[0, 1, 2, 0]], rtol=0, atol=0)
    assert call["image_index"].tolist() == [0, 0, 1, 2, 2, 3]
    assert call["input_ids"].tolist() == tokens.tolist()


def test_by_image_leaves_one_image_alone() -> None:
    network = RowRecorder()
    PromptInferer(cpu_autocast=False, by_image=True)(
        torch.rand(1, 3, 8, 8), network, torch.zeros(1, 1, dtype=torch.long)
    )
    assert network.calls[0].keys() == {"image", "input_ids"}


@pytest.mark.slow
def test_compiled_networks_compile_what_caches_call_too(backbone: Path) -> None:
    from torch._dynamo.testing import CompileCounter

    net, image = CLIPSegNet(backbone).eval(), torch.rand(1, 3, tiny.SIZE, tiny.SIZE)
    index: dict[str, Any] = {"image_index": torch.tensor([0, 0]), "prompt_index": torch.tensor([[0], [0]])}
    with torch.no_grad():
        expected = net.forward_rows(image, **index)
        counter = CompileCounter()
        torch._dynamo.reset()
        net.compile(backend=counter)
        torch.testing.assert_close(call_rows(net, image, **index), expected, atol=1e-5, rtol=1e-5)
        frames = counter.frame_count
        net(image)
    assert (frames, counter.frame_count) == (1, 2)
    assert "forward" not in vars(net)


def test_by_image_changes_no_logits(backbone: Path) -> None:
    net = CLIPSegNet(backbone).eval()
    image = torch.rand(2, 3, tiny.SIZE, tiny.SIZE)[[0, 0, 1]]
    end = tiny.end_of_text()
    tokens = torch.tensor([[end - 1, word, end] for word in (1, 2, 3)])
    with torch.no_grad():
        one, each = (PromptInferer(cpu_autocast=False, by_image=by)(image, net, tokens) for by in (True, False))
    torch.testing.assert_close(one, each, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_compiled_networks_are_compiled_once_for_texts_of_all_lengths(backbone: Path) -> None:
    """As the bundles hand them over, with 77 columns."""
    from torch._dynamo.testing import CompileCounter

    torch.compiler.reset()  # of the limit that other networks have reached
    network, counter = CLIPSegNet(backbone).train(), CompileCounter()
    network.compile(backend=counter)
    ids, end = torch.ones(2, 77, dtype=torch.int64), int(network.default_input_ids[0, -1])
    for length in (4, 5, 7, 9, 5):
        mask = (torch.arange(77) < length).long().expand(2, -1)
        PromptInferer(cpu_autocast=False)(torch.rand(2, 3, 32, 32), network, ids.where(mask > 0, end), mask)
    assert counter.frame_count == 1
