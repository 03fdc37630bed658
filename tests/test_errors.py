# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

WRAPPED = """
import sys
from types import SimpleNamespace
sys.modules["__main__"].__spec__ = SimpleNamespace(name={program!r})
from monai_vlsm.errors import UserError, show_user_errors_plainly
class Missing(UserError, FileNotFoundError):
    pass
show_user_errors_plainly()
try:
    raise {kind}("three masks are missing\\n  a.png")
except Exception as error:
    raise RuntimeError("failed to evaluate an expression") from error
"""


def run(kind: str, program: str = "monai.bundle.__main__") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WRAPPED.format(kind=kind, program=program)],
        capture_output=True,
        text=True,
    )


def test_user_error_without_traceback() -> None:
    result = run("Missing")
    assert result.returncode == 1
    assert result.stderr.strip() == "error: three masks are missing\n  a.png"


def test_another_program_keeps_its_traceback() -> None:
    assert "Traceback" in run("Missing", "somebody.elses").stderr


@pytest.mark.parametrize("kind", ["ValueError", "KeyError"])
def test_other_errors_keep_their_traceback(kind: str) -> None:
    result = run(kind)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "failed to evaluate an expression" in result.stderr
