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
from monai_vlsm.inferers import call_rows
from monai_vlsm.networks import CLIPSegNet
from tests import tiny


def _train_step(rank: int, folder: str, backbone: str, rows: bool) -> None:
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.manual_seed(rank)  # different adapters before wrapping, different images after
    network = CLIPSegNet(backbone, adaptation=DenseAdaptation("vl", width=4))
    wrapped = DistributedDataParallel(network)
    image, index = torch.randn(2, 3, tiny.SIZE, tiny.SIZE), torch.tensor([0, 1, 1])
    logits = call_rows(wrapped, image, image_index=index) if rows else wrapped(image)
    logits.square().mean().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    torch.save({"gradients": gradients, "state": TrainedState(wrapped).state_dict()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.slow
def test_gradients_are_shared(rows: bool, tmp_path: Path, backbone: Path) -> None:
    """Those of what caches call too."""
    mp.spawn(_train_step, (str(tmp_path), str(backbone), rows), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert set(first["gradients"]) == {name for name in first["state"] if name != "monai_vlsm"}
    for name in CLIPSegNet(backbone, adaptation=DenseAdaptation("vl", width=4)).trained_names:
        assert torch.equal(first["gradients"][name], second["gradients"][name])
        assert torch.equal(first["state"][name], second["state"][name])
