# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""docs/own_trainer.md is true: its code runs as it stands and leaves a file that everything takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.checkpoints import ModelMismatchError, load_trained, read_settings

TEXT = (Path(__file__).parents[1] / "docs" / "own_trainer.md").read_text(encoding="utf-8")
TRAIN, ASK = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_code_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len([line for line in TRAIN.splitlines() if line]) < 40
    names: dict[str, Any] = {}
    exec(TRAIN, names)
    settings = read_settings("models/model.pt")
    assert settings["default_prompt"] == "brain"
    exec(ASK, names)
    assert names["result"].masks.shape[0] == 2 and len(names["result"].existence) == 2
    network = names["network"]
    torch.save(network.state_dict(), "plain.pt")
    with pytest.raises(ModelMismatchError, match=r"TrainedState\(network\)\.state_dict\(\).*docs/own_trainer\.md"):
        load_trained(network, "plain.pt")
