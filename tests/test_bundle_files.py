# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Bundles out of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_vlsm import bundle_files
from monai_vlsm.bundle_files import BundleCopyError, bundle_names, bundles_folder, copy_bundle
from monai_vlsm.commands import main
from monai_vlsm.io import WriteError

NAMES = ["clipseg", "cris", "san", "unet", "vlsm_dense", "vlsm_shallow", "vlsm_slices"]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_shipped_bundles() -> None:
    assert bundle_names() == NAMES


@pytest.mark.parametrize("name", ["vlsm_dense", "unet"])
def test_a_copy_is_the_bundle_without_what_trainings_left(name: str, tmp_path: Path) -> None:
    copy = copy_bundle(name, tmp_path / "new" / "folder")
    shipped = _files(bundles_folder() / name)
    left = {"models", "eval", "evaluation"}
    assert _files(copy) == {file: content for file, content in shipped.items() if Path(file).parts[0] not in left}
    assert "configs/train.json" in _files(copy)
    assert [path.name for path in copy.parent.iterdir()] == [name]


def test_an_installed_package_takes_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "_bundles" / "mine" / "configs").mkdir(parents=True)
    (tmp_path / "_bundles" / "mine" / "configs" / "train.json").write_text("{}")
    monkeypatch.setattr(bundle_files, "_PACKAGE", tmp_path)
    assert bundle_names() == ["mine"]


def test_what_cannot_be_copied(tmp_path: Path) -> None:
    with pytest.raises(BundleCopyError, match=r"no bundle 'dense'.*vlsm_dense"):
        copy_bundle("dense", tmp_path)
    (tmp_path / "unet").mkdir()
    with pytest.raises(BundleCopyError, match="unet is there already"):
        copy_bundle("unet", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"cannot copy unet to .*file: "):
        copy_bundle("unet", tmp_path / "file")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "unet", "--output", str(tmp_path)]) == 0
    assert str(tmp_path / "unet" / "configs" / "train.json") in capsys.readouterr().out
    assert main(["bundle", "unet", "--output", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
