# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from monai_vlsm.checkpoints import SETTINGS_KEY, seal
from monai_vlsm.federated import FederatedError, compare_terms, outgoing, put, terms_of
from monai_vlsm.federated.terms import packed, unpacked


@pytest.fixture
def state() -> dict[str, Any]:
    """What a decoder with a BatchNorm layer may have trained."""
    tensors = {
        "weight": torch.tensor([[1.0, 2.0]]),
        "half": torch.tensor([0.5], dtype=torch.bfloat16),
        "norm.running_mean": torch.tensor([3.0]),
        "norm.num_batches_tracked": torch.tensor(7),
    }
    return seal({**tensors, SETTINGS_KEY: {"network": "CLIPSegNet"}})


def test_floats_travel_and_counters_stay(state: dict[str, Any]) -> None:
    sent = outgoing(state)
    assert set(sent) == {"weight", "half", "norm.running_mean"}
    assert {values.dtype for values in sent.values()} == {np.dtype("float32")}
    came = put(state, {name: values + 1 for name, values in sent.items()})
    assert came["weight"].tolist() == [[2.0, 3.0]]
    assert came["norm.running_mean"].tolist() == [4.0]
    assert came["half"].dtype is torch.bfloat16
    assert came["norm.num_batches_tracked"].item() == 7
    assert came[SETTINGS_KEY]["checksums"] != state[SETTINGS_KEY]["checksums"]


def test_no_nan_leaves_a_site_or_enters_one(state: dict[str, Any]) -> None:
    sent = outgoing(state)
    with pytest.raises(FederatedError, match="weight must be finite"):
        put(state, {**sent, "weight": np.full((1, 2), np.nan, np.float32)})
    state["weight"][0, 0] = float("inf")
    with pytest.raises(FederatedError, match="weight holds values that are no numbers"):
        outgoing(state)


def test_other_names_and_shapes_are_refused(state: dict[str, Any]) -> None:
    sent = outgoing(state)
    with pytest.raises(FederatedError, match=r"shape \(1, 2\), and is float32 of \(2,\)"):
        put(state, {**sent, "weight": np.zeros(2, np.float32)})
    with pytest.raises(FederatedError, match=r"missing \['weight'\] and unexpected \['other'\]"):
        put(state, {**{name: sent[name] for name in ("half", "norm.running_mean")}, "other": sent["half"]})


SETTINGS = {"format": 3, "base": "a" * 64, "backbone": "here", "image_size": 352, "adaptation": {"layers": (1, 2)}}


def test_terms_know_what_may_differ() -> None:
    own = terms_of({**SETTINGS, "backbone": "there", "temperature": 2.0, "amp": False, "amp_dtype": "bfloat16"})
    compare_terms(unpacked(packed(terms_of(SETTINGS))), own)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("base", "b" * 64, "the base differs: the federation has aaaaaaaaaaaa, this site has bbbbbbbbbbbb"),
        ("format", 4, "the format number of model.pt differs: the federation has 3, this site has 4"),
        ("image_size", 224, "the image size differs: the federation has 352, this site has 224"),
        ("adaptation", {"layers": [1]}, "adaptation differs: the federation has .*1, 2.*, this site has .*1"),
    ],
)
def test_another_network_is_named(name: str, value: object, line: str) -> None:
    with pytest.raises(FederatedError, match=line) as error:
        compare_terms(terms_of(SETTINGS), terms_of({**SETTINGS, name: value}))
    assert "\n" not in str(error.value)
