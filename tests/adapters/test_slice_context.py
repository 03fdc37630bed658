# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Slices that attend to their neighbours: what begins, what trains, what is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from monai_vlsm.adapters import (
    Adaptation,
    ContextError,
    DenseAdaptation,
    FineTuning,
    ShallowAdaptation,
    SliceAttention,
    SliceContextAdaptation,
    build_adaptation,
    single_settings,
    slice_count,
    with_slices,
)
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, TrainedState, describe
from monai_vlsm.export import export_network
from monai_vlsm.networks import CLIPSegNet, load_network
from monai_vlsm.serving import check_model
from tests import tiny

DENSE = DenseAdaptation("v", width=4)
INNER: list[Adaptation] = [
    DENSE,
    DenseAdaptation("vl", width=3, condition_width=5),
    ShallowAdaptation("vl", width=6),
    FineTuning("none"),
    FineTuning("full"),
]


def network(backbone: Path, adaptation: Adaptation | None, seed: int = 0) -> CLIPSegNet:
    torch.manual_seed(seed)
    return CLIPSegNet(backbone, adaptation, default_prompt="one polyp").eval()


def images(count: int = 2, slices: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3 * slices, tiny.SIZE, tiny.SIZE, generator=generator)


def opened(made: CLIPSegNet) -> CLIPSegNet:
    """As after some training: the attention does something."""
    with torch.no_grad():
        for block in made.modules():
            if isinstance(block, SliceAttention):
                block.up.weight.normal_()
                block.gate.fill_(1)
    return made


def test_parameters_at_real_size() -> None:
    with torch.device("meta"):
        real = CLIPSegNet("CIDAS/clipseg-rd64-refined", SliceContextAdaptation(DenseAdaptation()), load_weights=False)
        dense = CLIPSegNet("CIDAS/clipseg-rd64-refined", DenseAdaptation(), load_weights=False)
        wider = CLIPSegNet("CIDAS/clipseg-rd64-refined", SliceContextAdaptation(context=2), load_weights=False)
    blocks = [block for block in real.modules() if isinstance(block, SliceAttention)]
    assert [sum(one.numel() for one in block.parameters()) for block in blocks] == [149_505] * 3
    trained = [sum(one.numel() for one in net.parameters() if one.requires_grad) for net in (real, dense, wider)]
    assert trained[0] - trained[1] == trained[2] - trained[1] == 448_515


@pytest.mark.parametrize("context", [1, 2])
@pytest.mark.parametrize("inner", INNER, ids=str)
def test_it_begins_as_the_inner_adaptation(inner: Adaptation, context: int, backbone: Path) -> None:
    single, both = network(backbone, inner), network(backbone, SliceContextAdaptation(inner, context, width=8))
    own = {
        name.replace("feature_adapters.", "feature_adapters.inner."): one for name, one in single.state_dict().items()
    }
    torch.nn.Module.load_state_dict(both, own, strict=False)
    given = images(slices=both.slices)
    middle = given.unflatten(1, (-1, 3))[:, context]
    torch.testing.assert_close(both(given), single(middle), rtol=1e-5, atol=1e-6)
    assert not torch.equal(opened(both)(given), single(middle))


def test_one_slice_alone_is_the_inner_adaptation_for_good(backbone: Path) -> None:
    single, both = network(backbone, DENSE), opened(network(backbone, SliceContextAdaptation(DENSE, width=8)))
    torch.nn.Module.load_state_dict(both, single.state_dict(), strict=False)
    assert torch.equal(both(images(slices=1)), single(images(slices=1)))


def test_neighbours_count_and_their_order_too(backbone: Path) -> None:
    both = opened(network(backbone, SliceContextAdaptation(DENSE, width=8)))
    given = images(1)
    turned = given.unflatten(1, (3, 3)).flip(1).flatten(1, 2)
    other = torch.cat([given[:, :6], images(1, 1, seed=5)], dim=1)
    found = [both(one) for one in (given, turned, other)]
    assert not torch.allclose(found[0], found[1]) and not torch.allclose(found[0], found[2])


def test_slices_of_other_images_do_not_count(backbone: Path) -> None:
    both = opened(network(backbone, SliceContextAdaptation(DENSE, width=8)))
    given = images(3)
    torch.testing.assert_close(both(given)[1:2], both(given[1:2]), rtol=1e-4, atol=1e-5)


