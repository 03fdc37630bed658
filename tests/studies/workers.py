# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Workers that start `fake_bundle` instead of a bundle."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai_vlsm.studies import StudyFolder, Worker

FAKE = (sys.executable, str(Path(__file__).with_name("fake_bundle.py")))


def worker(folder: StudyFolder, **options: Any) -> Worker:
    """A worker with `fake_bundle`, who says nothing and finds no leaks."""
    return Worker(folder, program=FAKE, **{"tell": lambda line: None, "leaks": lambda *_: {}, **options})


def starts(place: Path) -> list[str]:
    """What was started, such as ``good 41 train polyps``."""
    file = place / "bundles" / "starts.txt"
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
