# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One run at a time in a folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from monai_vlsm.handlers import FolderInUseError, claim_folders, folder_lock, release_folders, require_free_folders
from monai_vlsm.io import WriteError

HOLD = """
import sys, time, os, multiprocessing as mp
from monai_vlsm.handlers import claim_folders
claim_folders(*sys.argv[1:])
if __name__ == "__main__":
    mp.get_context("fork").Process(target=time.sleep, args=(30,), daemon=True).start()  # a worker that outlives it
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _give_back() -> Iterator[None]:
    yield
    release_folders()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Another process that has folders."""
    (tmp_path / "hold.py").write_text(HOLD)
    started = []

    def start(*folders: Path) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-W", "ignore", str(tmp_path / "hold.py"), *map(str, folders)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_fork_is_refused_what_another_process_has(tmp_path: Path) -> None:
    ready, told = os.pipe()
    other = os.fork()  # where torch is imported already
    if not other:
        try:
            claim_folders(tmp_path / "out")
            os.write(told, b".")
            signal.pause()
        finally:
            os._exit(1)
    os.close(told)
    try:
        assert os.read(ready, 1) == b"."
        with pytest.raises(FolderInUseError, match=rf"process {other} on .*{tmp_path / 'out'}"):
            claim_folders(tmp_path / "free", tmp_path / "out")
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
        os.close(ready)
    claim_folders(tmp_path / "out")


@pytest.mark.slow
def test_another_process_is_refused_until_it_is_killed(
    tmp_path: Path, other: Callable[..., subprocess.Popen[str]]
) -> None:
    out, models = tmp_path / "out", tmp_path / "models"
    require_free_folders(out, models)
    assert {path.name for path in tmp_path.iterdir()} == {"hold.py"}
    process = other(out, models)
    with pytest.raises(FolderInUseError, match=rf"process {process.pid} on"):
        require_free_folders(tmp_path / "free", models)
    with pytest.raises(FolderInUseError, match=rf"another run \(process {process.pid} on .*\) writes to {models}"):
        claim_folders(tmp_path / "free", models)
    with pytest.raises(FolderInUseError, match="--output_dir and --ckpt_dir"):
        claim_folders(out)
    process.kill()
    process.wait()
    claim_folders(out, models)  # at once, while its worker still lives
    release_folders()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hold.py", "models", "out"]


@pytest.mark.slow
def test_a_run_that_ends_leaves_nothing(tmp_path: Path, other: Callable[..., subprocess.Popen[str]]) -> None:
    process = other(tmp_path / "a" / "b", tmp_path / "a" / "c")
    assert (tmp_path / "a" / "b" / folder_lock.LOCK).is_file()
    assert process.stdin is not None
    process.stdin.close()
    process.wait(30)
    assert not (tmp_path / "a").exists()


def test_the_check_passes_what_this_run_has(tmp_path: Path) -> None:
    claim_folders(tmp_path / "out")
    require_free_folders(tmp_path / "out")
    assert (tmp_path / "out" / folder_lock.LOCK).is_file()


def test_what_a_run_wrote_stays(tmp_path: Path) -> None:
    claim_folders(tmp_path / "out", tmp_path / "models")
    (tmp_path / "out" / "last.pt").touch()
    release_folders()
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["out", "out/last.pt"]


def test_one_after_the_other_in_a_program(tmp_path: Path) -> None:
    for _ in range(2):
        claim_folders(tmp_path, tmp_path / ".." / tmp_path.name)  # the same, by two names
    with ThreadPoolExecutor(1) as pool, pytest.raises(FolderInUseError, match="of this process"):
        pool.submit(claim_folders, tmp_path).result()
    assert (tmp_path / folder_lock.LOCK).is_file()
    release_folders()
    thread = threading.Thread(target=claim_folders, args=(tmp_path,))
    thread.start()
    thread.join()
    claim_folders(tmp_path)  # the thread is over, and so is its run


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot write to the folder"):
        claim_folders(tmp_path / "out", tmp_path / "file" / "models")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)
    claim_folders(tmp_path)
    assert "keeps no locks (No locks available): take care that no other run writes there" in caplog.text


def test_a_lock_file_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / folder_lock.LOCK).mkdir()  # as little to be opened as a file without permission
    with pytest.raises(WriteError, match=r"cannot write .*lock: Is a directory"):
        claim_folders(tmp_path)
