# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from ignite.engine import Engine
from torch.utils.data import DataLoader, Dataset

from monai_vlsm import errors
from monai_vlsm.errors import UserError, causes, first_cause, show_user_errors_plainly

WRAPPED = """
import sys
from types import SimpleNamespace
sys.modules["__main__"].__spec__ = SimpleNamespace(name={program!r})
sys.argv, sys.orig_argv = ["-m"], ["python", "-m", "monai_vlsm"]  # the package loads what is asked for, not all
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
    code = WRAPPED.format(kind=kind, program=program)
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)


def test_user_error_without_traceback() -> None:
    result = run("Missing")
    assert result.returncode == 1
    assert result.stderr.strip() == "error: three masks are missing\n  a.png"


class _UnreadableError(UserError, ValueError):
    pass


class _Data(Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise _UnreadableError("two files are wrong\n  a.png: empty\n  b.png: ValueError: empty")


@pytest.mark.usefixtures("own_program")
def test_an_error_of_a_worker_is_as_plain(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(_UnreadableError) as caught:
        next(iter(DataLoader(_Data(), num_workers=1)))
    assert "Traceback" in str(caught.value)
    sys.excepthook(type(caught.value), caught.value, None)
    assert capsys.readouterr().err.strip() == "error: two files are wrong\n  a.png: empty\n  b.png: ValueError: empty"


@pytest.fixture
def own_program(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process counts as ``python -m monai.bundle``; what that changes is as before afterwards."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(errors, "own_process", lambda: True)
    handler, filters = signal.getsignal(signal.SIGTERM), list(LOGGER.filters)
    show_user_errors_plainly()
    yield
    signal.signal(signal.SIGTERM, handler)
    LOGGER.filters[:] = filters


class SupervisedTrainer(Engine):
    """With the name, and so the logger, of MONAI's."""


LOGGER = SupervisedTrainer(lambda *_: None).logger
FULL = OSError(errno.ENOSPC, "No space left on device", "out/events")


def end_with(error: BaseException) -> None:
    """What Python does with an error that an engine raised and nobody caught."""

    def fail(*_: object) -> None:
        raise error

    try:
        SupervisedTrainer(fail).run([0])
    except BaseException as raised:
        try:
            sys.excepthook(type(raised), raised, raised.__traceback__)
        except SystemExit:
            assert isinstance(error, KeyboardInterrupt)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("no masks"), "error: no masks"),
        (KeyboardInterrupt(), "Interrupted."),
        (
            FULL,
            "error: cannot write out/events: No space left on device; what was written before is whole. "
            "Make room there, or give another folder",
        ),
    ],
)
@pytest.mark.usefixtures("own_program")
def test_what_ends_an_engine_is_said_once(
    error: BaseException, line: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    end_with(error)
    assert capsys.readouterr().err == f"\n{line}\n"
    assert "terminating" not in caplog.text


@pytest.mark.usefixtures("own_program")
def test_other_errors_are_logged_and_shown_as_ever(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    end_with(ValueError("no number"))
    assert "terminating due to exception: no number" in caplog.text
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "shown"), [(FULL, False), (ValueError(), True)])
@pytest.mark.usefixtures("own_program")
def test_a_full_disk_in_a_thread_is_left_to_the_main_one(
    error: Exception, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    threading.excepthook(threading.ExceptHookArgs((type(error), error, None, threading.current_thread())))
    assert (type(error).__name__ in capsys.readouterr().err) == shown


def test_another_program_keeps_its_traceback() -> None:
    assert "Traceback" in run("Missing", "somebody.elses").stderr


@pytest.mark.parametrize("kind", ["ValueError", "KeyError"])
def test_other_errors_keep_their_traceback(kind: str) -> None:
    result = run(kind)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "failed to evaluate an expression" in result.stderr


LOST = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:9")


@pytest.mark.usefixtures("own_program")
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_process_that_is_left_alone_says_so(
    wrapped: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and a later SIGTERM of torchrun does not tear the line."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(errors.time, "sleep", lambda _: pytest.fail("it waits"))
    error = RuntimeError("Failed to evaluate")
    error.__cause__ = LOST
    end_with(error if wrapped else LOST)
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: another process of this run has ended") and "\n" not in said
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


@pytest.mark.usefixtures("own_program")
@pytest.mark.parametrize(("rank", "waits"), [("0", []), ("1", [errors._SECONDS])])
def test_what_all_processes_find_is_said_by_the_first(
    rank: str, waits: list[int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait, and torchrun ends them meanwhile; one that finds it alone says it after that."""
    waited: list[int] = []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(errors.time, "sleep", waited.append)
    end_with(UserError("no masks"))
    assert waited == waits
    assert capsys.readouterr().err == "\nerror: no masks\n"
    assert signal.getsignal(signal.SIGTERM) == (signal.SIG_DFL if waits else signal.SIG_IGN)


def test_without_torchrun_a_lost_connection_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert errors.plain_message(LOST) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("no masks"), "no masks"),
        (FULL, "cannot write out/events: No space left on device; what"),
        (OSError(errno.EROFS, "Read-only file system", "o"), "cannot write o: Read-only file system; what"),
        (PermissionError(errno.EACCES, "Permission denied", "a/m.pt"), "cannot use a/m.pt: Permission denied. Get"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "xx"), "cannot use xx: File name too long. "),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "a"), "cannot use a: Too many levels of symbolic"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "f/x"), "cannot use f/x: Not a directory. "),
        (PermissionError(errno.EACCES, "Permission denied"), None),  # of a socket, say
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a"), None),  # ours, where nobody looked before
        (ValueError("no number"), None),
        (None, None),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_is_told_plainly(error: BaseException | None, said: str | None, wrapped: bool) -> None:
    outer = RuntimeError("failed")
    outer.__cause__ = error
    found = errors.plain_message(outer if wrapped else error)
    assert found is said is None or (found or "").startswith(said or "nothing")


def chain(*found: BaseException) -> BaseException:
    """The first error, raised from the second, and so on."""
    for one, cause in pairwise(found):
        one.__cause__ = cause
    return found[0]


def test_the_causes_of_an_error() -> None:
    outer, own, deep = RuntimeError("outer"), UserError("own"), KeyError("deep")
    assert list(causes(None)) == []
    assert list(causes(chain(outer, own, deep))) == [outer, own, deep]
    assert first_cause(outer) is own  # it says all; what it came from is for those who look for faults
    assert first_cause(chain(RuntimeError(), ValueError(), deep)) is deep
    assert first_cause(deep) is deep


def test_causes_in_a_circle_end() -> None:
    one, other = RuntimeError("one"), ValueError("other")
    chain(one, other, one)
    assert list(causes(one)) == [one, other]
    assert first_cause(one) is other
    assert errors.plain_message(one) is None
