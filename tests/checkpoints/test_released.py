# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Files of released versions keep their meaning.

``released/0.1.0.pt`` was trained by the code of 0.1.0, for one epoch on the embedded sample::

    python -m monai.bundle run --config_file bundles/vlsm_dense/configs/train.json \\
        --epochs 1 --adapter_width 1 --encoders v

A later format adds a file and leaves this one; the expected logits below are those of the version that wrote it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import describe
from monai_vlsm.networks import load_network

FILE = Path(__file__).with_name("released") / "0.1.0.pt"
LOGITS = [-5.1091, -4.4873, -5.2751, -6.5852, -5.1963, -5.0197, -5.6889, -6.8477]


def test_what_it_says() -> None:
    settings = describe(FILE).settings
    assert (settings["network"], settings["backbone"], settings["image_size"]) == ("CLIPSegNet", "clipseg-mini", 160)
    assert settings["adaptation"] == {"type": "DenseAdaptation", "encoders": "v", "width": 1, "condition_width": None}
    assert settings["default_prompt"] == "brain"


def test_the_network_answers_as_it_did() -> None:
    network = load_network(FILE).eval()
    assert network.adaptation == DenseAdaptation("v", width=1)
    image = torch.linspace(-2, 2, 3 * 160 * 160).reshape(1, 3, 160, 160)
    with torch.no_grad():
        logits = network(image).flatten()
    assert logits[:: len(logits) // 8].tolist() == pytest.approx(LOGITS, abs=0.01)
