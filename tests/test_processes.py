# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Device and processes of a run."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from monai_vlsm.processes import ProcessesError, join_processes, leave_processes, local_device


@pytest.mark.parametrize(
    ("gpu", "rank", "device"), [(False, "1", "cpu"), (False, None, "cpu"), (True, None, "cuda"), (True, "1", "cuda:1")]
)
def test_the_device_of_this_process(gpu: bool, rank: str | None, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
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


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ProcessesError, match="started 2 processes, and there is 1 GPU: give --nproc_per_node=1"):
        local_device()


def test_a_gpu_without_a_number_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As MONAI Label gives it; torch would not take it for the current device."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(dist, "init_process_group", lambda **_: None)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    join_processes("cuda")
    assert chosen == [torch.device("cuda", 1)]


def test_processes_that_torchrun_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ProcessesError, match="torchrun --standalone --nproc_per_node=2 in place of python"):
        join_processes("cpu")
