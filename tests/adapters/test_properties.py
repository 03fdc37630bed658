# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What holds for every adaptation: a new one is a row of `ROWS`, and one of `REAL_SIZE` for its parameters."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from monai_vlsm.adapters import (
    Adaptation,
    AdaptFormerAdaptation,
    BitFitAdaptation,
    Combination,
    CrossModalAdaptation,
    DenseAdaptation,
    FineTuning,
    LoRAAdaptation,
    MergeError,
    ShallowAdaptation,
    SliceContextAdaptation,
    SSFAdaptation,
    TelescopicAdaptation,
    VisualPromptAdaptation,
    build_adaptation,
    count_parameters,
    trainable_parameters,
)
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, TrainedState
from monai_vlsm.export import export_network
from monai_vlsm.federated import Contribution, average, compare_terms, outgoing, put, terms_of
from monai_vlsm.federated.terms import packed, unpacked
from monai_vlsm.networks import CLIPSegNet, load_network, merged_network
from monai_vlsm.serving import AdapterBank
from tests import tiny
from tests.networks.tiny_networks import slow_beside
from tests.serving.models import save

ALL = ("query", "key", "value", "out", "fc1", "fc2")


@dataclass(frozen=True)
class Row:
    """An adaptation of the tiny network, and where it is not as the others are."""

    adaptation: Adaptation
    identity: bool = True
    """Whether the network computes the same as without it before the first step."""
    merges: bool = False
    """Whether it can become a part of the weights."""
    idle: str = "nothing"
    """Part of the names of parameters that can have no gradient, whatever the loss is."""


KEY_BIAS = "k_proj.bias"  # a vector that is added to all keys changes no attention
ROWS: dict[str, Row] = {
    "dense v": Row(DenseAdaptation("v", width=16), identity=False),
    "dense vlc": Row(DenseAdaptation("vl", width=16, condition_width=16), identity=False),
    "shallow": Row(ShallowAdaptation("vl", width=16), identity=False),
    "decoder": Row(FineTuning("decoder"), merges=True, idle=KEY_BIAS),
    "full": Row(FineTuning("full"), merges=True, idle=KEY_BIAS),
    "lora": Row(LoRAAdaptation(rank=2), merges=True),
    "lora v": Row(LoRAAdaptation("v", ALL[:4], rank=3, alpha=1), merges=True),
    "lora all": Row(LoRAAdaptation(projections=ALL, rank=2), merges=True),
    "dora": Row(LoRAAdaptation(projections=ALL, rank=2, dora=True), merges=True),
    "ssf": Row(SSFAdaptation(), merges=True, idle="k_proj.adapter.shift"),
    "ssf v": Row(SSFAdaptation("v"), merges=True, idle="k_proj.adapter.shift"),
    "bitfit": Row(BitFitAdaptation(), merges=True, idle=KEY_BIAS),
    "bitfit v": Row(BitFitAdaptation("v"), merges=True, idle=KEY_BIAS),
    "dense and lora": Row(Combination([DenseAdaptation("v", width=16), LoRAAdaptation(rank=2)]), identity=False),
    "lora and biases": Row(Combination([LoRAAdaptation(rank=2), BitFitAdaptation()]), merges=True, idle=KEY_BIAS),
    "lora and decoder": Row(Combination([LoRAAdaptation(rank=2), FineTuning()]), merges=True, idle=KEY_BIAS),
    "telescopic": Row(TelescopicAdaptation(dropout=0.0), identity=False),
    "telescopic, no boundary": Row(TelescopicAdaptation(boundary=False, dropout=0.0), identity=False),
    "prompts": Row(VisualPromptAdaptation(3), identity=False),
    "adaptformer": Row(AdaptFormerAdaptation(width=4)),
    "adaptformer v": Row(AdaptFormerAdaptation("v", width=4)),
    "cross": Row(CrossModalAdaptation(4), idle="norm_key.bias"),
    "cross, plain": Row(CrossModalAdaptation(4, variational=False), idle="norm_key.bias"),
    "cross, prompts and lora": Row(
        Combination([CrossModalAdaptation(4), VisualPromptAdaptation(2), LoRAAdaptation(rank=2)]),
        identity=False,
        idle="norm_key.bias",
    ),
    "slices, lora": Row(SliceContextAdaptation(LoRAAdaptation(rank=2), width=8)),
    "slices, telescopic": Row(SliceContextAdaptation(TelescopicAdaptation(dropout=0.0), width=8), identity=False),
    "slices, prompts": Row(SliceContextAdaptation(VisualPromptAdaptation(3), width=8), identity=False),
    "slices, two": Row(
        SliceContextAdaptation(Combination([DenseAdaptation("v", 16), ShallowAdaptation("vl", 16)]), width=8), False
    ),
}
# one of each kind; the other rows are slow
QUICK = {"dense vlc", "lora", "dora", "ssf", "bitfit", "telescopic", "prompts", "adaptformer", "cross", "slices, lora"}
EXPORTED = {"cross": ["onnx"]}  # the others are slow; tests/export exports adapters both ways
REAL_SIZE: list[tuple[Adaptation, int]] = [  # beside those of the table of systems, tests/commands/test_models.py
    (LoRAAdaptation(projections=ALL[:4], dora=True), 940_032),
    (LoRAAdaptation(projections=ALL, dora=True), 2_115_072),
    (LoRAAdaptation("v", rank=4), 122_880),
    (SSFAdaptation("v"), 168_960),
    (BitFitAdaptation("v"), 84_480),
    (TelescopicAdaptation(boundary=False), 613_249),
    (VisualPromptAdaptation(50), 384_000),
    (AdaptFormerAdaptation(width=16), 456_544),
    (CrossModalAdaptation(variational=False), 1_778_706),
    (Combination([DenseAdaptation(), LoRAAdaptation()]), 2_974_464 + 442_368),
    (Combination([LoRAAdaptation(), FineTuning("decoder")]), 442_368 + 1_127_009),
    (SliceContextAdaptation(Combination([DenseAdaptation(), BitFitAdaptation()])), 2_974_464 + 152_064 + 448_515),
]


