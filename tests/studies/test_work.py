# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Workers: what they do, what they leave, and what happens when they are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_vlsm.io import WriteError
from monai_vlsm.studies import MachineError, StudyFolder, study_status
from monai_vlsm.studies.run_files import read_json
from tests.studies.workers import starts, until, worker

Make = Callable[..., StudyFolder]


def results(folder: StudyFolder) -> list[dict]:
    return [folder.result(run) or {} for run in folder.runs]


def test_a_whole_study(place: Path, folder: Make) -> None:
    lines: list[str] = []
    made = folder(datasets={"polyps": None, "moles": {"train": False}}, transfer={"polyps": ["moles"]})
    assert worker(made, tell=lines.append).work() == 4
    assert starts(place)[:3] == ["good 41 train polyps", "good 41 evaluate polyps", "good 41 evaluate moles"]
    assert len(starts(place)) == 12 and len(lines) == 8
    result = results(made)[0]
    assert result["parameters"] == 1234 and result["run"] == made.runs[0].facts and result["leaks"] == {}
    assert set(result["lists"]) == {"train.json", "val.json", "test.json"}
    evaluation = result["evaluations"]["moles"]
    assert evaluation["folder"] == f"runs/{made.runs[0].name}/evaluations/moles" and evaluation["data"] == "d1"
    assert worker(made).work() == 0 and len(starts(place)) == 12


def test_a_system_with_nothing_to_train_is_only_evaluated(place: Path, folder: Make) -> None:
    made = folder(systems={"zero-shot": {"bundle": "good", "settings": {"trainable": "none"}}}, seeds=[41])
    assert worker(made).work() == 1
    assert starts(place) == ["good 41 evaluate polyps"]
    assert results(made)[0]["parameters"] == 0 and results(made)[0]["evaluations"].keys() == {"polyps"}


def test_a_new_style_evaluates_again_without_training(place: Path, folder: Make) -> None:
    worker(folder(seeds=[41], systems=["good"])).work()
    made = folder(seeds=[41], systems=["good"], styles=["p1", "random"])
    assert study_status(made).count("waiting") == 1
    worker(made).work()
    assert starts(place) == ["good 41 train polyps", "good 41 evaluate polyps", "good 41 evaluate polyps"]


def test_failures_do_not_stop_the_study(place: Path, folder: Make) -> None:
    made = folder(systems=["broken", "nan", "good"], seeds=[41])
    worker(made).work()
    broken, nan, good = made.runs
    assert (made.failure(broken) or {})["error"] == "the list is empty; look at it"
    assert "NaN" in (made.failure(nan) or {})["error"]
    assert made.is_done(good)
    assert "first line" in (made.of_run(broken) / "log.txt").read_text()
    text = study_status(made).text()
    assert "3 of 3 runs: 1 done, 0 running, 2 failed" in text and "the list is empty" in text
    assert worker(made).work() == 0
    assert made.forgive() == 2 and study_status(made).count("waiting") == 2


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        *(("full", "No space left"), ("no_gpu", "a device that is there"), ("lost_gpu", "no CUDA-capable device")),
        *(("no_server", "API request"), ("late_server", "API request")),
    ],
)
def test_a_full_disk_or_a_gpu_that_is_gone_ends_the_worker_and_the_run_waits(
    folder: Make, quick: None, bundle: str, words: str
) -> None:
    made = folder(systems=[bundle, "good"], seeds=[41])
    with pytest.raises(MachineError, match=rf"waits for another worker.*{words}"):
        worker(made).work()
    status = study_status(made)
    assert (status.count("failed"), status.count("waiting")) == (0, 2)


def test_a_server_that_refuses_is_there_and_the_run_fails(folder: Make, quick: None) -> None:
    made = folder(systems=["refusing_server"], seeds=[41])
    assert worker(made).work() == 1
    assert "error code 403" in (made.failure(made.runs[0]) or {})["error"]


def test_a_program_that_is_left_over_is_waited_for(folder: Make) -> None:
    made = folder(systems=["in_use"], seeds=[41])
    assert worker(made, wait=False).work() == 0
    assert study_status(made).count("waiting") == 1


def test_a_full_disk_of_the_study_itself(
    folder: Make, monkeypatch: pytest.MonkeyPatch, quick: None, place: Path
) -> None:
    made = folder(systems=["good"], seeds=[41])

    def full(path: Path, content: object) -> None:
        raise WriteError(f"cannot write {path.name}: No space left on device")

    monkeypatch.setattr("monai_vlsm.studies.steps.write_json", full)
    with pytest.raises(WriteError, match="No space left"):
        worker(made).work()
    assert study_status(made).count("waiting") == 1 and not list(made.of_run(made.runs[0]).glob("lease-*"))


def test_a_machine_that_is_not_ready_takes_nothing(place: Path, folder: Make) -> None:
    def ready() -> None:
        raise MachineError("GPU 0 is not there")

    with pytest.raises(MachineError):
        worker(folder(), ready=ready).work()
    assert starts(place) == []


def test_no_run_twice(place: Path, folder: Make) -> None:
    made = folder(seeds=list(range(6)))
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=worker(made).work) for _ in range(3)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert all(made.is_done(run) for run in made.runs)
    assert set(Counter(starts(place)).values()) == {1} and len(starts(place)) == 24


def test_a_killed_worker_is_taken_over_and_loses_an_epoch(place: Path, folder: Make) -> None:
    made = folder(systems=["slow"], seeds=[41], settings={"epochs": 3}, lease=0.5)
    killed = multiprocessing.get_context("fork").Process(target=worker(made).work)
    killed.start()
    state = made.of_run(made.runs[0]) / "training" / "last.pt"
    until(lambda: state.is_file() and state.read_text() == "1")
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    assert worker(made).work() == 1
    assert starts(place) == ["slow 41 train polyps", "slow 41 resume polyps", "slow 41 evaluate polyps"]
    assert results(made)[0]["seconds"] is None  # nobody knows how long it took in all


def test_a_stopped_worker_gives_its_run_back(folder: Make) -> None:
    made = folder(systems=["slow"], seeds=[41], lease=600.0)
    path = made.of_run(made.runs[0])

    def work() -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        worker(made).work()

    stopped = multiprocessing.get_context("fork").Process(target=work)
    stopped.start()
    until(lambda: (path / "training" / "last.pt").is_file())
    assert study_status(made).count("running") == 1
    stopped.terminate()
    stopped.join()
    assert not list(path.glob("lease-*")) and study_status(made).count("waiting") == 1
    assert read_json(path / "result.json") is None


def test_who_does_not_wait(folder: Make) -> None:
    made = folder(systems=["good"], seeds=[41], lease=600.0)
    (made.of_run(made.runs[0]) / "lease-000001").write_text("another\n")
    assert worker(made, wait=False).work() == 0


def test_a_worker_with_a_gpu_asks_the_bundle_for_it(folder: Make) -> None:
    made = folder(systems=["good"], seeds=[41])
    worker(made, environment={"CUDA_VISIBLE_DEVICES": "1"}).work()
    log = (made.of_run(made.runs[0]) / "log.txt").read_text()
    assert log.count("--device=cuda") == 2 and results(made)[0]["gpu"] == "1"
