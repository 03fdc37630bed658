# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a GPU takes from the wall while a program runs, where the card tells."""

from __future__ import annotations

import subprocess
import threading
from time import monotonic

__all__ = ["EnergyMeter", "power"]

_EVERY = 10.0  # seconds between two looks


def power(gpu: str) -> float | None:
    """Watts that a GPU draws now; None where it does not tell."""
    words = ["nvidia-smi", f"--id={gpu}", "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
    try:
        return float(subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


class EnergyMeter:
    """Adds up the power of a GPU while the block lasts; others who use it at the same time count too.

    Args:
        gpu: as ``CUDA_VISIBLE_DEVICES`` names it; without one nothing is measured.
        every: seconds between two looks.
    """

    def __init__(self, gpu: str, every: float = _EVERY) -> None:
        self.gpu, self.every = gpu, every
        self.joules: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    @property
    def watt_hours(self) -> float | None:
        """The sum so far; None where the card does not tell."""
        return None if self.joules is None else round(self.joules / 3600, 3)

    def __enter__(self) -> EnergyMeter:
        if self.gpu:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self.gpu:
            self._thread.join()

    def _measure(self) -> None:
        before, ended = monotonic(), False
        while not ended:
            ended = self._ended.wait(self.every)
            watts, now = power(self.gpu), monotonic()
            if watts is None:
                return
            self.joules = (self.joules or 0) + watts * (now - before)
            before = now
