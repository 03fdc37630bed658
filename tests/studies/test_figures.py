# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Figures from results: charts and images."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from monai_vlsm.studies import StudyError, StudyFolder
from monai_vlsm.studies.figures import write_figures
from monai_vlsm.studies.images import Answer, choose_images, draw_images
from tests.studies.workers import worker

Make = Callable[..., StudyFolder]
pytestmark = pytest.mark.usefixtures("quick")


def test_a_chart_of_each_table_or_as_the_file_says(folder: Make, tmp_path: Path) -> None:
    made = folder(figures={"Figure 2: a": ["good", "better"], "b": ["better"]})
    worker(made).work()
    files = write_figures(made, tmp_path / "f")
    assert [file.name for file in files] == ["Figure_2_a.svg", "Figure_2_a.png", "b.svg", "b.png"]
    text = files[0].read_text(encoding="utf-8")
    assert "Figure 2: a" in text and "good" in text and "polyps" in text
    assert Image.open(files[1]).width > 600
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in write_figures(made, tmp_path / "f")] == before


def test_before_there_is_any_result(folder: Make, tmp_path: Path) -> None:
    assert [file.suffix for file in write_figures(folder(), tmp_path / "f")] == [".svg", ".png"]


@pytest.fixture
def answers(tmp_path: Path) -> dict[str, dict[tuple[str, str], Answer]]:
    found: dict[str, dict[tuple[str, str], Answer]] = {}
    for system, gain in (("a", 0.0), ("b", 0.05)):
        for index in range(6):
            file = tmp_path / f"{system}{index}.png"
            Image.new("RGB", (300, 100), (40 * index, 0, 0)).save(file)
            found.setdefault(system, {})["polyps", f"img{index}"] = Answer(0.1 * index + gain, "polyp", file)
    del found["b"]["polyps", "img0"]  # the worst, but not every system has it
    return found


def test_chosen_images_come_before_the_worst(answers: dict[str, dict[tuple[str, str], Answer]]) -> None:
    shown = choose_images(answers, ["img4"])
    assert [name for _, name in shown] == ["img4", "img1", "img2", "img3"]
    assert [why.split()[0] for why in shown.values()] == ["chosen", "among", "among", "among"]


def test_an_image_that_is_not_there(answers: dict[str, dict[tuple[str, str], Answer]]) -> None:
    with pytest.raises(StudyError, match=r"--image img9: .*did you mean img"):
        choose_images(answers, ["img9"])


def test_a_page_of_images(answers: dict[str, dict[tuple[str, str], Answer]]) -> None:
    drawn = draw_images(answers, [])
    page = Image.open(io.BytesIO(drawn["png"])).convert("RGB")
    colours = {colour for _, colour in page.getcolors(1 << 20) or []}
    assert {(40, 0, 0), (80, 0, 0), (120, 0, 0)} <= colours and (160, 0, 0) not in colours
    assert drawn["svg"].startswith(b"<svg") and b"data:image/png" in drawn["svg"]
    assert draw_images({}, []) == {}
