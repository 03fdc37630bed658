# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A study with a real bundle: what it says is what the bundle takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_vlsm.io import read_rows
from monai_vlsm.studies import StudyFolder, Worker, read_study
from monai_vlsm.studies.figures import write_figures
from monai_vlsm.studies.writing import write_tables

ROOT = Path(__file__).parents[2]
STUDY = f"""
systems: [unet]
datasets: {{brain: {{folder: "sample:brain", test_split: val}}}}
seeds: [41]
fractions: [0.25]
styles: [p1, random]
settings: {{epochs: 1, overlays: 3}}
bundles: {ROOT / "bundles"}
"""


@pytest.mark.slow
def test_a_part_of_the_data_and_drawn_prompts(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    folder = StudyFolder.of(read_study(tmp_path / "study.yaml"), tmp_path / "out")
    folder.plan()
    assert Worker(folder).work() == 1
    log = (folder.of_run(folder.runs[0]) / "log.txt").read_text()
    assert folder.is_done(folder.runs[0]), log[-2000:]
    assert "10 images" in log and "to train" in log  # of 41
    write_tables(folder, tmp_path / "tables")
    prompts = {row["prompts"] for row in read_rows(tmp_path / "tables" / "cells.csv")}
    assert prompts == {"p1, class prompts", "random style, as the paper tested"}
    assert {file.stem for file in write_figures(folder, tmp_path / "figures")} == {"Results", "images"}
