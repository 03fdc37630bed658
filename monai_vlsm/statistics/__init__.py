# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Numbers from evaluations: their files read, means with bootstrap intervals, runs compared, what prompts changed."""

from __future__ import annotations

from monai_vlsm.statistics.columns import ReportError
from monai_vlsm.statistics.comparison import compare
from monai_vlsm.statistics.reading import Run, read_run, read_runs
from monai_vlsm.statistics.results import measure

__all__ = ["ReportError", "Run", "compare", "measure", "read_run", "read_runs"]
