# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A trained model as a plain checkpoint of transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPSegForImageSegmentation

from monai_vlsm.adapters import (
    Adaptation,
    Combination,
    DenseAdaptation,
    FineTuning,
    LoRAAdaptation,
    MergeError,
    SSFAdaptation,
)
from monai_vlsm.commands import main
from monai_vlsm.networks import CLIPSegNet, TargetUNet, load_base, load_network, merged_network
from tests.serving.models import ask, save

LORA = LoRAAdaptation(rank=2, dora=True)


def write(backbone: Path, adaptation: Adaptation, file: Path) -> CLIPSegNet:
    torch.manual_seed(0)
    network = CLIPSegNet(backbone, adaptation, default_prompt="one polyp").eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    save(network, file)
    return network


@pytest.mark.parametrize("adaptation", [LORA, Combination([SSFAdaptation(), FineTuning()])], ids=["lora", "two"])
def test_transformers_loads_it(
    adaptation: Adaptation, backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = write(backbone, adaptation, tmp_path / "model.pt")
    assert main(["merge", str(tmp_path / "model.pt"), "--output", str(tmp_path / "plain")]) == 0
    said = capsys.readouterr().out
    assert "logits differ by at most" in said and "image size 32 px, default prompt 'one polyp'" in said
    plain, report = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "plain", output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert plain.state_dict().keys() == load_base(backbone).state_dict().keys()
    ids, image = network.default_input_ids.expand(2, -1), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        found = plain.eval()(pixel_values=image, input_ids=ids).logits
        torch.testing.assert_close(found, network(image)[:, 0], atol=2e-5, rtol=1e-4)
    again = CLIPSegNet(tmp_path / "plain").eval()  # it is a backbone, with its tokenizer
    torch.testing.assert_close(ask(again), ask(network), atol=2e-5, rtol=1e-4)
    assert CLIPSegNet(tmp_path / "plain", default_prompt="one polyp").default_input_ids.tolist() == ids[:1].tolist()


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


@pytest.mark.parametrize("adaptation", [DenseAdaptation("v", 4), Combination([LORA, DenseAdaptation("v", 4)])], ids=str)
def test_what_cannot_be_merged(
    adaptation: Adaptation, backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(backbone, adaptation, tmp_path / "model.pt")
    said = refusal(["merge", str(tmp_path / "model.pt"), "--output", str(tmp_path / "plain")], capsys)
    assert "DenseAdaptation cannot be merged" in said
    assert not (tmp_path / "plain").exists()


def test_a_base_that_was_changed(backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = Path(shutil.copytree(backbone, tmp_path / "changed"))
    tensors = load_file(changed / "model.safetensors")
    tensors["clip.text_projection.weight"] += 1e-3
    save_file(tensors, changed / "model.safetensors", {"format": "pt"})
    write(backbone, LORA, tmp_path / "model.pt")
    arguments = ["merge", str(tmp_path / "model.pt"), "--output", str(tmp_path / "plain"), "--backbone", str(changed)]
    said = refusal(arguments, capsys)
    assert "a model of another base: the file was trained on" in said
    assert not (tmp_path / "plain").exists()


def test_nothing_is_overwritten(backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(backbone, LORA, tmp_path / "model.pt")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "notes.txt").write_text("mine")
    said = refusal(["merge", str(tmp_path / "model.pt"), "--output", str(tmp_path / "plain")], capsys)
    assert "nothing is overwritten" in said
    assert [path.name for path in (tmp_path / "plain").iterdir()] == ["notes.txt"]


def test_an_export_of_the_merged_network(backbone: Path, tmp_path: Path) -> None:
    network, folder = write(backbone, LORA, tmp_path / "model.pt"), tmp_path / "exported"
    words = ["export", str(tmp_path / "model.pt"), "--format", "torchscript", "--output", str(folder), "--merge"]
    assert main(words) == 0
    assert json.loads((folder / "model.json").read_text())["adaptation"] == {"type": "Adaptation"}
    module, texts = torch.jit.load(str(folder / "model.ts")), np.load(folder / "prompts.npz")
    assert "adapter" not in str(module.inlined_graph)
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        found = module(image, torch.from_numpy(texts["embedding"])[None])
        torch.testing.assert_close(found, network(image), atol=1e-3, rtol=0)


def test_a_merged_model_keeps_what_its_file_recorded(backbone: Path, tmp_path: Path) -> None:
    network = write(backbone, LORA, tmp_path / "model.pt")
    network.existence_threshold, network.temperature, network.window = 0.25, 2.0, [0, 10]
    save(network, tmp_path / "model.pt")
    plain = merged_network(load_network(tmp_path / "model.pt"))
    assert (plain.existence_threshold, plain.temperature, plain.default_prompt) == (0.25, 2.0, "one polyp")
    assert plain.window == [0, 10]


def test_a_network_without_adapters() -> None:
    with pytest.raises(MergeError, match="TargetUNet has no adapters, so there is nothing to merge"):
        merged_network(TargetUNet("unet-mini", ["brain"]))
