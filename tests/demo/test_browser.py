# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser shows what the models say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from monai_vlsm.demo import Models
from monai_vlsm.drawing import prompt_colours
from monai_vlsm.drawing.colours import rgb
from tests.data.dicom_files import dataset
from tests.data.files import write_dicom
from tests.demo.browsing import choose, done, downloaded, drop, error, example, pixels, segment, shown, table
from tests.serving.images import write_images

pytestmark = pytest.mark.slow
PROMPTS = ["polyp", "white matter"]
TEXT = "\n".join(PROMPTS)


def stored(values: np.ndarray, path: Path, **tags: Any) -> Path:
    return write_dicom(dataset(values.astype(np.uint16), "MONOCHROME2", **tags), path)


def grey(rows: int = 40, columns: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, (rows, columns))


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Three volumes in a file, with axes to the left, the front and the head, and each alone."""
    values = np.random.default_rng(0).integers(0, 1000, (24, 20, 4, 3)).astype(np.int16)
    affine = np.array([[-1.5, 0, 0, 9], [0, 2, 0, -4], [0, 0, 3, 1], [0, 0, 0, 1.0]])
    for name, array in [("x", values), *((f"alone{one}", values[..., one]) for one in range(3))]:
        image = nibabel.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, tmp_path / f"{name}.nii.gz")
    return tmp_path / "x.nii.gz"


def test_a_dicom_slice_has_its_area(page: Any, models: Models, tmp_path: Path) -> None:
    file = stored(grey(), tmp_path / "slice.dcm", PixelSpacing=[0.5, 2])
    drop(page, file)
    segment(page, TEXT)
    truth = models.segmenter("polyps")(file, PROMPTS)
    assert pixels(page) == truth.pixels and sum(truth.pixels) > 0
    assert [row[4] for row in table(page)] == [f"{round(area):,} mm²" for area in truth.areas if area is not None]
    assert [row[1] for row in table(page)] == [f"{score:.2f}" for score in truth.existence]
    assert page.locator("article h2").text_content() == "slice.dcm, polyps"


def test_several_dicom_frames_are_refused(page: Any, tmp_path: Path) -> None:
    values = np.concatenate([grey(), grey()])
    drop(page, stored(values, tmp_path / "cine.dcm", Rows=40, NumberOfFrames=2))
    expected = "cine.dcm: expected a readable image, found 2 frames; split the file into single-frame DICOM files"
    assert error(page) == expected
    page.click("#go")
    assert error(page) == "drop an image first, or take an example"


def test_a_volume_is_stepped_through(page: Any, models: Models, tmp_path: Path) -> None:
    file = write_images(tmp_path) / "volume.nii.gz"
    drop(page, file)
    segment(page, TEXT)
    truth: Any = models.segmenter("polyps")(file, PROMPTS)
    assert page.inner_text("#sliceValue") == f"{truth.masks.fullest() + 1} of 5"
    seen = []
    for index in range(5):
        if page.input_value("#slice") != str(index):
            choose(page, "slice", index)
        assert page.inner_text("#sliceValue") == f"{index + 1} of 5"
        assert pixels(page) == [int(mask.sum()) for mask in truth.masks.of_slice(index)]
        seen.append(shown(page))
    assert not np.array_equal(seen[0], seen[4])
    assert [row[4] for row in table(page)] == [f"{round(size):,} mm³" for size in truth.areas]


def test_one_volume_of_several_is_chosen(page: Any, models: Models, volumes: Path) -> None:
    drop(page, volumes)
    assert page.locator("#channel option").all_text_contents() == ["as the model says, else 0", "0", "1", "2"]
    for choice, alone in (("", 0), ("2", 2)):
        page.select_option("#channel", choice)
        segment(page, TEXT)
        truth = models.segmenter("polyps")(volumes.with_name(f"alone{alone}.nii.gz"), PROMPTS)
        assert page.locator("article h2").text_content() == f"x.nii.gz, volume {alone}, polyps"
        assert [row[4] for row in table(page)] == [f"{round(size):,} mm³" for size in truth.areas if size is not None]
    drop(page, volumes.with_name("alone0.nii.gz"))
    assert page.locator("#channels").is_hidden()


@pytest.mark.parametrize(("model", "prompts"), [("ulcers", ""), ("the same", "hand\nfoot"), ("ulcers", "hand")])
def test_two_sides_are_those_of_two_calls(page: Any, models: Models, tmp_path: Path, model: str, prompts: str) -> None:
    file = write_images(tmp_path) / "wide.png"
    drop(page, file)
    page.click("#compare summary")
    page.select_option("#model2", label=model)
    page.fill("#prompts2", prompts)
    segment(page, TEXT)
    second = model if model in models.names else "polyps"
    sides = [("polyps", PROMPTS), (second, prompts.splitlines() or PROMPTS)]
    truth = [models.segmenter(name)(file, texts) for name, texts in sides]
    assert [pixels(page, side) for side in (0, 1)] == [one.pixels for one in truth]
    assert [[row[0] for row in table(page, side)] for side in (0, 1)] == [texts for _, texts in sides]
    assert page.locator("article h2").all_text_contents() == [f"wide.png, {name}" for name, _ in sides]
    assert not np.array_equal(shown(page, 0), shown(page, 1))


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_masks_of_an_image_are_those_of_the_model(page: Any, models: Models, tmp_path: Path, threshold: float) -> None:
    drop(page, write_images(tmp_path) / "wide.png")
    segment(page, TEXT)
    if threshold != 0.5:
        choose(page, "threshold", threshold)
    truth = models.segmenter("polyps")(tmp_path / "wide.png", PROMPTS)
    assert truth.probabilities is not None
    assert pixels(page) == [int((one >= np.float32(threshold)).sum()) for one in truth.probabilities]
    replace(truth, threshold=threshold).save_masks(tmp_path / "truth")
    _assert_same_files(downloaded(page, tmp_path / "found"), tmp_path / "truth")


def test_masks_of_a_volume_keep_its_geometry(page: Any, models: Models, volumes: Path, tmp_path: Path) -> None:
    drop(page, volumes)
    page.select_option("#channel", "1")
    segment(page, TEXT)
    models.segmenter("polyps")(f"{volumes}::channel=1", PROMPTS).save_masks(tmp_path / "truth")
    found = downloaded(page, tmp_path / "found")
    _assert_same_files(found, tmp_path / "truth")
    for path in found.iterdir():
        mask, source = nibabel.load(path), nibabel.load(volumes)
        assert mask.shape == source.shape[:3] and np.array_equal(mask.affine, source.affine)


def _assert_same_files(found: Path, truth: Path) -> None:
    names = sorted(path.name for path in found.iterdir())
    assert len(names) == 3
    assert names == sorted(path.name for path in truth.iterdir() if not path.name.startswith("."))
    assert all((found / name).read_bytes() == (truth / name).read_bytes() for name in names)


def test_opacity_is_that_of_the_fill(page: Any, tmp_path: Path) -> None:
    drop(page, write_images(tmp_path) / "wide.png")
    segment(page, "polyp")
    colour = np.array(rgb(prompt_colours(1)[0]))
    covered = []
    for opacity in (0, 1):
        choose(page, "opacity", opacity)
        covered.append(int((shown(page) == colour).all(axis=-1).sum()))
    assert 0 < covered[0] < covered[1]  # the outline alone, then all of the mask
    assert page.inner_text("#opacityValue") == "1.00"


def test_20_clicks_end_in_one_answer(page: Any) -> None:
    page.fill("#prompts", TEXT)
    example(page)
    answers: list[int] = []
    page.on("response", lambda one: answers.append(one.status) if one.url.endswith("/answer") else None)
    page.fill("#prompts", "hand\nfoot")
    page.locator("#go").click(click_count=20)
    done(page)
    assert set(answers) == {200}
    answers.clear()
    page.evaluate("for (let click = 0; click < 20; click++) document.getElementById('go').click()")  # in no time
    done(page)
    assert answers == [200] and page.locator("article").count() == 1
    assert [row[0] for row in table(page)] == ["hand", "foot"] and page.locator("#error").is_hidden()


def test_of_two_requests_the_last_is_shown(page: Any) -> None:
    example(page)
    page.fill("#prompts", "hand")
    page.click("#go")
    page.fill("#prompts", "foot")
    page.click("#go")
    done(page)
    assert [row[0] for row in table(page)] == ["foot"]


def test_two_visitors_see_their_own(visit: Callable[..., Any], page: Any) -> None:
    other = visit()
    for one, prompts in ((page, TEXT), (other, "another")):
        one.fill("#prompts", prompts)
        example(one)
    assert [len(table(one)) for one in (page, other)] == [2, 1]
    choose(page, "threshold", 0.3)
    assert page.inner_text("#thresholdValue") == "0.30" and other.inner_text("#thresholdValue") == "0.50"
    assert page.locator("#error").is_hidden()


def test_keys_are_enough(page: Any) -> None:
    page.focus("#file")
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "volume"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("article")
    done(page)
    page.focus("#prompts")
    page.keyboard.press("Control+A")
    page.keyboard.type("hand")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("article img[alt='coronal_-28.png with masks of hand']")
    with page.expect_response(lambda one: "threshold=0.51" in one.url):
        page.focus("#threshold")
        page.keyboard.press("ArrowRight")
