# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML file that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from monai_vlsm.report.blocks import (
    Block,
    Cell,
    Details,
    Figure,
    Figures,
    Gallery,
    Heading,
    Hint,
    Paragraph,
    Photo,
    Table,
)
from monai_vlsm.report.style import STYLE

__all__ = ["html_page"]

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PHOTO_SIZE = (1280, 1280)  # as JPEG about 100 kB; the PNG of a photograph can have ten times that
SHORT = 14  # letters of a cell that is not broken into lines
UNREADABLE = "no picture"


def html_page(title: str, lead: str, blocks: Sequence[Block], footer: str) -> str:
    """Write blocks as a page.

    Args:
        title: heading of the page.
        lead: a sentence below it.
        blocks: what follows; all of their texts are escaped.
        footer: the last line.
    """
    body = "\n".join(_block(block, place) for place, block in enumerate(blocks))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p>{escape(lead)}</p>
{_contents(blocks)}
{body}
<footer>{escape(footer)}</footer>
</body>
</html>
"""


def _contents(blocks: Sequence[Block]) -> str:
    """Links to the chapters."""
    chapters = [(place, b.text) for place, b in enumerate(blocks) if isinstance(b, Heading) and b.level == 2]
    items = "".join(f'<li><a href="#b{place}">{escape(text)}</a></li>' for place, text in chapters)
    return f"<nav><ul>{items}</ul></nav>"


def _block(block: Block, place: int) -> str:
    match block:
        case Heading(text, level):
            return f'<h{level} id="b{place}">{escape(text)}</h{level}>'
        case Paragraph(text, small):
            return f'<p class="small">{escape(text)}</p>' if small else f"<p>{escape(text)}</p>"
        case Hint(text, command):
            return f'<div class="hint"><p>{escape(text)} <code>{escape(command)}</code></p></div>'
        case Table():
            return _table(block)
        case Details(title, table):
            return f"<details><summary>{escape(title)}</summary>{_table(table)}</details>"
        case Figure():
            return _figure(block)
        case Figures(figures):
            return f'<div class="plots">{"".join(map(_figure, figures))}</div>'
        case Gallery(title, photos):
            return f"<p><strong>{escape(title)}:</strong></p>\n" + "\n".join(map(_photo, photos))


def _figure(figure: Figure) -> str:
    image = f'<img src="{_data("image/svg+xml", figure.svg)}" alt="{escape(figure.text)}">'
    return f'<figure class="plot">{image}<figcaption>{escape(figure.text)}</figcaption></figure>'


def _table(table: Table) -> str:
    numeric = [isinstance(cell, Cell) for cell in table.rows[0]] if table.rows else [False] * len(table.header)
    heads = (
        f'<th scope="col" class="{"number" if right else "text"}">{escape(title)}</th>'
        for title, right in zip(table.header, numeric, strict=True)
    )
    rows = "\n".join(f"<tr>{''.join(map(_cell, table.header, row))}</tr>" for row in table.rows)
    head = f"<thead><tr>{''.join(heads)}</tr></thead>"
    return f'<div class="scroll"><table>\n{head}\n<tbody>\n{rows}\n</tbody></table></div>'


def _cell(title: str, cell: str | Cell) -> str:
    """A cell, and the title of its column, which a phone shows beside it."""
    if isinstance(cell, str):
        kind, content = "text" if len(cell) > SHORT else "text short", escape(cell)
    else:
        kind, content = "number", "".join([escape(cell.main), *(f"<small>{escape(d)}</small>" for d in cell.details)])
    return f'<td class="{kind}" data-title="{escape(title)}"><span>{content}</span></td>'


def _photo(photo: Photo) -> str:
    jpeg = _jpeg(photo.picture)
    alt = f"{photo.name}, prompt {photo.prompt}: image, true outline and prediction"
    shown = (
        f'<img src="{_data("image/jpeg", jpeg)}" alt="{escape(alt)}">'
        if jpeg
        else f"<div class=none>{UNREADABLE}</div>"
    )
    text = f"<strong>{escape(photo.prompt)}</strong><br>{escape(photo.scores)}<br>{escape(photo.name)}"
    return f'<figure class="photo">{shown}<figcaption>{text}</figcaption></figure>'


def _jpeg(path: Path | None) -> bytes | None:
    """A picture made small; None without one, or if the file is broken."""
    if path is None:
        return None
    try:
        with Image.open(path) as image, io.BytesIO() as file:
            small = image.convert("RGB")
            small.thumbnail(PHOTO_SIZE)
            small.save(file, format="JPEG", quality=85, optimize=True)
            return file.getvalue()
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
