# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What strangers drop on the page, in a real browser."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.demo.browsing import drop, error, example, segment, table
from tests.serving.images import write_images

pytestmark = pytest.mark.slow
HTML = "<img src=x onerror=alert(1)>"


def test_html_is_text(page: Any, tmp_path: Path) -> None:
    drop(page, write_images(tmp_path) / "square.png", f"{HTML}.png")
    segment(page, f"polyp\n{HTML}")
    assert [row[0] for row in table(page)] == ["polyp", HTML]
    assert page.locator("article h2").text_content() == f"{HTML}.png, polyps"
    assert page.locator("img").count() == 1
    (tmp_path / "notes.txt").write_text("hello")
    drop(page, tmp_path / "notes.txt", f"{HTML}.txt")
    assert error(page).startswith(f"{HTML}.txt is no image")


def test_200_mb_are_not_sent(page: Any, tmp_path: Path) -> None:
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url))
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(200 * 2**20)
    page.set_input_files("#file", tmp_path / "large.png")
    assert error(page) == "large.png is larger than 100 MB, the most that this page takes"
    assert not sent


def test_a_zip_bomb_is_refused(page: Any, tmp_path: Path) -> None:
    """As it grows: 66 members of 8 MB each, more than 512 MB from less than one."""
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(bytes(2**23), mtime=0) * 66)
    drop(page, tmp_path / "bomb.nii.gz")
    assert error(page).startswith("bomb.nii.gz unpacks to more than 512 MB")


def test_a_model_of_another_base_is_refused(page: Any, model_file: Path, of_another_base: Path) -> None:
    drop(page, of_another_base)
    assert error(page).startswith("other.pt")
    assert page.locator("#model option").all_text_contents() == ["polyps", "ulcers"]
    drop(page, model_file, "mine.pt")
    page.wait_for_selector("#model option:nth-child(3)", state="attached")
    assert page.locator("#model option:checked").text_content() == "mine (yours)"
    example(page)
    assert page.locator("article h2").text_content() == "axial_+20.png, mine (yours)"


def test_several_files_at_once(page: Any) -> None:
    held = "const held = new DataTransfer(); for (const name of 'ab') held.items.add(new File([], name));"
    page.evaluate(f"{held} document.dispatchEvent(new DragEvent('drop', {{ dataTransfer: held }}))")
    assert error(page).startswith("2 files at once; drop one")


@pytest.mark.parametrize("width", [360, 1280])
def test_long_texts_fit(visit: Callable[..., Any], tmp_path: Path, width: int) -> None:
    page = visit(viewport={"width": width, "height": 800})
    page.click("#compare summary")
    drop(page, write_images(tmp_path) / "volume.nii.gz", f"{'n' * 190}.nii.gz")
    segment(page, f"{'word ' * 50}\n{'x' * 300}")
    assert page.locator("article").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = "(one) => one.scrollWidth <= one.clientWidth && one.querySelector('table').scrollWidth <= one.clientWidth"
    assert all(page.locator("article").nth(side).evaluate(inside) for side in (0, 1))
