# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which GPUs a machine has, and what is told where one is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.studies import MachineError, StudyError, machines
from monai_vlsm.studies.machines import choose_gpus, gpu_environment, gpus_here, require_gpu, run_workers


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0, GPU-aa\\n1, GPU-bb\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("allowed", "there"),
    [
        *((None, ["0", "1"]), ("1", ["1"]), ("GPU-aa", ["GPU-aa"]), ("7", []), ("", []), ("GPU-a,-1", ["GPU-a"])),
        *(("MIG-cc", ["MIG-cc"]), ("NoDevFiles", [])),
    ],
)
def test_those_that_may_be_used(allowed: str | None, there: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert gpus_here() == there


def test_a_machine_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus_here() == []


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert choose_gpus("auto", []) == [] and choose_gpus("auto", ["0", "1"]) == ["0", "1"]
    assert choose_gpus("none", ["0"]) == [] and choose_gpus("1, 0", ["0", "1"]) == ["1", "0"]


@pytest.mark.usefixtures("two_gpus")
def test_variables_that_name_one_which_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for named in ("7", "GPU-cc"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        with pytest.raises(MachineError, match=f"CUDA_VISIBLE_DEVICES names GPU {named}, .*--gpus none"):
            choose_gpus("auto", gpus_here())
        assert choose_gpus("none", gpus_here()) == []
    for none in ("", "-1", "NoDevFiles", "none", "void"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert choose_gpus("auto", gpus_here()) == []


def test_missing() -> None:
    with pytest.raises(StudyError, match="no GPU is there"):
        choose_gpus("all", [])
    with pytest.raises(MachineError, match="GPU 3 is not there, there are 0, 1"):
        choose_gpus("0,3", ["0", "1"])
    with pytest.raises(MachineError, match="nvidia-smi finds none"):
        require_gpu("0", [])


def test_a_worker_sees_its_gpu_alone() -> None:
    assert gpu_environment("1") == {"CUDA_VISIBLE_DEVICES": "1"} and gpu_environment(None) == {
        "CUDA_VISIBLE_DEVICES": ""
    }


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not bind processes to CPUs")
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_share_the_cpus(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, sys; sys.stdin.read(); print(*sorted(os.sched_getaffinity(0)), file=open(sys.argv[1], 'w'))"
    files = [tmp_path / str(gpu) for gpu in range(workers)]
    began: list[subprocess.Popen[bytes]] = []

    def start(words: list[str], _: Any) -> subprocess.Popen[bytes]:
        file = tmp_path / words[-1].removeprefix("--gpus=")
        timer = "import signal; signal.alarm(60)\n"  # a worker that is never bound must not wait forever
        began.append(subprocess.Popen([sys.executable, "-c", timer + code, str(file)], stdin=subprocess.PIPE))
        return began[-1]

    def bind(pid: int, cpus: list[int], really: Any = os.sched_setaffinity) -> None:
        really(pid, cpus)
        began[-1].communicate()  # it looks only now

    monkeypatch.setattr(machines, "start", start)
    monkeypatch.setattr(os, "sched_setaffinity", bind)
    assert run_workers([file.name for file in files], ["study", "work"]) == 0
    there = sorted(os.sched_getaffinity(0))
    shares = [[int(word) for word in file.read_text().split()] for file in files]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1 <= min(map(len, shares))
    assert {cpu for share in shares for cpu in share} == set(there) and sum(map(len, shares)) == max(
        len(there), workers
    )


def test_a_worker_that_ends_at_once_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: Any) -> subprocess.Popen[bytes]:
        ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        ended.wait()
        return ended

    monkeypatch.setattr(machines, "start", start)
    assert run_workers(["0", "1"], ["study", "work"]) == 3
