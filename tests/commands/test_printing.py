# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What is printed comes out, or the command says plainly that it does not."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from monai_vlsm.commands import main
from monai_vlsm.commands.printing import printing


def test_a_reader_that_is_gone_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as end:
            main(["bundle", "unet", "--output", str(tmp_path)])
        stream.flush()  # nothing is left that Python could not write at its end
    assert end.value.code == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", [["bundle", "unet", "--output", "new"], ["bundle", "--help"]])
def test_a_full_disk(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Path("/dev/full").open("w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        assert main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: cannot write the standard output: No space left on device")
    assert error.count("\n") == 1


@pytest.mark.parametrize(("coding", "shown"), [("utf-8", "é \\udcff"), ("ascii", "\\xe9 \\udcff")])
def test_what_the_terminal_cannot_show(coding: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(taken, encoding=coding))
        with printing():
            print("é", os.fsdecode(b"\xff"))
        assert taken.getvalue().decode(coding).strip() == shown
