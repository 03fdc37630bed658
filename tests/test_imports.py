# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What ``import monai_vlsm`` does: it loads little beyond ``import monai, torch``, counted and not timed; names work.

Both are looked at in one process of its own, whose start takes seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

NAMES = ["CLIPSegNet", "TokenizePromptd", "PromptInferer", "TrainingState"]
CODE = f"""
import json, sys
import monai, torch
before = set(sys.modules)
import monai_vlsm
loaded = sorted(set(sys.modules) - before)
from monai.bundle import ConfigParser
found = [ConfigParser({{"x": {{"_target_": name, "_mode_": "callable"}}}}).get_parsed_content("x") for name in {NAMES}]
print(json.dumps({{"loaded": loaded, "found": [str(getattr(value, "func", value)) for value in found]}}))
"""
MOST = 60  # modules of other packages; 28 with the pinned versions


@pytest.fixture(scope="module")
def imported() -> Any:
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], check=True, capture_output=True, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def test_little_is_loaded(imported: Any) -> None:
    loaded = [name for name in imported["loaded"] if name.split(".")[0] != "monai_vlsm"]
    assert "transformers.models.clipseg.modeling_clipseg" in loaded
    assert len(loaded) < MOST, loaded
    models = {name.split(".")[2] for name in loaded if name.startswith("transformers.models.")}
    assert models <= {"auto", "bert", "clip", "clipseg", "encoder_decoder"}


def test_short_names_work_after_the_import(imported: Any) -> None:
    for name, value in zip(NAMES, imported["found"], strict=True):
        assert "monai_vlsm." in value and name in value
