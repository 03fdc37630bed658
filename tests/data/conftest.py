# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What tests of volumes share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.data.volumes import store


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the volumes that are read, in order."""
    names: list[str] = []
    read = store.read_channel

    def counted(path: Path, channel: int | None) -> Any:
        names.append(path.name)
        return read(path, channel)

    monkeypatch.setattr(store, "read_channel", counted)
    return names