class Trained(NamedTuple):
    row: Row
    network: CLIPSegNet
    gradients: dict[str, Tensor]
    file: Path


def build(backbone: Path, adaptation: Adaptation | None) -> CLIPSegNet:
    torch.manual_seed(0)
    return CLIPSegNet(backbone, adaptation, default_prompt="one polyp").eval()


def given(slices: int = 1) -> tuple[Tensor, Tensor]:
    """Two images of so many slices, and two prompts for each."""
    image = torch.randn(2, 3 * slices, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(1))
    end = tiny.end_of_text()
    ids = torch.tensor(
        [[[end - 1, 7, 9, end], [end - 1, 11, end, end]], [[end - 1, 3, 4, end], [end - 1, 5, end, end]]]
    )
    return image, ids


def ask(network: CLIPSegNet) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(*given(network.slices))
    return logits


def train(network: CLIPSegNet) -> dict[str, Tensor]:
    """Three steps, in float64: the first reaches what begins at zero. Returns the gradients of the last."""
    network.double().train()
    optimizer = torch.optim.AdamW(trainable_parameters(network), lr=0.01)
    image, ids = given(network.slices)
    for _ in range(3):
        optimizer.zero_grad()
        network(image.double(), ids).square().mean().backward()
        optimizer.step()
    gradients = {name: one.grad for name, one in network.named_parameters() if one.requires_grad}
    network.float().eval().zero_grad()
    return gradients


