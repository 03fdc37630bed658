# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from monai_vlsm.engines import PromptBatch, set_gpu
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
