# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML file that needs nothing else (no script, no font, no image from elsewhere), and as Markdown."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from PIL import Image

from monai_vlsm.report.blocks import Block
from monai_vlsm.tables import escaped

__all__ = ["TEMPLATES", "render"]

TEMPLATES = ("page.html", "page.md")
PHOTO_SIZE = (1280, 1280)  # as JPEG about 100 kB; the PNG of a photograph can have ten times that


def render(template: str, title: str, lead: str, blocks: Sequence[Block], footer: str) -> str:
    """Write blocks with a template; all of their texts are escaped.

    Args:
        template: one of `TEMPLATES`.
        title: heading of the page.
        lead: a sentence below it.
        blocks: what follows.
        footer: the last line.
    """
    environment = Environment(
        loader=PackageLoader("monai_vlsm.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"kind": _kind, "svg": _svg, "jpeg": _jpeg, "md": escaped, "code": _code}
    return environment.get_template(template).render(title=title, lead=lead, blocks=blocks, footer=footer)


def _kind(block: object) -> str:
    return type(block).__name__


def _svg(content: bytes) -> str:
    return _data("image/svg+xml", content)


def _jpeg(path: Path | None) -> str:
    """An overlay made small; empty without one, or if the file is broken."""
    if path is None:
        return ""
    try:
        with Image.open(path) as image, io.BytesIO() as file:
            small = image.convert("RGB")
            small.thumbnail(PHOTO_SIZE)
            small.save(file, format="JPEG", quality=85, optimize=True)
            return _data("image/jpeg", file.getvalue())
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _code(command: str) -> str:
    """A text between as many backticks as it takes."""
    fence = "`" * (max((len(run) for run in re.findall("`+", command)), default=0) + 1)
    return f"{fence} {command} {fence}" if len(fence) > 1 else f"`{command}`"