@pytest.fixture(scope="module", params=slow_beside(QUICK, ROWS))
def trained(request: pytest.FixtureRequest, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    row = ROWS[request.param]
    network = build(backbone, row.adaptation)
    gradients = train(network)
    return Trained(row, network, gradients, save(network, tmp_path_factory.mktemp("row") / "model.pt"))


@pytest.fixture(scope="module")
def real_size() -> CLIPSegNet:
    """Without memory, and with nothing installed."""
    with torch.device("meta"):
        return CLIPSegNet(load_weights=False)


@pytest.fixture(scope="module")
def bare(backbone: Path) -> CLIPSegNet:
    return build(backbone, None)


@pytest.fixture(scope="module")
def other(backbone: Path) -> CLIPSegNet:
    return build(backbone, DenseAdaptation("v", width=2))


@pytest.fixture(scope="module")
def bank(backbone: Path) -> Iterator[AdapterBank]:
    return AdapterBank(backbone)


@pytest.mark.parametrize("name", slow_beside(QUICK, [name for name, row in ROWS.items() if row.identity]))
def test_it_begins_as_its_base(name: str, backbone: Path, bare: CLIPSegNet) -> None:
    network = build(backbone, ROWS[name].adaptation)
    image, ids = given(network.slices)
    middle = image.unflatten(1, (-1, 3))[:, network.slices // 2]
    with torch.no_grad():
        found, expected = network(image, ids), bare(middle, ids)
    if network.slices == 1:
        assert torch.equal(found, expected)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)  # slices pass the encoder as one batch


def test_every_parameter_gets_a_gradient(trained: Trained) -> None:
    assert trained.gradients
    assert [name for name, gradient in trained.gradients.items() if gradient is None] == []
    largest = {name: float(gradient.abs().max()) for name, gradient in trained.gradients.items()}
    idle = {name for name, value in largest.items() if value < 1e-12}
    assert idle == {name for name in largest if trained.row.idle in name}


def test_the_same_with_and_without_gradients(trained: Trained) -> None:
    with torch.enable_grad():
        found = trained.network(*given(trained.network.slices))
    assert found.requires_grad
    assert torch.equal(found, ask(trained.network))


def test_training_changes_what_it_says_it_changes(trained: Trained, bare: CLIPSegNet) -> None:
    """And an encoder that is said to be frozen gives what it gives without any adaptation."""
    network = trained.network
    assert not torch.allclose(ask(network)[:, 0], ask(network)[:, 1])
    image, ids = given()
    if network.meets:  # neither encoder runs alone: test_cross_modal.py
        assert network.frozen_encoders == trained.row.adaptation.frozen_encoders == frozenset()
        return
    with torch.no_grad():
        pairs = {
            "vision": [torch.stack(one._vision_states(image)) for one in (network, bare)],
            "text": [one.encode_frozen_text(ids.flatten(0, 1))[0] for one in (network, bare)],
        }
    frozen = {encoder for encoder, (found, expected) in pairs.items() if torch.equal(found, expected)}
    assert frozen == network.frozen_encoders == trained.row.adaptation.frozen_encoders


def test_saved_alone_and_loaded_again(trained: Trained, bare: CLIPSegNet) -> None:
    network, base = trained.network, bare.base.state_dict()
    state = torch.load(trained.file, weights_only=True)
    assert state.keys() == {SETTINGS_KEY, *network.trained_names}
    own = {name.removeprefix("base."): tensor for name, tensor in network.state_dict().items()}
    assert base.keys() <= own.keys()
    kept = base.keys() - {name.removeprefix("base.") for name in network.trained_names}
    assert all(torch.equal(own[name], base[name]) for name in kept)
    again = load_network(trained.file)
    assert again.settings() == network.settings()
    assert torch.equal(ask(again), ask(network))  # type: ignore[arg-type]


def test_in_a_bank(trained: Trained, bank: AdapterBank) -> None:
    bank.load("it", trained.file)
    try:
        found: Any = bank.network("it")
        torch.testing.assert_close(ask(found), ask(trained.network), atol=1e-5, rtol=1e-5)
    finally:
        bank.unload("it")


def test_in_a_federation(trained: Trained, backbone: Path) -> None:
    """What a site sends makes the same network at another, and an average counts the images of both."""
    state, other = TrainedState(trained.network).state_dict(), TrainedState(build(backbone, trained.row.adaptation))
    compare_terms(unpacked(packed(terms_of(state[SETTINGS_KEY]))), terms_of(other.settings()))
    before, sent = outgoing(other.state_dict()), outgoing(state)
    other.load_state_dict(put(other.state_dict(), sent))
    assert torch.equal(ask(other.network), ask(trained.network))
    mean = average({"a": Contribution(3, sent), "b": Contribution(1, before)})
    for name, value in mean.items():
        exact = (3 * sent[name].astype(np.float64) + before[name]) / 4
        assert value.shape == sent[name].shape and np.array_equal(value, exact.astype(np.float32))
    other.load_state_dict(put(other.state_dict(), mean))
    assert ask(other.network).isfinite().all()


def test_a_file_of_it_is_no_file_of_another(trained: Trained, other: CLIPSegNet) -> None:
    with pytest.raises(ModelMismatchError, match="a model of another adaptation: the file was trained with") as caught:
        TrainedState(other).load_state_dict(torch.load(trained.file, weights_only=True))
    assert "\n" not in str(caught.value)


def test_merged(trained: Trained, bare: CLIPSegNet) -> None:
    network = trained.network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if not trained.row.merges:
        with pytest.raises(MergeError, match=r"cannot be merged: what it adds is no change of the weights"):
            merged_network(network)
        return
    plain = merged_network(network)
    torch.testing.assert_close(ask(plain), ask(network), atol=2e-5, rtol=1e-4)
    assert plain.state_dict().keys() == bare.state_dict().keys()
    assert not torch.allclose(ask(plain), ask(bare), atol=1e-3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", slow_beside(EXPORTED, ROWS))
def test_exported(name: str, backbone: Path, tmp_path: Path) -> None:
    network = build(backbone, ROWS[name].adaptation)
    train(network)
    for kind in EXPORTED.get(name, ["torchscript", "onnx"]):
        assert export_network(network, tmp_path / kind, kind).difference < 1e-3


@pytest.mark.parametrize("name", ROWS)
def test_settings_are_plain_values_that_make_it_again(name: str) -> None:
    adaptation = ROWS[name].adaptation
    assert build_adaptation(adaptation.settings()) == adaptation
    assert build_adaptation(json.loads(json.dumps(adaptation.settings()))) == adaptation
    assert adaptation.citations


@pytest.mark.parametrize(("adaptation", "count"), slow_beside(REAL_SIZE[-4:], REAL_SIZE), ids=lambda one: str(one)[:60])
def test_parameters_at_real_size(adaptation: Adaptation, count: int, real_size: CLIPSegNet) -> None:
    network = copy.deepcopy(real_size)
    with torch.device("meta"):
        network.feature_adapters = adaptation.install(network.adapter_targets())
    assert count_parameters(network)[0] == count


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_compiles_to_one_graph(name: str, backbone: Path) -> None:
    from torch._dynamo.testing import CompileCounter  # it takes long to import

    torch._dynamo.reset()
    network, counter = build(backbone, ROWS[name].adaptation), CompileCounter()
    train(network)
    compiled: Any = torch.compile(network, backend=counter, fullgraph=True)
    torch.testing.assert_close(ask(compiled), ask(network), atol=1e-5, rtol=1e-5)
    assert counter.frame_count == 1
