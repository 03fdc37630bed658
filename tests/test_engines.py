# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer

from monai_vlsm.data import IMAGE_ROWS, TOKEN_KEYS, ItemLoader
from monai_vlsm.engines import PromptBatch, evaluate_items, set_gpu
from monai_vlsm.inferers import FEATURES_KEY, PromptInferer

CPU = torch.device("cpu")


def batch(**meta: Any) -> dict[str, Any]:
    tokens = torch.tensor([[5, 7, 9, 9], [5, 9, 9, 9]])
    image = MetaTensor(torch.rand(2, 3, 4, 4), meta=meta)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    return {"image": image, "label": MetaTensor(torch.ones(2, 1, 4, 4)), "input_ids": tokens, "attention_mask": mask}


@pytest.mark.parametrize(("meta", "kept"), [(True, True), (False, False)])
def test_images_go_and_tokens_stay(meta: bool, kept: bool) -> None:
    given = batch()
    image, label, arguments, tokens = PromptBatch(meta)(given, torch.device("meta"), non_blocking=True)
    assert image.device.type == label.device.type == "meta"
    assert isinstance(image, MetaTensor) == isinstance(label, MetaTensor) == kept
    assert arguments == ()
    assert tokens == {"input_ids": given["input_ids"], "attention_mask": given["attention_mask"]}


def test_features_keep_what_says_so_and_nothing_else_is_needed() -> None:
    features = PromptBatch(meta=False)(batch(**{FEATURES_KEY: [0, 1]}), CPU)[0]
    assert isinstance(features, MetaTensor) and FEATURES_KEY in features.meta
    image, label, _, tokens = PromptBatch()({"image": torch.rand(1, 3, 4, 4)}, CPU)
    assert image.shape == (1, 3, 4, 4) and label is None and tokens == {}


@pytest.mark.parametrize(
    ("inferer", "asks"),
    [(None, False), (SimpleInferer(), False), (PromptInferer(False), False), (PromptInferer(by_image=True), True)],
)
def test_what_is_the_same_goes_to_who_asks_for_it(inferer: Any, asks: bool) -> None:
    given = {**batch(), IMAGE_ROWS: torch.tensor([0, 0])}
    more = PromptBatch(inferer=inferer)(given, CPU)[3]
    assert set(more) == {*TOKEN_KEYS, *([IMAGE_ROWS] if asks else [])}


class Network:
    """Notes the shapes of its tokens."""

    def __init__(self, cuts_padding: bool) -> None:
        self.cuts_padding, self.seen = cuts_padding, ()

    def __call__(self, image: torch.Tensor, **tokens: torch.Tensor) -> torch.Tensor:
        self.seen = tuple(tuple(value.shape) for value in tokens.values())
        return image[:, :1]


@pytest.mark.parametrize(("cuts", "compiled", "length"), [(True, False, 3), (False, False, 4), (True, True, 4)])
def test_tokens_are_cut_before_they_are_sent(cuts: bool, compiled: bool, length: int) -> None:
    network: Any = Network(cuts)
    if compiled:
        network._compiled_call_impl = print
        network.forward_rows = network
    image, _, _, tokens = PromptBatch()(batch(), CPU)
    PromptInferer(False)(image, network, **tokens)
    assert network.seen == ((2, length), (2, length))


def test_only_gpus_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    set_gpu("cpu", deterministic=False, tf32=True)
    assert before == (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    )
    cudnn = SimpleNamespace(deterministic=None, benchmark=None)
    given: list[str] = []
    monkeypatch.setattr(torch.backends, "cudnn", cudnn)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", given.append)
    set_gpu(torch.device("cuda", 1), deterministic=False)
    assert (cudnn.deterministic, cudnn.benchmark, given) == (False, True, ["high"])
    set_gpu("cuda", tf32=False)
    assert (cudnn.deterministic, cudnn.benchmark, given[-1]) == (True, False, "highest")


class Bright(torch.nn.Module):
    """Logits from the brightness of an image, for each prompt by its first token; notes the sizes of its batches."""

    cuts_padding = True

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward_rows(self, image: torch.Tensor, input_ids: torch.Tensor, image_index: Any = None, **_: Any) -> Any:
        self.batches.append(len(image))
        rows = image if image_index is None else image[image_index]
        ids = input_ids if input_ids.ndim == 3 else input_ids[:, None]
        return rows.mean(1, keepdim=True) - 0.1 * ids[:, :, 0, None, None]

    def forward(self, image: torch.Tensor, input_ids: torch.Tensor, **_: Any) -> Any:
        return self.forward_rows(image, input_ids)


def records(prompts: list[int]) -> list[dict[str, Any]]:
    """Images whose masks have sizes of their own, with so many prompts each; 0 for one that is no list."""
    generator, found = torch.Generator().manual_seed(0), []
    for number, count in enumerate(prompts):
        image = MetaTensor(torch.rand(3, 4, 4, generator=generator), meta={"filename_or_obj": str(number)})
        ids = torch.full((4,) if count == 0 else (count, 4), number)
        label = MetaTensor(torch.ones(max(count, 1), 4 + number, 5))
        mask = torch.ones_like(ids)
        found.append({"image": image, "label": label, "input_ids": ids, "attention_mask": mask, "name": str(number)})
    return found


def scored(data: list[dict[str, Any]], loader: Any, **engine: Any) -> tuple[list[Any], Bright]:
    network, seen = Bright(), []
    made = SupervisedEvaluator(CPU, loader, network, inferer=PromptInferer(False), **engine)
    made.add_event_handler(Events.ITERATION_COMPLETED, lambda one: seen.extend(one.state.output))
    made.run()
    return seen, network


@pytest.mark.parametrize("prompts", [[0] * 5, [2] * 5, [1, 3, 2, 1, 2]])
def test_items_are_evaluated_together_as_each_by_itself(prompts: list[int]) -> None:
    data = records(prompts)
    each, _ = scored(data, DataLoader(Dataset(data), batch_size=1), prepare_batch=PromptBatch())
    loader = ItemLoader(Dataset(data), num_workers=2, batch_size=3)
    found, network = scored(data, loader, iteration_update=evaluate_items, decollate=False)
    assert network.batches == [3, 2]
    for own, other, record in zip(found, each, data, strict=True):
        torch.testing.assert_close(own["pred"].as_tensor(), other["pred"].as_tensor())
        assert own["pred"].meta["filename_or_obj"] == record["name"]
        assert torch.equal(own["label"], record["label"].as_tensor())


def test_features_are_told_as_such() -> None:
    data = records([0, 0])
    for record in data:
        record["image"].meta[FEATURES_KEY] = int(record["name"])
    seen: list[Any] = []
    inferer: Any = lambda image, network, **tokens: seen.append(image.meta) or image[:, :1]  # noqa: E731
    made = SupervisedEvaluator(CPU, ItemLoader(Dataset(data), batch_size=2), Bright(), inferer=inferer)
    evaluate_items(made, data)
    assert seen[0][FEATURES_KEY] == [0, 1]
