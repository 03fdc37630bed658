# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Device and processes of a run."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from monai_vlsm.processes import join_processes, leave_processes, local_device


@pytest.mark.parametrize(
    ("gpu", "rank", "device"), [(False, "1", "cpu"), (False, None, "cpu"), (True, None, "cuda"), (True, "1", "cuda:1")]
)
def test_the_device_of_this_process(gpu: bool, rank: str | None, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert local_device() == torch.device(device)


def test_processes_are_joined_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    leave_processes()
    join_processes("cpu")
    assert dist.get_backend() == "gloo"
    leave_processes()
    assert not dist.is_initialized()
