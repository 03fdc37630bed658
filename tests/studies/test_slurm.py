# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The script for a cluster, against programs that stand for Slurm's."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from monai_vlsm.studies import StudyError
from monai_vlsm.studies.slurm import require_options, slurm_script, submit, write_script

# runs each element of the array as Slurm does: with its number, in the background
SBATCH = """#!/bin/bash
last=$(sed -n 's/^#SBATCH --array=0-//p' "$1")
for element in $(seq 0 "$last"); do
    SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$element bash "$1" > /dev/null 2>&1 &
    echo $! >> jobs
done
echo "Submitted batch job 7"
"""
WORKER = """#!/bin/bash
trap 'echo "$SLURM_ARRAY_TASK_ID gives back" >> "{log}"; exit 143' TERM
echo "$SLURM_ARRAY_TASK_ID begins $* as $$" >> "{log}"
for _ in $(seq 200); do [ -f "{go}" ] && exit 0; sleep 0.05; done
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with sbatch, scontrol and a Python whose workers wait until there is a file ``go``."""
    log = tmp_path / "log"
    programs = {"sbatch": SBATCH, "scontrol": f'#!/bin/bash\necho "scontrol $*" >> "{log}"\n'}
    programs["fake_python"] = WORKER.format(log=log, go=tmp_path / "go")
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("sys.executable", str(tmp_path / "fake_python"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(cluster: Path, count: int, word: str, file: str = "log") -> list[str]:
    """Lines of a file with a word, as soon as there are so many."""
    end = time.monotonic() + 20
    (cluster / file).touch()
    while time.monotonic() < end:
        found = [line for line in (cluster / file).read_text().splitlines() if word in line]
        if len(found) >= count:
            return sorted(found)
        time.sleep(0.02)
    raise AssertionError(f"not {count} lines with {word}")


def test_each_element_is_a_worker(cluster: Path) -> None:
    text = slurm_script("my study", cluster / "out", ["study", "work", "a b.yaml"], 3, "1:00:00", ["--partition=gpu"])
    script = write_script(cluster / "out", text)
    assert submit(script) == "Submitted batch job 7"
    begun = lines(cluster, 3, "begins")
    wanted = [f"{index} begins -m monai_vlsm study work a b.yaml" for index in range(3)]
    assert [line.partition(" as ")[0] for line in begun] == wanted
    (cluster / "go").touch()
    for word in ("--requeue", "--signal=B:TERM@120", "--partition=gpu", "--time=1:00:00", "--job-name=my_study"):
        assert f"#SBATCH {word}\n" in text
    assert (cluster / "out" / "slurm").is_dir()


def test_before_the_time_is_over_the_run_is_given_back_and_the_element_queued_again(cluster: Path) -> None:
    submit(write_script(cluster / "out", slurm_script("s", cluster / "out", ["study"], 1, "1:00:00")))
    lines(cluster, 1, "begins")
    os.kill(int(lines(cluster, 1, "", "jobs")[0]), signal.SIGTERM)
    assert lines(cluster, 1, "scontrol") == ["scontrol requeue 7_0"]
    assert (cluster / "log").read_text().index("gives back") < (cluster / "log").read_text().index("scontrol")


def test_a_signal_that_only_the_worker_gets(cluster: Path) -> None:
    submit(write_script(cluster / "out", slurm_script("s", cluster / "out", ["study"], 1, "1:00:00")))
    os.kill(int(lines(cluster, 1, "begins")[0].split()[-1]), signal.SIGTERM)
    assert lines(cluster, 1, "scontrol") == ["scontrol requeue 7_0"]


def test_a_worker_whose_runs_have_failed(cluster: Path) -> None:
    script = write_script(cluster / "out", slurm_script("s", cluster / "out", ["study"], 1, "1:00:00"))
    (cluster / "fake_python").write_text("#!/bin/bash\nexit 1\n")
    assert subprocess.run(["bash", str(script)], check=False).returncode == 1


def test_the_script_is_bash(cluster: Path) -> None:
    script = write_script(cluster / "it's", slurm_script("s", cluster / "it's", ["x;y", "$(z)"], 1, "1:00:00"))
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "'x;y' '$(z)'" in script.read_text()


def test_without_slurm(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cluster / "sbatch").unlink()
    monkeypatch.setenv("PATH", str(cluster))
    with pytest.raises(StudyError, match="cannot run sbatch"):
        submit(cluster / "script")


def test_a_refusal(cluster: Path) -> None:
    (cluster / "sbatch").write_text("#!/bin/bash\necho 'invalid partition' >&2; exit 1\n")
    with pytest.raises(StudyError, match="invalid partition"):
        submit(cluster / "script")


@pytest.mark.parametrize("time", ["30", "10:00", "1:00:00", "2-12", "2-12:30", "2-12:30:59", "0", "UNLIMITED", "0-1"])
def test_times_of_sbatch(time: str) -> None:
    require_options(1, time, [])


@pytest.mark.parametrize(
    "time", ["", "soon", "1:2:3:4", "-5", "1:00:00\n", "2", "2:00", "0:02:00", "\N{SUPERSCRIPT TWO}9"]
)
def test_times_in_which_no_worker_can_do_anything(time: str) -> None:
    with pytest.raises(StudyError, match="--time: "):
        require_options(1, time, [])


def test_a_folder_with_a_space_or_a_percent_sign(cluster: Path) -> None:
    text = slurm_script("s", cluster / "50% of it's #1", ["study"], 1, "1:00:00")
    assert f"#SBATCH --output={cluster}/50%%\\ of\\ it\\'s\\ \\#1/slurm/%A_%a.log\n" in text


@pytest.mark.parametrize(("workers", "options"), [(0, ["--gpus=1"]), (1, ["gpu"]), (1, ["--a\nrm -rf x"])])
def test_wrong_options(workers: int, options: list[str]) -> None:
    with pytest.raises(StudyError):
        slurm_script("s", Path("out"), ["study"], workers, "1:00:00", options)
