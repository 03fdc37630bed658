# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.serving import AdapterBank
from tests.serving.models import ADAPTATIONS, save, train


@pytest.fixture(scope="session")
def trained(backbone: Path) -> dict[str, CLIPSegNet]:
    """A network of each kind, built the usual way: what the bank is compared with."""
    return {kind: train(backbone, kind) for kind in ADAPTATIONS}


@pytest.fixture(scope="session")
def files(trained: dict[str, CLIPSegNet], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: save(network, folder / kind / "model.pt") for kind, network in trained.items()}


@pytest.fixture
def bank(backbone: Path) -> AdapterBank:
    return AdapterBank(backbone)


@pytest.fixture(scope="session")
def full_bank(backbone: Path, files: dict[str, Path]) -> AdapterBank:
    """A bank with a model of each kind. Tests leave it as it is."""
    bank = AdapterBank(backbone)
    for kind, file in files.items():
        bank.load(kind, file)
    return bank
