# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A bundle with another adaptation than its own: trained, gone on with, evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.adapters import LoRAAdaptation
from monai_vlsm.checkpoints import describe
from monai_vlsm.errors import first_cause
from monai_vlsm.networks import CLIPSegNet
from tests.bundles.dataset import write_dataset
from tests.bundles.test_vlsm_dense import EVALUATE, TRAIN, run
from tests.serving.images import write_model

LORA = LoRAAdaptation("v", rank=2)


@pytest.mark.slow
def test_the_file_brings_its_adaptation(backbone: Path, tmp_path: Path, blank_curves: None) -> None:
    settings: dict[str, Any] = {"dataset_dir": str(write_dataset(tmp_path / "data")), "backbone": str(backbone)}
    settings |= {"num_workers": 0, "amp": False, "batch_size": 4, "device": torch.device("cpu"), "overlays": 0}
    given = {"_target_": "monai_vlsm.adapters.LoRAAdaptation", "encoders": "v", "rank": 2}
    run([TRAIN], tmp_path / "run", adaptation=given, epochs=1, **settings)
    run([TRAIN], tmp_path / "run", resume=True, epochs=2, **settings)
    model = tmp_path / "run" / "models" / "model.pt"
    run([TRAIN], tmp_path / "next", start_from=str(model), epochs=1, **settings)
    for file in (model, tmp_path / "next" / "models" / "model.pt"):
        assert describe(file).settings["adaptation"] == LORA.settings()
    run([TRAIN, EVALUATE], tmp_path / "evaluated", model_file=str(model), probes=False, **settings)
    assert (tmp_path / "evaluated" / "metrics.csv").is_file()


def test_a_file_of_another_adaptation(backbone: Path, tmp_path: Path) -> None:
    """Another one is typed than that of the file: nothing is made, and the file is named."""
    model = write_model(CLIPSegNet(backbone, LORA), tmp_path / "lora.pt")
    settings = {"dataset_dir": str(write_dataset(tmp_path / "data")), "backbone": str(backbone), "num_workers": 0}
    dense = {"_target_": "monai_vlsm.adapters.DenseAdaptation", "width": 4}
    with pytest.raises(Exception) as error:
        run([TRAIN], tmp_path / "out", start_from=str(model), adaptation=dense, **settings)
    assert str(first_cause(error.value)).startswith(f"{model} is a model of another adaptation")
    assert not (tmp_path / "out").exists()
