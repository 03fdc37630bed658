# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Makes the tools importable as the modules they are when they are run as scripts."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
