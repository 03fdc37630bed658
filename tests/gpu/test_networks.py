# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Networks, metrics and handlers on a GPU against the same on a CPU."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from monai_vlsm.adapters import DenseAdaptation, trainable_parameters
from monai_vlsm.caches import DistinctPrompts, EncodedPrompts, PromptCache
from monai_vlsm.handlers.calibration import count_bins
from monai_vlsm.handlers.random_state import get_random_state, set_random_state
from monai_vlsm.inferers import PromptInferer
from monai_vlsm.losses import PromptedSegmentationLoss
from monai_vlsm.metrics import Hausdorff95Metric
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.transforms.existence import existence_scores
from tests.networks.tiny_networks import build, inputs

KINDS = ["dense_vlc", "shallow_vlc", "full", "cris", "san", "unet"]


def step(network: Any, device: torch.device, dtype: torch.dtype | None = None) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients, on the CPU, of one step; in mixed precision if a type is given."""
    network = copy.deepcopy(network).to(device).train()
    image, ids, mask = (part.to(device) for part in inputs(network, 2, 3))
    torch.manual_seed(0)
    target = (torch.rand(2, 3, *image.shape[-2:]) > 0.5).float().to(device)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        loss = PromptedSegmentationLoss()(network(image, ids, mask), target)
    loss.backward()
    found = {name: one.grad.cpu() for name, one in network.named_parameters() if one.grad is not None}
    return float(loss), found


def alike(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """Cosine of the angle between two sets of gradients."""
    assert first.keys() == second.keys()
    one, other = (torch.cat([part.flatten() for part in found.values()]) for found in (first, second))
    assert one.isfinite().all() and one.norm() > 0
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16], ids=["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_step(kind: str, dtype: torch.dtype | None, device: torch.device, backbone: Path) -> None:
    network = build(kind, backbone)
    (loss, gradients), (expected, wanted) = step(network, device, dtype), step(network, torch.device("cpu"))
    assert loss == pytest.approx(expected, abs=0.01 if dtype is None else 0.05)
    assert alike(gradients, wanted) > (0.95 if dtype is None else 0.5)  # BatchNorm over two images amplifies rounding
    assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}


@pytest.mark.parametrize("dtype", [None, torch.float16], ids=["float32", "float16"])
def test_checkpointing_computes_the_same(dtype: torch.dtype | None, device: torch.device, backbone: Path) -> None:
    network = CLIPSegNet(backbone, DenseAdaptation("vl", width=4), dropout=0.5)
    plain = step(network, device, dtype)
    network.checkpointing = True
    recomputed = step(network, device, dtype)
    assert recomputed[0] == pytest.approx(plain[0], abs=1e-5)
    for name, gradient in plain[1].items():
        assert_close(recomputed[1][name], gradient, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled(backend: str, device: torch.device, backbone: Path) -> None:
    network = CLIPSegNet(backbone, DenseAdaptation("vl", width=4)).to(device).eval()
    image, ids, mask = (part.to(device) for part in inputs(network, 2, 3))
    expected = PromptInferer()(image, network, ids, mask)
    compiled = copy.deepcopy(network)
    compiled.compile(backend=backend)
    found = PromptInferer()(image, compiled, ids, mask)
    assert_close(found, expected, atol=5e-3, rtol=5e-3)
    found.square().mean().backward()
    assert all(one.grad is not None for one in trainable_parameters(compiled))


@pytest.mark.parametrize("tokens_on", ["cpu", "cuda"])
@pytest.mark.parametrize("how", ["plain", "distinct", "encoded", "kept", "by image"])
def test_inferer(how: str, tokens_on: str, device: torch.device, backbone: Path) -> None:
    """Images that come twice, prompts that repeat, and images with fewer prompts than others."""
    network = CLIPSegNet(backbone, DenseAdaptation("v", width=4)).eval()
    image, ids, mask = inputs(network, 3, 2)
    image[1], ids[2], mask[2], mask[0, 1] = image[0], ids[0], mask[0], 0
    with torch.no_grad():
        expected = PromptInferer(cpu_autocast=False)(image, network, ids, mask)
        network.to(device)
        kinds: dict[str, Any] = {
            "distinct": DistinctPrompts(),
            "encoded": EncodedPrompts(network),
            "kept": PromptCache(network),
        }
        inferer = PromptInferer(prompts=kinds.get(how), by_image=how == "by image")
        tokens = (ids.to(tokens_on), mask.to(tokens_on))
        assert_close(inferer(image.to(device), network, *tokens).cpu(), expected, atol=5e-3, rtol=5e-3)


def test_volume_in_slices(device: torch.device, backbone: Path) -> None:
    network = CLIPSegNet(backbone, DenseAdaptation("vl", width=4)).eval()
    volume = torch.randn(1, 3, 32, 32, 5)
    _, ids, mask = inputs(network, 1, 2)
    with torch.no_grad():
        expected = PromptInferer(cpu_autocast=False, slice_batch=2)(volume, network, ids, mask)
        there = [part.to(device) for part in (volume, ids, mask)]
        found = PromptInferer(slice_batch=2, keep_slices=True)(there[0], network.to(device), *there[1:])
    assert_close(found.cpu(), expected, atol=5e-3, rtol=5e-3)


def test_scores_of_masks_on_a_gpu(device: torch.device) -> None:
    torch.manual_seed(0)
    probabilities = torch.rand(2, 1, 20, 30)
    pred, truth = (probabilities > 0.5).float(), (torch.rand(2, 1, 20, 30) > 0.5).float()
    found = Hausdorff95Metric()(pred.to(device), truth.to(device))
    assert_close(torch.as_tensor(found).cpu(), torch.as_tensor(Hausdorff95Metric()(pred, truth)))
    assert_close(count_bins(probabilities.to(device), truth.to(device)), count_bins(probabilities, truth))
    assert_close(existence_scores(probabilities[0].to(device)).cpu(), existence_scores(probabilities[0]))


def test_random_state_of_the_gpu(device: torch.device) -> None:
    state = get_random_state()
    first = torch.rand(3, device=device).tolist()
    set_random_state(state)
    assert torch.rand(3, device=device).tolist() == first
    assert np.random.rand() >= 0
