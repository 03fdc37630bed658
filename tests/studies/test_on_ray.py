# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Workers by Ray: what Ray is asked for, and, where it is installed, a cluster of one machine with two GPUs."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monai_vlsm.studies import Study, StudyError, StudyFolder, on_ray, ray_task
from monai_vlsm.studies.claim import holder
from tests.studies.workers import starts, until

ROOT = Path(__file__).parents[2]
SMI = "#!/bin/sh\nprintf '0, GPU-aa\\n1, GPU-bb\\n'\n"


@pytest.mark.parametrize(
    ("asked", "there", "shares"),
    [
        ((None, None, None, 3), {"CPU": 16.0, "GPU": 2.0}, (2, 8, 1)),
        ((None, None, None, 3), {"CPU": 4.0}, (1, 4, 0)),
        ((None, 4, 2, 3), {"CPU": 8.0, "GPU": 4.0}, (4, 2, 1)),
        ((None, 8, None, 3), {"CPU": 4.0, "GPU": 2.0}, (8, 1, 1)),
    ],
)
def test_what_each_worker_gets(asked: tuple, there: dict[str, float], shares: tuple[int, int, int]) -> None:
    assert on_ray.RayWorkers(*asked).shares(there) == shares


@pytest.mark.parametrize(("asked", "name"), [((None, 0, 1, 0), "workers"), ((None, 1, 0, 0), "cpus")])
def test_wrong_numbers(asked: tuple, name: str) -> None:
    with pytest.raises(StudyError, match=f"--{name}: expected a number from 1, got 0"):
        on_ray.RayWorkers(*asked)


def test_more_cores_than_there_are() -> None:
    with pytest.raises(StudyError, match="--cpus: Ray has 4 cores in all, got 8"):
        on_ray.RayWorkers(None, 1, 8, 0).shares({"CPU": 4.0})


def test_without_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"needs Ray: pip install 'monai_vlsm\[ray\]'"):
        on_ray.run_on_ray([], tmp_path, on_ray.RayWorkers(None, None, None, 3), print)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('[##] 2 of 2 runs: 1 done, 0 running, 1 failed, 0 waiting'); raise SystemExit(1)", "1 failed"),
        ("print('[##] 2 of 2 runs: 2 done')", "2 done"),
    ],
)
def test_a_worker_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str) -> None:
    monkeypatch.setattr(ray_task, "_PROGRAM", (sys.executable, "-c", code))
    assert said in ray_task.worker_task([], str(tmp_path / "ray" / "worker-0.log"), str(tmp_path))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit('error: GPU 0 is not there')", "worker-0.log: GPU 0 is not there"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
    ],
)
def test_a_worker_that_ray_must_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setattr(ray_task, "_PROGRAM", (sys.executable, "-c", code))
    with pytest.raises(RuntimeError, match=said):
        ray_task.worker_task([], str(tmp_path / "worker-0.log"), str(tmp_path))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of commands on a machine where Ray runs with two GPUs, which a program pretends."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'monai_vlsm[ray]'")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").write_text(SMI)
    (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    # jsonschema reads the grammar of this if it is there, for longer than Ray waits for its agents on a busy machine
    (tmp_path / "bin" / "rfc3987_syntax.py").write_text("raise ImportError")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    paths = [tmp_path / "bin", Path(__file__).parent / "fake_monai", ROOT]
    environment |= {"PYTHONPATH": ":".join(map(str, paths)), "RAY_ADDRESS": f"127.0.0.1:{port}"}
    environment.pop("OMP_NUM_THREADS", None)  # Ray leaves alone what is set
    words = ["--head", "--block", f"--port={port}", "--num-gpus=2", "--num-cpus=4", "--node-ip-address=127.0.0.1"]
    words += ["--no-monitor", "--include-log-monitor=false", "--include-dashboard=false", "--disable-usage-stats"]
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", *words]
    log = tmp_path / "ray.log"
    with log.open("wb") as output:
        process = subprocess.Popen(ray, env=environment, stdout=output, stderr=output)
    try:
        until(lambda: "Ray runtime started" in log.read_text() or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()
        yield environment
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
def test_two_gpus_and_a_worker_that_is_killed(
    place: Path, study: Callable[..., Study], cluster: dict[str, str]
) -> None:
    made = study(systems=["slow"], seeds=[41, 42, 43, 44], settings={"epochs": 8}, lease=2.0)
    folder = StudyFolder.of(made, place / "out")
    words = ["study", "ray", str(place / "study.yaml"), f"--output={place / 'out'}"]
    command = [sys.executable, "-m", "monai_vlsm", *words]
    with subprocess.Popen(command, env=cluster, cwd=ROOT, stdout=subprocess.PIPE, text=True) as driver:
        state = folder.of_run(folder.runs[0]) / "training" / "last.pt"
        until(lambda: state.is_file() and state.read_text() == "1", 120)
        owner = holder(folder.of_run(folder.runs[0]))
        os.kill(int(owner.split()[1]), signal.SIGKILL)
        said = driver.communicate(timeout=240)[0]
    assert driver.returncode == 0, said
    assert "Ray: 2 workers, each with 2 cores and 1 GPU" in said and "4 of 4 runs: 4 done" in said
    results = [folder.result(run) or {} for run in folder.runs]
    assert {result["gpu"] for result in results} == {"0", "1"}
    assert Counter(line.split()[2] for line in starts(place)) == {"train": 4, "resume": 1, "evaluate": 4}
    assert "OMP_NUM_THREADS 2" in (folder.of_run(folder.runs[0]) / "log.txt").read_text()
