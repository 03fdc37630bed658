# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Several files share one base, and a file that changed is read again."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from monai_vlsm.apps.label import Banks
from tests.apps.conftest import write_model


def test_one_base(bundle: Path, adapter: Path, backbone: Path) -> None:
    banks = Banks()
    first = banks.network(str(backbone), "cpu", bundle / "models" / "model.pt")
    alone = banks.memory()[f"{backbone} on cpu"]
    second = banks.network(str(backbone), "cpu", adapter)
    both = banks.memory()[f"{backbone} on cpu"]
    assert both["base"] == alone["base"]
    assert len(both["adapters"]) == 2
    assert all(size < both["base"] for size in both["adapters"].values())
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(first(image), second(image))
    assert banks.network(str(backbone), "cpu", adapter) is second


def test_a_changed_file_is_read_again(adapter: Path, backbone: Path, tmp_path: Path) -> None:
    banks, file = Banks(), Path(shutil.copy(adapter, tmp_path / "a.pt"))
    old = banks.network(str(backbone), "cpu", file)
    write_model(file, backbone, seed=3)
    new = banks.network(str(backbone), "cpu", file)
    assert new is not old
    assert len(banks.memory()[f"{backbone} on cpu"]["adapters"]) == 1
