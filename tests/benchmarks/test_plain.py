# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The baseline computes what the package computes: logits, gradients, what trains, and what is read from files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bundle import image_folder, read_config
from cases_epoch import plain_images
from cases_network import plain_network
from conditions import Conditions, common_name, random_batch
from ours import our_network
from plain import KINDS, PlainTrainer
from torch import nn

from monai_vlsm.losses import PromptedSegmentationLoss

QUICK = Conditions(quick=True)


@pytest.fixture(autouse=True)
def quickly(small_network: None) -> None:
    """All tests here are quick ones."""


def gradients(network: nn.Module) -> dict[str, torch.Tensor]:
    return {common_name(name): part.grad for name, part in network.named_parameters() if part.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_same_logits_and_gradients(kind: str) -> None:
    plain, ours = plain_network(kind, QUICK), our_network(kind, QUICK)
    image, ids, mask, target = random_batch(QUICK)
    logits = plain(image, ids[:, 0], mask[:, 0]), ours(image, ids, mask)
    torch.testing.assert_close(*logits, atol=1e-5, rtol=0)
    for each in logits:
        PromptedSegmentationLoss()(each, target).backward()
    expected, found = gradients(plain), gradients(ours)
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_changes_what_trains_only(kind: str) -> None:
    network = plain_network(kind, QUICK)
    before = {name: part.detach().clone() for name, part in network.named_parameters()}
    image, ids, mask, target = random_batch(QUICK)
    PlainTrainer(network, torch.device("cpu")).step(image, ids[:, 0], mask[:, 0], target)
    changed = {name for name, part in network.named_parameters() if not torch.equal(part, before[name])}
    trains = {name for name, part in network.named_parameters() if part.requires_grad}
    assert changed and changed <= trains
    assert all("adapter" in name for name in changed) != (kind == "decoder")


def test_baseline_computes_all_layers_and_positions() -> None:
    network = plain_network("dense_vl", QUICK)
    seen: dict[str, torch.Size] = {}
    for name, encoder in (("vision", network.model.clip.vision_model), ("text", network.model.clip.text_model)):
        last = encoder.encoder.layers[-1]
        last.register_forward_hook(lambda _m, _i, output, name=name: seen.update({name: output.shape}))
    image, ids, mask, _ = random_batch(QUICK)
    network(image, ids[:, 0], mask[:, 0])
    assert set(seen) == {"vision", "text"}
    assert seen["text"][1] == 77


def test_images_are_read_as_the_bundle_reads_them(backbone: Path) -> None:
    folder = image_folder(3, 1, 48, 36)
    settings = {"dataset_dir": str(folder), "backbone": str(backbone), "num_workers": 0}
    ours = read_config("vlsm_dense", **settings).get_parsed_content("train#dataset")
    for (image, ids, mask, target), item in zip(plain_images(QUICK, folder, 32, backbone), ours, strict=True):
        # PIL rounds to 8 bits between its two passes; a step of 8 bits is 0.018 after normalisation
        torch.testing.assert_close(item["image"].as_tensor(), image, atol=0.05, rtol=0)
        assert (item["label"].as_tensor() != target).float().mean() < 0.01
        length = int(mask.sum())
        assert item["input_ids"].flatten()[:length].tolist() == ids[:length].tolist()
