# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the watch over versions says of tests that fail."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import try_versions
from try_versions import main

FAILED = """\
FAILED tests/test_io.py::test_round - AssertionError: 3
ERROR tests/test_a.py - ImportError: no torch
1 failed, 8 passed, 2 warnings, 1 error in 3.14s
"""


@pytest.mark.parametrize(("said", "status"), [(FAILED, 1), ("9 passed in 3.14s\n", 0)])
def test_what_fails_is_listed(
    said: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "newest").mkdir()
    table = try_versions.TABLE.read_bytes()
    commands: list[list[str]] = []

    def call(command: list[str]) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        tests = "pytest" in command
        return subprocess.CompletedProcess(command, status * tests, said if tests else '{"torch": "2.13.0"}', "")

    monkeypatch.setattr(try_versions, "call", call)
    monkeypatch.setattr("sys.argv", ["try_versions", "newest", "--only-tell", "--keep", str(tmp_path)])
    assert main() == status
    *failures, row = capsys.readouterr().out.splitlines()
    assert failures == said.splitlines()[:-1]
    made, installed = ("venv" in commands[0]), [command for command in commands if "install" in command]
    assert not made and installed[0][-2:] == ["-e", ".[test]"]  # one that was kept is brought up to date
    assert row.startswith("| newest | 3.11 |") and said.splitlines()[-1].partition(",")[0].partition(" in")[0] in row
    assert try_versions.TABLE.read_bytes() == table


def test_a_row_takes_its_place_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = try_versions.TABLE.read_text(encoding="utf-8")
    monkeypatch.setattr(try_versions, "TABLE", tmp_path / "versions.md")
    try_versions.TABLE.write_text("| a |\n|---|\n| oldest | 1 |\n| mine | 2 |\n\nText | text\n", encoding="utf-8")
    for row in ("| pinned | 3 |", "| mine | 4 |", "| oldest | 5 |"):
        try_versions.enter(row, row.split()[1])
    written = try_versions.TABLE.read_text(encoding="utf-8")
    assert written == "| a |\n|---|\n| pinned | 3 |\n| oldest | 5 |\n| mine | 4 |\n\nText | text\n"
    try_versions.TABLE.write_text(before, encoding="utf-8")
    (row,) = [line for line in before.split("\n") if line.startswith("| oldest |")]
    try_versions.enter(row, "oldest")
    assert sorted(try_versions.TABLE.read_text(encoding="utf-8").split("\n")) == sorted(before.split("\n"))
