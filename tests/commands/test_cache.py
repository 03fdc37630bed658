# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm cache``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_vlsm.caches import FeatureStore
from monai_vlsm.commands import main


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "monai_vlsm"
    store = FeatureStore(folder / "features", {"backbone": "clipseg-mini", "device": "cpu"}, "float16")
    store.write("a", torch.zeros(3, 485, 768))
    store.describe()
    (store.folder / ".b.part").write_bytes(b"12")
    (folder / "images").mkdir()
    (folder / "images" / f"{'0a' * 32}.image").write_bytes(b"123")
    (folder / "images" / "mine.image").write_bytes(b"123")
    (folder / "volumes").mkdir()
    (folder / "volumes" / "a.stack").write_bytes(b"12345")
    (folder / "volumes" / "mine.txt").write_bytes(b"12345")
    return folder


@pytest.mark.parametrize("named", [True, False])
def test_info_and_clear(named: bool, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(cache)] if named else []
    assert main(["cache", "info", *words]) == 0
    printed = capsys.readouterr().out
    for text in (
        "2.24 MB",
        "1 image ",
        "clipseg-mini float16 cpu",
        "1 leftover of",
        "3 B  1 file\n",
        "5 B  1 file\n",
        str(cache),
    ):
        assert text in printed
    assert str(cache) in printed
    assert main(["cache", "clear", *words]) == 0
    assert "2.24 MB freed" in capsys.readouterr().out
    assert sorted(path.name for path in cache.rglob("*") if path.is_file()) == ["mine.image", "mine.txt"]


def test_nothing_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "info", str(tmp_path / "none")]) == 0
    assert "0 B" in capsys.readouterr().out
