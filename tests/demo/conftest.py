# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra demo is not installed")
from starlette.testclient import TestClient

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.demo import Models, build_app
from monai_vlsm.networks import CLIPSegNet
from tests.serving.images import write_model


@pytest.fixture(scope="session")
def model_file(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = CLIPSegNet(backbone, DenseAdaptation("v", width=4))
    return write_model(network, tmp_path_factory.mktemp("demo") / "polyps.pt")


@pytest.fixture(scope="session")
def models(model_file: Path) -> Models:
    return Models([model_file])


@pytest.fixture
def client(models: Models) -> Iterator[TestClient]:
    with TestClient(build_app(models), base_url="http://localhost") as visitor:
        visitor.get("/")
        yield visitor
