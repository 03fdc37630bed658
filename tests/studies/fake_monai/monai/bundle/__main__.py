# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai.bundle`` with this folder before others: `tests.studies.fake_bundle`."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).parents[3] / "fake_bundle.py"), run_name="__main__")
