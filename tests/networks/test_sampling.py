# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Networks that draw while they are asked the same thing several times."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_vlsm.adapters import Adaptation, CrossModalAdaptation, DenseAdaptation, TelescopicAdaptation
from monai_vlsm.networks import NothingDrawsError, sampling
from tests.adapters.trained import network
from tests.networks.tiny_networks import inputs

DRAWING = {
    "dropout of the network": (DenseAdaptation("v", 4), 0.3),
    "dropout of the adapters": (TelescopicAdaptation(), 0.0),
    "a variational adapter": (CrossModalAdaptation(4), 0.0),
}


@pytest.mark.parametrize("case", DRAWING)
def test_draws_within_and_as_before_behind(case: str, backbone: Path) -> None:
    adaptation, dropout = DRAWING[case]
    made = network(backbone, adaptation)
    made.dropout.p = dropout
    arguments, before = inputs(made, 2, 3), {name: one.clone() for name, one in made.state_dict().items()}
    mean = made(*arguments)
    with sampling(made):
        torch.manual_seed(0)
        drawn = [made(*arguments) for _ in range(2)]
        torch.manual_seed(0)
        assert torch.equal(made(*arguments), drawn[0])
        assert not made.training
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], mean)
    assert torch.equal(made(*arguments), mean) and not any(module.training for module in made.modules())
    assert all(torch.equal(one, before[name]) for name, one in made.state_dict().items())  # running statistics too


def test_as_before_behind_an_error(backbone: Path) -> None:
    made = network(backbone, CrossModalAdaptation(4))
    with pytest.raises(RuntimeError, match="mine"), sampling(made):
        raise RuntimeError("mine")
    assert not any(module.training for module in made.modules())


def test_a_network_in_training_mode_stays_in_it(backbone: Path) -> None:
    made = network(backbone, TelescopicAdaptation()).train()
    with sampling(made):
        pass
    assert all(module.training for module in made.modules())


@pytest.mark.parametrize("adaptation", [DenseAdaptation("v", 4), CrossModalAdaptation(4, variational=False)], ids=str)
def test_nothing_that_draws(adaptation: Adaptation, backbone: Path) -> None:
    with (
        pytest.raises(NothingDrawsError, match="neither dropout nor a variational adapter"),
        sampling(network(backbone, adaptation)),
    ):
        pass
