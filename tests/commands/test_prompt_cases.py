# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder belong together, and what is said of those that do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from monai_vlsm.commands.prompt_lists import make_prompts
from monai_vlsm.data import DatasetProblems, load_datalist
from monai_vlsm.prompts import load_recipe
from tests.commands.test_data_prompts import image, read, recipe, run
from tests.data.files import save


@pytest.mark.parametrize("home", ["", "images"])
def test_masks_beside_their_images(tmp_path: Path, home: str, capsys: pytest.CaptureFixture[str]) -> None:
    image(tmp_path / "made", "a.png")
    (tmp_path / "data" / home).mkdir(parents=True)
    for name in ("a", "b"):
        shutil.copy(tmp_path / "made" / "images" / "a.png", tmp_path / "data" / home / f"{name}.png")
        shutil.copy(tmp_path / "made" / "masks" / "a.png", tmp_path / "data" / home / f"{name}_Mask.png")
    for _ in range(2):  # the second time there are lists
        assert run(tmp_path / "data", "--recipe", recipe(tmp_path)) == 0
    start = f"{home}/" if home else ""
    pairs = [(entry["image"], entry["mask"]) for entry in read(tmp_path / "data")]
    assert pairs == [(f"{start}a.png", f"{start}a_Mask.png"), (f"{start}b.png", f"{start}b_Mask.png")]
    assert len(load_datalist(tmp_path / "data", "train")) == 2
    assert capsys.readouterr().err == ""
    (tmp_path / "data" / home / "b_Mask.png").unlink()
    with pytest.raises(DatasetProblems, match=r"(?s)1 problem.*b\.png: expected a mask b_mask beside it, found none"):
        run(tmp_path / "data", "--recipe", recipe(tmp_path), "--overwrite")


def test_marked_masks_in_their_folder(tmp_path: Path) -> None:
    image(tmp_path, "a.png")
    (tmp_path / "masks" / "a.png").rename(tmp_path / "masks" / "a_mask.png")
    make_prompts(tmp_path, load_recipe(recipe(tmp_path)))
    assert read(tmp_path)[0]["mask"] == "masks/a_mask.png"


def test_all_faulty_masks_are_listed(tmp_path: Path) -> None:
    text = "structures: {x: {class: x}, y: {class: y}}\nsplits: {train: 1}"
    for name in ("a.png", "b.png", "c.png"):
        for structure in ("x", "y"):
            image(tmp_path, name, mask=structure)
    save(np.zeros((30, 80), np.uint8), tmp_path / "masks" / "x" / "a.png")
    save(np.arange(60 * 80, dtype=np.uint8).reshape(60, 80) % 4, tmp_path / "masks" / "y" / "a.png")
    (tmp_path / "masks" / "y" / "b.png").write_bytes(b"")
    save(np.zeros((60, 80), np.uint8), tmp_path / "masks" / "x" / "d.png")
    with pytest.raises(DatasetProblems) as error:
        make_prompts(tmp_path, load_recipe(recipe(tmp_path, text)))
    faulty = [Path(problem.file).relative_to(tmp_path).as_posix() for problem in error.value.problems]
    assert faulty == ["masks/x/d.png", "masks/x/a.png", "masks/y/a.png", "masks/y/b.png"]
