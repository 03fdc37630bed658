# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from torch import nn

from monai_vlsm.adapters import (
    AdapterTargets,
    EncoderTargets,
    FineTuning,
    NothingTrainsError,
    build_adaptation,
    trainable_parameters,
)


def frozen_targets() -> AdapterTargets:
    decoder, encoder = (nn.Linear(2, 2).requires_grad_(False) for _ in range(2))
    nothing = EncoderTargets(2, [])
    return AdapterTargets(nothing, nothing, (1,), 2, decoder=decoder, used=[encoder, decoder])


def trains(module: nn.Module) -> bool:
    return all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize(
    ("part", "decoder", "encoder"), [("none", False, False), ("decoder", True, False), ("full", True, True)]
)
def test_what_trains(part: str, decoder: bool, encoder: bool) -> None:
    targets = frozen_targets()
    FineTuning(part).install(targets)
    assert (trains(targets.decoder), trains(targets.used[0])) == (decoder, encoder)
    assert FineTuning(part).saves_base == (part == "full")


def test_settings_make_an_equal_value() -> None:
    assert build_adaptation(FineTuning("full").settings()) == FineTuning("full")


def test_unknown_part() -> None:
    with pytest.raises(ValueError, match="trainable must be one of 'none', 'decoder', 'full', got 'all'"):
        FineTuning("all")


def test_nothing_to_optimise() -> None:
    network = nn.Linear(2, 2)
    assert len(trainable_parameters(network)) == 2
    with pytest.raises(NothingTrainsError, match="--zero_shot True"):
        trainable_parameters(network.requires_grad_(False))
