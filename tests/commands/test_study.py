# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``study`` as it is typed: what it prints and returns."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_vlsm.commands import study, study_folder
from monai_vlsm.errors import UserError
from monai_vlsm.studies import steps

ROOT = Path(__file__).parents[2]
Run = Callable[..., int]


def parsed(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    study.add(parser.add_subparsers())
    return parser.parse_args(["study", *map(str, words)])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def typed(*words: object) -> int:
        args = parsed(*words, "--bundles", str(ROOT / "bundles"))
        status: int = args.run(args)
        return status

    return typed


def test_plan_and_status(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "sample", "--epochs", "1") == 0
    assert "10 runs (10 systems x 1 dataset x 1 seed x 1 fraction) in studies/sample" in capsys.readouterr().out
    assert run("status", "sample", "--epochs", "1") == 0
    assert "0 of 10 runs: 0 done, 0 running, 0 failed, 10 waiting" in capsys.readouterr().out


def test_a_dataset_that_is_not_there(run: Run) -> None:
    with pytest.raises(UserError, match=r"dataset kvasir_polyp: no folder nowhere.*--data"):
        run("plan", "paper", "--data", "nowhere")


def test_no_epoch(run: Run) -> None:
    with pytest.raises(UserError, match="--epochs: expected a number from 1, got 0"):
        run("plan", "sample", "--epochs", "0")


def test_datasets(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(
        "systems: [unet]\ndatasets: {brain: {folder: 'sample:brain', test_split: val}, lungs: }\nseeds: [1]\n"
    )
    assert run("plan", file, "--datasets", "brain") == 0
    assert "1 run (1 system x 1 dataset x" in capsys.readouterr().out
    with pytest.raises(UserError, match="no dataset 'brian' in the study two; there are brain, lungs"):
        run("status", file, "--datasets", "brian")
    run("slurm", file, "--datasets", "brain")
    script = (tmp_path / "studies/two/slurm/study.sbatch").read_text(encoding="utf-8")
    words = next(line for line in script.splitlines() if "study work" in line)
    assert " --datasets=brain " in words
    again = words.split("-m monai_vlsm study work ")[1].removesuffix(" &").split()
    assert study_folder.study_of(parsed("work", *again))[0].left_out == ["lungs"]


@pytest.mark.parametrize("action", ["status", "table", "figures"])
def test_a_folder_that_was_never_planned(run: Run, tmp_path: Path, action: str) -> None:
    with pytest.raises(UserError, match=r"studies/sample holds no study; first python -m monai_vlsm study plan sample"):
        run(action, "sample")
    assert not (tmp_path / "studies").exists()


def test_a_folder_that_was_planned_with_other_options(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("plan", "sample", "--epochs", 1)
    for action in ("table", "figures"):
        with pytest.raises(UserError, match=r"has no run of this study as .*\(--epochs, --datasets\)"):
            run(action, "sample", "--epochs", 2)
    assert run("status", "sample", "--epochs", 2) == 0 and "epochs was 1 and is 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        *(["slurm", "--workers=0"], ["slurm", "--time=soon"], ["slurm", "--sbatch=gpu"], ["slurm", "--gpus="]),
        *(["ray", "--workers=0"], ["ray", "--cpus=0"], ["ray", "--retries=-1"]),
        *(["work", "--gpus=77"], ["work", "--gpus=0,0"], ["search", "--gpus=77"], ["plan", "--epochs=0"]),
    ],
)
def test_wrong_options_are_refused_before_files_are_made(run: Run, tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        run(words[0], "sample", *words[1:])
    assert words[1].split("=")[0] in str(caught.value).replace("GPU 77", "--gpus")
    assert "\n" not in str(caught.value) and not (tmp_path / "studies").exists()


def test_a_missing_gpu(run: Run) -> None:
    with pytest.raises(UserError, match="GPU 77 is not there"):
        run("work", "sample", "--gpus", "77")


def test_failed_runs_give_status_1(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("systems: [unet]\ndatasets: {brain: {folder: 'sample:brain', test_split: val}}\nseeds: [1]\n")
    monkeypatch.setattr(steps.Steps, "result", lambda self: _fail())
    assert run("work", file, "--gpus", "none") == 1
    assert "failed: it cannot be" in capsys.readouterr().out


def _fail() -> None:
    raise steps.RunFailedError("it cannot be")
