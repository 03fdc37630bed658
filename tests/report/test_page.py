# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from monai_vlsm.report.blocks import Block, Details, Figures, Gallery, Heading, Hint, Paragraph, Photo, Plot
from monai_vlsm.report.pages import render
from monai_vlsm.tables import Cell, Table
from tests.statistics.runs import HOSTILE

TABLE = Table([HOSTILE, "n"], [[HOSTILE, Cell(HOSTILE, (HOSTILE,))]])
EVERY_BLOCK: list[Block] = [
    Heading(HOSTILE),
    Heading(HOSTILE, 3),
    Paragraph(HOSTILE),
    Paragraph(HOSTILE, small=True),
    Hint(HOSTILE, HOSTILE),
    TABLE,
    Details(HOSTILE, TABLE),
    Figures([Plot(b"<svg/>", HOSTILE), Plot(b"<svg/>", HOSTILE)]),
    Gallery(HOSTILE, [Photo(None, HOSTILE, HOSTILE, HOSTILE)]),
    Gallery(HOSTILE, [Photo(None, HOSTILE, HOSTILE, HOSTILE)], shown=False),
]


def html_page(title: str, lead: str, blocks: list[Block], footer: str) -> str:
    return render("page.html", title, lead, blocks, footer)


class Tags(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_everything_is_escaped() -> None:
    page = html_page(HOSTILE, HOSTILE, EVERY_BLOCK, HOSTILE)
    tags = Tags(page)
    assert tags.open == []
    assert "script" not in tags.found
    assert set(tags.found) & {"a", "b", "i", "em"} == {"a"}
    assert [value for name, value in tags.attributes if name == "href"] == ["#1"]
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert tags.text.count(HOSTILE) == 30


@pytest.mark.parametrize("block", EVERY_BLOCK, ids=lambda block: type(block).__name__)
def test_every_block_shows_its_text(block: Block) -> None:
    bare = Tags(html_page("", "", [], "")).text.count(HOSTILE)
    assert bare == 0
    assert Tags(html_page("", "", [block], "")).text.count(HOSTILE) >= 1


def test_the_page_needs_nothing_else() -> None:
    page = html_page("t", "l", EVERY_BLOCK, "f")
    sources = [value or "" for name, value in Tags(page).attributes if name == "src"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert not re.findall(r"@import|url\(|<link|https?:", page)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert 'name="viewport"' in page


def photo(path: Path) -> str:
    return html_page("t", "l", [Gallery("g", [Photo(path, "“polyp”", "Dice 0.5", "a")])], "f")


def test_photos_are_made_small(tmp_path: Path) -> None:
    Image.effect_noise((2560, 640), 60).save(tmp_path / "a.png")
    page = photo(tmp_path / "a.png")
    (content,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (1280, 320)
    assert len(page) < 0.5 * (tmp_path / "a.png").stat().st_size
    assert 'alt="a, prompt “polyp”: image, true outline and prediction"' in page


def test_transparent_images(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 10)).save(tmp_path / "a.png")
    assert "data:image/jpeg" in photo(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_a_broken_image_is_said_to_be_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    page = photo(tmp_path / "a.png")
    assert "no overlay" in Tags(page).text
    assert "img" not in Tags(page).found


def test_columns_of_numbers_stand_right() -> None:
    page = html_page("t", "l", [Table(["name", "n"], [["a", Cell("1", ("0 to 2", "3 left out"))]])], "f")
    assert '<th scope="col" class="number">n</th>' in page
    assert "<small>0 to 2</small><small>3 left out</small>" in page
    assert 'data-title="n"' in page


def test_an_empty_table() -> None:
    assert Tags(html_page("t", "l", [Table(["name", "n"], [])], "f")).found.count("th") == 2
