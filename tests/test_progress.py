# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import sys

import pytest

from monai_vlsm.progress import progress_bar


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), _Terminal()])
def test_a_bar_is_seen_on_a_terminal_and_does_not_stay(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress_bar(iter("abc"), "spelling", 3, "letter")) == ["a", "b", "c"]
    assert ("spelling" in stream.getvalue()) is stream.isatty()
    assert "\n" not in stream.getvalue()
    assert not stream.getvalue().rpartition("\r")[2].strip()
