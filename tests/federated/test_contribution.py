# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the server takes from sites, and the exact average of it; BatchNorm among it."""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import monai_vlsm.federated as federated
from monai_vlsm.checkpoints import TrainedState, tensors_of
from monai_vlsm.federated import Contribution, FederatedError, average, outgoing, put, read_contribution
from monai_vlsm.federated.contribution import IMAGES, REFUSED
from tests.networks.tiny_networks import build, inputs

WANTED: dict[str, tuple[int, ...]] = {"weight": (2,), "scale": ()}
WEIGHTS = {"weight": np.float32([1, 2]), "scale": np.asarray(3, np.float32)}
META = {IMAGES: 10}


def test_public_names() -> None:
    assert federated.__all__ == sorted(federated.__all__)
    assert all(inspect.getdoc(getattr(federated, name)) for name in federated.__all__)


def test_a_site_counts_by_its_images() -> None:
    """The scale of a telescopic adapter has no axis, and keeps none."""
    one = read_contribution(WANTED, WEIGHTS, {IMAGES: 10}, {"val_dice": 0.5})
    three = read_contribution(WANTED, {"weight": np.float32([5, 2]), "scale": np.float32(7)}, {IMAGES: 30}, {})
    found = average({"one": one, "three": three})
    assert found["weight"].tolist() == [4.0, 2.0]
    assert (found["scale"].tolist(), found["scale"].shape) == (6.0, ())
    assert {values.dtype for values in found.values()} == {np.dtype("float32")}
    assert average({"one": one})["weight"].tolist() == [1.0, 2.0]


def test_the_order_in_which_sites_answer_changes_no_bit() -> None:
    drawn = np.random.default_rng(0)
    counts = {"a": 3, "b": 7, "c": 11}
    sites = {at: Contribution(n, {"w": np.float32(drawn.normal(size=1000))}) for at, n in counts.items()}
    exact = sum(one.images * one.weights["w"].astype(np.float64) for one in sites.values()) / 21
    for order in itertools.permutations(sites.items()):
        assert np.array_equal(average(dict(order))["w"], exact.astype(np.float32))


@pytest.mark.parametrize(
    ("weights", "meta", "scores", "line"),
    [
        ({**WEIGHTS, "weight": np.float32([1, np.nan])}, META, {}, r"weight must be finite .* with 1 that are no num"),
        ({**WEIGHTS, "weight": np.array(["a", "b"])}, META, {}, r"weight must be finite numbers of shape \(2,\)"),
        (
            {**WEIGHTS, "scale": np.float32([3])},
            META,
            {},
            r"scale must be finite numbers of .* \(\), and is .*\(1,\)",
        ),
        ({"weight": WEIGHTS["weight"]}, META, {}, r"missing \['scale'\] and unexpected \[\]"),
        ({**WEIGHTS, "other": np.float32([0])}, META, {}, r"unexpected \['other'\]"),
        (WEIGHTS, META, {"val_dice": float("nan")}, "val_dice of the received model is nan, which is no number"),
        (WEIGHTS, META, {"val_dice": "0.9"}, "val_dice of the received model is '0.9'"),
        (WEIGHTS, {}, {}, r"number of training images must be a whole number from 1 to 2\*\*31, and is None"),
        (WEIGHTS, {IMAGES: 0}, {}, "and is 0"),
        (WEIGHTS, {IMAGES: -3}, {}, "and is -3"),
        (WEIGHTS, {IMAGES: True}, {}, "and is True"),
        (WEIGHTS, {IMAGES: 10**5000}, {}, "and is larger"),
        ({**WEIGHTS, "weight": np.array([1, 1e300])}, META, {}, "float64 of .* with 1 that are no numbers"),
        (WEIGHTS, {IMAGES: float("inf")}, {}, "and is inf"),
        ({}, {REFUSED: "the base\ndiffers"}, {}, "^the base differs$"),
    ],
)
def test_what_cannot_be_taken(weights: Any, meta: Any, scores: Any, line: str) -> None:
    with pytest.raises(FederatedError, match=line) as error:
        read_contribution(WANTED, weights, meta, scores)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["telescopic", pytest.param("cris", marks=pytest.mark.slow)])
def test_batch_norm(kind: str, backbone: Path) -> None:
    """Mean and variance are averaged like weights; the counter is that of the file to begin with, on all sites."""
    network = build(kind, backbone)
    layers = {name: one for name, one in network.named_modules() if isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d)}
    own = {name for name in layers if f"{name}.running_var" in network.trained_names}
    assert own
    states = []
    for seed in (0, 1, 2):
        drawn = torch.Generator().manual_seed(seed)
        for name in own:
            layers[name].running_mean.normal_(generator=drawn)  # type: ignore[union-attr, operator]
            layers[name].running_var.uniform_(0.5, 2, generator=drawn)  # type: ignore[union-attr, operator]
            layers[name].num_batches_tracked.fill_(10 * seed)  # type: ignore[union-attr, operator]
        states.append(TrainedState(network).state_dict())
    start, first, second = states
    sent = {"first": Contribution(1, outgoing(first)), "second": Contribution(3, outgoing(second))}
    found = put(start, average(sent))
    for name in own:
        for part in ("running_mean", "running_var"):
            both = (one[f"{name}.{part}"].double() for one in (first, second))
            exact = (next(both) + 3 * next(both)) / 4
            assert torch.equal(found[f"{name}.{part}"], exact.float())
        assert found[f"{name}.num_batches_tracked"].item() == 0
    assert {name: value.shape for name, value in tensors_of(found).items()} == {
        name: value.shape for name, value in tensors_of(start).items()
    }
    TrainedState(network).load_state_dict(found)
    with torch.no_grad():
        assert network(*inputs(network)).isfinite().all()
