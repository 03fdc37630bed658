# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The Python of docs/export.md runs as it stands, the first part without torch or this package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_vlsm.adapters import Adaptation
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.export import export_network
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.samples import sample_dir
from monai_vlsm.serving import Segmenter

TEXT = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
ONNX, TORCHSCRIPT, PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PROMPTS = ["brain", "white matter"]


@pytest.fixture(scope="module")
def network() -> CLIPSegNet:
    return CLIPSegNet("clipseg-mini", Adaptation(), default_prompt="brain").eval()


@pytest.fixture
def folder(network: CLIPSegNet, tmp_path: Path) -> Path:
    image = Image.open(sample_dir() / "images" / "axial_+20.png")
    image.resize((230, 200), Image.Resampling.BICUBIC).save(tmp_path / "scan.png")
    export_network(network, tmp_path / "exported", prompts=PROMPTS)
    return tmp_path


@pytest.mark.slow
def test_examples(network: CLIPSegNet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heavy = "\nimport sys\nassert not {'torch', 'monai', 'monai_vlsm', 'transformers'} & set(sys.modules)\n"
    command = [sys.executable, "-c", ONNX + heavy]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert re.findall(r"^(.+): \d+ pixels, existence \d\.\d\d$", result.stdout, re.MULTILINE) == PROMPTS
    masks = Segmenter(network, device="cpu", amp=False)(folder / "scan.png", PROMPTS).masks
    for prompt, wanted in zip(PROMPTS, masks, strict=True):
        mask = np.asarray(Image.open(folder / f"{prompt}.png"))
        assert mask.shape == (200, 230)
        assert wanted.any()
        assert (mask == wanted.astype(bool)).mean() > 0.998  # pillow rounds the resized image
    export_network(network, folder / "torchscript", "torchscript", prompts=PROMPTS)
    shutil.move(folder / "torchscript" / "model.ts", folder / "exported")
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(ONNX, names)
    of_onnx = names["logits"]
    exec(TORCHSCRIPT, names)
    np.testing.assert_allclose(names["logits"], of_onnx, atol=1e-3)  # type: ignore[call-overload]


@pytest.fixture
def trained(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model.pt where the documents have it, below the working folder."""
    model = tmp_path / "bundles" / "vlsm_dense" / "models" / "model.pt"
    model.parent.mkdir(parents=True)
    torch.save(TrainedState(CLIPSegNet(backbone)).state_dict(), model)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("trained")
def test_python_example() -> None:
    exec(PYTHON, {})
    assert Path("exported", "model.onnx").is_file()
