# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that more than one test module needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[2] / "shared"


def pytest_collection_modifyitems() -> None:
    """A forked process hangs on the OpenMP threads of its parent, and the models are tiny."""
    import torch  # not by the process that only hands out tests, which would be slow to start

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny backbone."""
    from tests import tiny

    return tiny.write_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def blank_curves() -> Iterator[None]:
    """Curves are an empty image in this module: their drawing takes most of the time of a short training."""
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monai_vlsm.handlers.curves.draw_curves", lambda *_: Figure(figsize=(1, 1)))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with large reference data that stays outside the repository; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("reference data beside the repository is not here")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Slices of volumes are kept in a folder of the tests; weights stay where they are."""
    patch = pytest.MonkeyPatch()
    home = os.environ.get("XDG_CACHE_HOME") or f"{Path.home()}/.cache"
    patch.setenv("HF_HOME", os.environ.get("HF_HOME") or f"{home}/huggingface")
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _quick_files() -> Iterator[None]:
    """Files need not outlast a power failure, and a network copies the backbone if its files were read before."""
    import torch

    from monai_vlsm.networks import clipseg, load_base
    from tests.copies import Original

    read: dict[Any, Original] = {}

    def load(backbone: str | Path, load_weights: bool = True, decoder: str | Path | None = None) -> Any:
        if not load_weights or torch.get_default_device().type != "cpu":
            return load_base(backbone, load_weights, decoder)
        folder = Path(backbone)
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        key = (str(backbone), decoder, *((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files))
        if key not in read:
            with torch.random.fork_rng(devices=[]):  # so that a seed gives the same network each time
                read[key] = Original(load_base(backbone, decoder=decoder))
        return read[key].copy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clipseg, "load_base", load)
        patch.setattr(os, "fsync", lambda _: None)
        yield
