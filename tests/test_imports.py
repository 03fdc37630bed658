# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What ``import monai_vlsm`` loads beyond ``import monai, torch``: counted, not timed."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import monai, torch
before = set(sys.modules)
import monai_vlsm
print(*sorted(set(sys.modules) - before))
"""
MOST = 60  # modules of other packages; 28 with the pinned versions


def test_little_is_loaded() -> None:
    run = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    loaded = [name for name in run.stdout.split() if name.split(".")[0] != "monai_vlsm"]
    assert "transformers.models.clipseg.modeling_clipseg" in loaded
    assert len(loaded) < MOST, loaded
    models = {name.split(".")[2] for name in loaded if name.startswith("transformers.models.")}
    assert models <= {"auto", "clip", "clipseg", "encoder_decoder"}