def test_every_parameter_trains(backbone: Path) -> None:
    """In the first step the last layer of a block only, which begins at zero; from the second on all of it."""
    both = network(backbone, SliceContextAdaptation(DENSE, width=8)).train()
    parameters = {name: one for name, one in both.named_parameters() if one.requires_grad}
    optimizer = torch.optim.AdamW(parameters.values(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        both(images()).square().mean().backward()
        optimizer.step()
    without = [name for name, one in parameters.items() if one.grad is None or not one.grad.any()]
    assert not without
    assert {name.split(".")[2] for name in parameters if "slice_attention" in name} == {"0", "1", "2"}


@pytest.mark.parametrize("inner", INNER[:3], ids=str)
def test_saved_alone_and_loaded_again(inner: Adaptation, backbone: Path, tmp_path: Path) -> None:
    both = opened(network(backbone, SliceContextAdaptation(inner, 2, width=8)))
    state = TrainedState(both).state_dict()
    torch.save(state, tmp_path / "model.pt")
    assert state.keys() == {SETTINGS_KEY, *both.trained_names}
    assert all("adapter" in name or "slice_attention" in name for name in both.trained_names)
    again = load_network(tmp_path / "model.pt")
    assert (again.slices, again.context, again.settings()["adaptation"]) == (5, 2, both.adaptation.settings())
    assert torch.equal(again(images(slices=5)), both(images(slices=5)))
    text = describe(tmp_path / "model.pt").adaptation_text
    assert text == f"SliceContextAdaptation(inner={type(inner).__name__}({text.split('(', 2)[2]}"
    with pytest.raises(ModelMismatchError, match="a model of another adaptation"):
        TrainedState(network(backbone, SliceContextAdaptation(inner, 1, width=8))).load_state_dict(state)


@pytest.mark.parametrize("inner", INNER, ids=str)
def test_settings_make_an_equal_value(inner: Adaptation) -> None:
    adaptation = SliceContextAdaptation(inner, 2, 16)
    assert build_adaptation(adaptation.settings()) == adaptation
    assert (adaptation.frozen_encoders, adaptation.saves_base) == (inner.frozen_encoders, inner.saves_base)
    assert adaptation.slices == 5 and inner.slices == 1


def test_frozen_slices_can_be_kept(backbone: Path) -> None:
    both = opened(network(backbone, SliceContextAdaptation(ShallowAdaptation("v", width=4), width=8)))
    given = images()
    kept = both.encode_frozen_image(given)
    assert kept.shape[:3] == (2, 3, 3)
    torch.testing.assert_close(both.forward_rows(kept, frozen_image=True), both(given))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context": 0}, "1 or 2 neighbours on either side, got context=0"),
        ({"context": 3}, "got context=3"),
        ({"context": True}, "got context=True"),
        ({"context": 1.0}, r"got context=1\.0"),
        ({"width": 6}, "width must be a multiple of 4, got 6"),
        ({"width": 4 * 10**9}, "width must be at most 8192, got 4000000000"),
        ({"inner": SliceContextAdaptation(DENSE)}, "inner must be an adaptation of single slices"),
        ({"inner": {"type": "Unknown"}}, "unknown adaptation 'Unknown'"),
        ({"inner": 5}, "inner must be"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SliceContextAdaptation(**arguments)


@pytest.mark.parametrize(("slices", "shape"), [(1, (2, 9)), (3, (2, 6)), (3, (2, 15)), (3, (0, 9))])
def test_wrong_numbers_of_slices_are_refused(slices: int, shape: tuple[int, int], backbone: Path) -> None:
    made = network(backbone, DENSE if slices == 1 else SliceContextAdaptation(DENSE, width=8))
    channels = "3 or 9" if slices == 3 else "3"
    with pytest.raises(ValueError, match=rf"image must be \(B, {channels}, H, W\)"):
        made(torch.zeros(*shape, tiny.SIZE, tiny.SIZE))


def test_of_bundles() -> None:
    both = SliceContextAdaptation(DENSE, 2)
    assert with_slices(DENSE, slice_count(2, True)) == both == with_slices(both, 5) == with_slices(both, None)
    assert with_slices(DENSE, slice_count(2, False)) is DENSE
    with pytest.raises(
        ContextError, match="is for 5 slices at a time, and here they are 1: set context to 2 and slice_att"
    ):
        with_slices(both, slice_count(2, False))
    for slices in (0, 2, 4, 7, -1):
        with pytest.raises(ContextError, match=f"slices must be 1, 3 or 5, .* got {slices}"):
            with_slices(DENSE, slices)
    with pytest.raises(ContextError, match="slice_attention needs neighbours"):
        slice_count(0, True)
    for adaptation in (DENSE, both):
        assert single_settings({"adaptation": adaptation.settings()}) == DENSE.settings()
    assert single_settings({}) == {}


@pytest.mark.parametrize("kind", ["onnx", pytest.param("torchscript", marks=pytest.mark.slow)])
def test_exported_with_its_neighbours(kind: str, backbone: Path, tmp_path: Path) -> None:
    """The export compares what the file computes with the network, for one image and for three."""
    both = opened(network(backbone, SliceContextAdaptation(DENSE, 1, width=8)))
    assert export_network(both, tmp_path, kind).difference < 1e-3
    assert json.loads((tmp_path / "model.json").read_text())["slices"] == 3


def test_check_of_a_file(backbone: Path, tmp_path: Path) -> None:
    torch.save(
        TrainedState(network(backbone, SliceContextAdaptation(DENSE, 2, width=8))).state_dict(), tmp_path / "a.pt"
    )
    assert check_model(tmp_path / "a.pt").slices == 5
