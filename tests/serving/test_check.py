# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_vlsm.checkpoints import ModelMismatchError, TrainedState, seal
from monai_vlsm.networks import CLIPSegNet, TargetUNet
from monai_vlsm.serving import check_model
from tests.serving.models import ADAPTATIONS, save

Files = dict[str, Path]


@pytest.mark.parametrize("kind", ADAPTATIONS)
def test_check_fits(kind: str, files: Files, backbone: Path) -> None:
    assert check_model(files[kind]).backbone == str(backbone)


def test_check_of_a_unet_that_needs_a_target(tmp_path: Path) -> None:
    file = save(TargetUNet("unet-mini", targets=["white matter"]), tmp_path / "model.pt")
    check_model(file)


def test_check_of_damaged_weights(trained: dict[str, CLIPSegNet], tmp_path: Path) -> None:
    state = TrainedState(trained["dense v"]).state_dict()
    for name in trained["dense v"].trained_names:
        state[name].fill_(3e38)
    torch.save(seal(state), tmp_path / "model.pt")
    with pytest.raises(ModelMismatchError, match=r"model\.pt loads on .*, but computes values that are no numbers"):
        check_model(tmp_path / "model.pt")


def test_check_of_a_model_that_does_not_run(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: CLIPSegNet, *_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no memory is large enough")

    monkeypatch.setattr(CLIPSegNet, "forward", forward)
    with pytest.raises(ModelMismatchError, match=r"loads on .*, but does not run: no memory is large enough"):
        check_model(files["dense v"])
