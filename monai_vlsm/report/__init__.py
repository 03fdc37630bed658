# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What evaluations found, as a page for people: HTML, Markdown and JSON."""

from __future__ import annotations

from monai_vlsm.report.writing import FILES, write_report

__all__ = ["FILES", "write_report"]
