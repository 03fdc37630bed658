# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Numbers computed with the classes of the VLSM-Adapter authors, and how their names map to ours.

Made with their repository at d5b5a5e, transformers 4.41.1, monai 1.3.2, torch 2.13.0 on a CPU in float32, tiny
architectures and random weights. They are read as float64 and our networks compute in it: sums of float32 round
differently on another processor, and where an activation lies within that noise of zero the gradient of its ReLU is
another one. ``da_vlc`` and ``sa_vlc`` lie beside this file; the others are read from
``../shared/golden``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

from monai_vlsm.adapters import Adaptation
from monai_vlsm.networks import CLIPSegNet

HERE = Path(__file__).parent
FOLDERS = (HERE, HERE.parents[2] / "shared" / "golden")

LAYER = "base.clip.{encoder}.encoder.layers.{index}.{place}.adapter.{part}"
ENCODERS = {"v": "vision_model", "l": "text_model"}
PLACES = {"attn": "self_attn", "out": "mlp"}
FEATURE_ADAPTERS = {"vision": "skip_adapters", "text": "text_adapters"}
PARTS = {"fc1": "down", "fc2": "up"}


def our_name(official: str) -> str:
    """Translate a parameter name of the authors' CLIPSeg classes to ours."""
    if match := re.fullmatch(r"(v|l)_(attn|out)_adapters\.(\d+)\.(fc1|fc2)\.(weight|bias)", official):
        encoder, place, index, part, kind = match.groups()
        name = LAYER.format(encoder=ENCODERS[encoder], index=index, place=PLACES[place], part=PARTS[part])
        return f"{name}.{kind}"
    if match := re.fullmatch(r"cond_adapter\.(fc1|fc2)\.(weight|bias)", official):
        return f"feature_adapters.condition_adapter.{PARTS[match[1]]}.{match[2]}"
    if match := re.fullmatch(r"(vision|text)_extract_adapters\.(\d+)\.(fc1|fc2)\.(weight|bias)", official):
        encoder, index, part, kind = match.groups()
        return f"feature_adapters.{FEATURE_ADAPTERS[encoder]}.{index}.{PARTS[part]}.{kind}"
    return re.sub(r"^clipseg\.", "base.", official)


@dataclass(frozen=True)
class Golden:
    """One file of golden numbers."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """Tensors below ``prefix/``, under our names."""
        start = prefix + "/"
        return {our_name(key[len(start) :]): value for key, value in self.tensors.items() if key.startswith(start)}

    def network(self, adaptation: Adaptation | None, folder: Path) -> CLIPSegNet:
        """A network with the weights of the file; ``folder`` receives its architecture."""
        config = CLIPSegConfig(**self.facts["config"])
        CLIPSegForImageSegmentation(config).save_pretrained(folder)
        network = CLIPSegNet(folder, adaptation=adaptation, image_size=64)
        # position ids are no weights; the authors' shallow classes hold CLIP a second time, as ``clip.*``
        state = self.group("state").items()
        ours = {name: value for name, value in state if not name.endswith("position_ids") and name[:5] != "clip."}
        network.load_state_dict(ours, strict=True)
        return network.double()


def load(name: str) -> Golden:
    """Read golden numbers, or skip where the file is not at hand."""
    for folder in FOLDERS:
        if (folder / f"{name}.safetensors").is_file():
            facts = json.loads((folder / f"{name}.json").read_text())
            tensors = load_file(folder / f"{name}.safetensors")
            return Golden(facts, {key: _widened(value) for key, value in tensors.items()})
    pytest.skip(f"golden numbers {name} are not at hand")


def _widened(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value
