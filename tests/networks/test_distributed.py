# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The network under DistributedDataParallel, two processes on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.inferers import PromptInferer, call_rows
from monai_vlsm.networks import CLIPSegNet
from tests import tiny


def _train_step(rank: int, folder: str, backbone: str, how: str) -> None:
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.manual_seed(rank)  # different adapters before wrapping, different images after
    network = CLIPSegNet(backbone, adaptation=DenseAdaptation("vl", width=4))
    wrapped = DistributedDataParallel(network)
    image, index = torch.randn(2, 3, tiny.SIZE, tiny.SIZE), torch.tensor([0, 1, 1])
    if how == "own prompts":  # in the second process both images have two
        ids = network.default_input_ids.expand(2, 2, -1)
        mask = torch.ones_like(ids)
        mask[0, 1] = rank
        logits = PromptInferer(cpu_autocast=False)(image, wrapped, ids, mask)
    else:
        logits = call_rows(wrapped, image, image_index=index) if how == "rows" else wrapped(image)
    logits.square().mean().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    torch.save({"gradients": gradients, "state": TrainedState(wrapped).state_dict()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("how", ["images", "rows", "own prompts"])
@pytest.mark.slow
def test_gradients_are_shared(how: str, tmp_path: Path, backbone: Path) -> None:
    """Those of what caches call too."""
    mp.spawn(_train_step, (str(tmp_path), str(backbone), how), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert set(first["gradients"]) == {name for name in first["state"] if name != "monai_vlsm"}
    for name in CLIPSegNet(backbone, adaptation=DenseAdaptation("vl", width=4)).trained_names:
        assert torch.equal(first["gradients"][name], second["gradients"][name])
        assert torch.equal(first["state"][name], second["state"][name])
