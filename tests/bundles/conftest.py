# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quickly(blank_curves: None) -> None:
    """All runs of bundles here."""
