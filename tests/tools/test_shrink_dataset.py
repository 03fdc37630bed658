# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The small copy of a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shrink_dataset import main, shrink


def _dataset(folder: Path) -> Path:
    for kind in ("anns", "images", "masks"):
        (folder / kind).mkdir(parents=True)
    (folder / "anns" / "train.json").write_text('[{"img_name": "a.png"}]')
    Image.fromarray(np.full((40, 20), 90, np.uint8)).save(folder / "images" / "a.png")
    mask = np.zeros((40, 20), np.uint8)
    mask[:20] = 255
    Image.fromarray(mask).save(folder / "masks" / "a.png")
    return folder


def test_images_and_masks_are_square_and_lists_as_they_were(tmp_path: Path) -> None:
    source, target = _dataset(tmp_path / "source"), tmp_path / "target"
    assert shrink(source, target, 10) == 1
    image, mask = (np.asarray(Image.open(target / kind / "a.png")) for kind in ("images", "masks"))
    assert image.shape == mask.shape == (10, 10)
    assert (image == 90).all()
    assert (mask[:5] == 255).all() and (mask[5:] == 0).all()
    assert (target / "anns" / "train.json").read_bytes() == (source / "anns" / "train.json").read_bytes()


def test_a_folder_that_is_no_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), str(tmp_path / "out")])
    assert "anns" in capsys.readouterr().err
