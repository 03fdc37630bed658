# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_vlsm.transforms import Temperatured
from monai_vlsm.transforms.temperature import calibrated


@pytest.mark.parametrize("temperature", [0.5, 2.0, 7.0])
def test_logits_are_divided(temperature: float) -> None:
    logits = torch.linspace(-8, 8, 101)
    assert torch.allclose(calibrated(logits.sigmoid(), temperature), (logits / temperature).sigmoid(), atol=1e-4)


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 1.3, 20.0])
def test_no_pixel_crosses_one_half(temperature: float) -> None:
    half = torch.tensor(0.5)
    near = [torch.nextafter(half, torch.tensor(end)) for end in (0.0, 1.0)]
    values = torch.cat([torch.rand(1000, generator=torch.Generator().manual_seed(0)), torch.stack([*near, half])])
    found = calibrated(values, temperature)
    assert torch.equal(found >= 0.5, values >= 0.5)
    order = values.argsort()
    assert bool((found[order].diff() >= 0).all())


def test_ends_stay() -> None:
    assert calibrated(torch.tensor([0.0, 1.0]), 3).tolist() == [0, 1]


def test_dictionary_keeps_meta_and_1_changes_nothing() -> None:
    found = MetaTensor(torch.tensor([0.2, 0.9]), meta={"filename_or_obj": "a.png"})
    changed = Temperatured("pred", 2.0)({"pred": found, "other": found})
    assert changed["pred"].meta["filename_or_obj"] == "a.png"
    assert torch.allclose(changed["pred"].as_tensor(), torch.tensor([1 / 3, 0.75]))
    assert changed["other"] is found
    assert Temperatured("pred")({"pred": found})["pred"] is found


@pytest.mark.parametrize("temperature", [0, -1, float("inf"), float("nan")])
def test_other_temperatures(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be above 0"):
        Temperatured("pred", temperature)
