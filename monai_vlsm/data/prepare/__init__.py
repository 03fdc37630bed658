# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From the download of a dataset to the official layout: one module for each archive, one way of writing."""

from __future__ import annotations

from monai_vlsm.data.prepare.archive import Archive, ArchiveError
from monai_vlsm.data.prepare.layout import OutputError
from monai_vlsm.data.prepare.report import PrepareReport, SplitReport, report_json, report_text
from monai_vlsm.data.prepare.run import prepare_dataset

__all__ = [
    "Archive",
    "ArchiveError",
    "OutputError",
    "PrepareReport",
    "SplitReport",
    "prepare_dataset",
    "report_json",
    "report_text",
]
