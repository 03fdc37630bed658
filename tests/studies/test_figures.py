# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Figures from results: charts and images."""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_vlsm.drawing import below, beside, named_panel, save_png, text_block
from monai_vlsm.studies import StudyError, StudyFolder
from monai_vlsm.studies.charts import system_look
from monai_vlsm.studies.figures import write_figures
from monai_vlsm.studies.images import Answer, Key, choose_images
from monai_vlsm.studies.panels import draw_images
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


def test_titles_that_would_be_one_file(folder: Make, tmp_path: Path) -> None:
    made = folder(figures={"Fig 2": ["good"], "fig_2": ["good"], "images": ["good"]})
    files = [file.name for file in write_figures(made, tmp_path / "f") if file.suffix == ".svg"]
    assert files == ["Fig_2.svg", "fig_2-2.svg", "images-2.svg"]


def test_names_of_systems_are_no_markup(folder: Make, tmp_path: Path) -> None:
    names = ["_hidden", "$\\frac$", "a & <b>", 'say "x"', "50%", "#"]
    made = folder(systems={name: {"bundle": "good"} for name in names}, seeds=[41])
    worker(made).work()
    svg, _ = write_figures(made, tmp_path / "f")
    text = html.unescape(svg.read_text(encoding="utf-8"))
    assert all(f">{name}<" in text for name in names)


def test_before_there_is_any_result(folder: Make, tmp_path: Path) -> None:
    assert [file.suffix for file in write_figures(folder(), tmp_path / "f")] == [".svg", ".png"]


Answers = dict[str, dict[Key, Answer]]
TRUTH = (0, 0, 90)


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    """Two systems, six images; red tells the image, green the system."""
    found: Answers = {}
    for system, gain in (("a", 0.0), ("b", 0.05)):
        for index in range(6):
            file = tmp_path / f"{system}{index}.png"
            colours = {"truth 0": TRUTH, "prediction 0": (40 * index, 200 * (system == "b"), 0)}
            panels = [named_panel(np.full((60, 60, 3), colour, np.uint8), name) for name, colour in colours.items()]
            save_png(below([text_block("title", 200), beside(panels)], margin=10), file)
            found.setdefault(system, {})["polyps", f"img{index}", 0] = Answer(0.1 * index + gain, "polyp", file, 0)
    del found["b"]["polyps", "img0", 0]  # the worst, but not every system has it
    return found


def test_chosen_images_come_before_the_worst(answers: Answers) -> None:
    shown = choose_images(answers, ["img4"])
    assert [name for _, name, _ in shown] == ["img4", "img1", "img2", "img3"]
    assert [why.split()[0] for why in shown.values()] == ["chosen", "among", "among", "among"]


def test_an_image_that_is_not_there(answers: Answers) -> None:
    with pytest.raises(StudyError, match=r"--image img9: .*did you mean img"):
        choose_images(answers, ["img9"])


def test_a_page_of_images(answers: Answers) -> None:
    drawn = draw_images(answers, [])
    page = np.asarray(Image.open(io.BytesIO(drawn["png"])).convert("RGB")).astype(int)
    first = [(40, 0, 0), (40, 200, 0)]  # img1 by both systems, then img2
    places = [np.argwhere((page == colour).all(axis=-1)).mean(axis=0) for colour in (TRUTH, *first, (80, 0, 0))]
    truth, one, other, below_it = places
    assert one[0] == pytest.approx(other[0], abs=2) and truth[1] < one[1] < other[1], "systems are columns"
    assert below_it[1] == pytest.approx(one[1], abs=2) and one[0] < below_it[0], "images are rows"
    assert not (page == (160, 0, 0)).all(axis=-1).any()
    text = drawn["svg"].decode()
    assert "polyps: img1" in text and "0.100" in text and "0.150" in text and ">b<" in text
    assert draw_images({}, []) == {} and draw_images(answers, []) == drawn


def test_overlays_that_do_not_say_where_their_panels_are(answers: Answers) -> None:
    for index in range(6):
        with Image.open(answers["a"]["polyps", f"img{index}", 0].overlay) as file:
            file.copy().save(file.filename)
    assert draw_images(answers, []) == {}


def test_many_systems_go_on_below(answers: Answers) -> None:
    many = {f"system {index}": answers["a"] for index in range(9)}
    few, wide = (Image.open(io.BytesIO(draw_images(one, [])["png"])) for one in ({"a": answers["a"]}, many))
    assert wide.width > 3 * few.width and few.height < wide.height < 2.2 * few.height
    assert wide.height < 1.5 * wide.width


def test_systems_are_told_apart() -> None:
    """By colour, sign and filling together; of seven, by colour alone."""
    looks = [{key: value for key, value in system_look(index).items() if "edge" not in key} for index in range(70)]
    assert len({str(look) for look in looks}) == 70
    assert len({look["color"] for look in looks[:7]}) == 7
