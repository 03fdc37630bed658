# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``report`` as it is typed: what it writes, prints and returns."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_vlsm.commands import report
from monai_vlsm.errors import UserError
from tests.statistics.runs import RUN_JSON, make_run, scores

Run = Callable[..., int]


@pytest.fixture
def run() -> Run:
    parser = argparse.ArgumentParser()
    report.add(parser.add_subparsers())

    def typed(*words: object) -> int:
        args = parser.parse_args(["report", *map(str, words)])
        status: int = args.run(args)
        return status

    return typed


def test_writes_and_names_three_files(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [make_run(tmp_path / "a"), make_run(tmp_path / "b", scores(seed=1))]
    assert run(*folders, "--output", tmp_path / "out", "--title", "Polyps") == 0
    files = [tmp_path / "out" / f"report.{suffix}" for suffix in ("html", "md", "json")]
    assert capsys.readouterr().out == f"report: {files[0]}, as text in report.md, numbers in report.json\n"
    assert all("Polyps" in file.read_text(encoding="utf-8") for file in files)
    assert "b against a" in files[1].read_text(encoding="utf-8")


def test_default_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(make_run(tmp_path / "a")) == 0
    assert (tmp_path / "report" / "report.html").is_file()


def test_a_folder_that_is_no_run(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no metrics\.csv"):
        run(make_run(tmp_path / "a"), tmp_path, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_is_needed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run()
    assert "RUN" in capsys.readouterr().err


def test_nothing_tells_where_the_files_were(run: Run, tmp_path: Path) -> None:
    command = f"python -m monai.bundle run --dataset_dir {tmp_path} --config_file '[\"{tmp_path}/t.json\"]'"
    told = {"dataset_dir": str(tmp_path / "polyps"), "model_file": "/m.pt", "command": command}
    assert run(make_run(tmp_path / "a", info=RUN_JSON | told), "--output", tmp_path / "out") == 0
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "out").glob("report.*")]
    assert len(texts) == 3
    assert not any(str(tmp_path) in text or "/m.pt" in text for text in texts)
    assert all("polyps" in text for text in texts)
