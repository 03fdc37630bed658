# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a request says, and whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request

from monai_vlsm.demo.visit import NotThereError, Visit
from monai_vlsm.demo.visits import Visits

__all__ = ["COOKIE", "body_of", "channel_of", "number_of", "prompts_of", "receive", "visit_of"]

COOKIE = "monai_vlsm_demo"
_PROMPTS, _LETTERS = 8, 300


def visit_of(visits: Visits, request: Request) -> Visit:
    """The visit that a request belongs to; only the page itself begins one.

    Raises:
        NotThereError: it was forgotten.
    """
    visit = visits.known(request.cookies.get(COOKIE))
    if visit is None:
        raise NotThereError("this visit was forgotten after a while without a click; reload the page")
    return visit


async def receive(request: Request, path: Path) -> None:
    """Write the body of a request to a file, piece by piece."""
    with path.open("wb") as file:
        async for piece in request.stream():
            file.write(piece)


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings.

    Raises:
        NotThereError: it brings none.
    """
    try:
        content = await request.json()
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise NotThereError("the request is no JSON object")
    return content


def prompts_of(lines: Any) -> list[str]:
    """The prompts of a text, one a line.

    Raises:
        NotThereError: there are none, too many, or one is too long.
    """
    text = str(lines or "").encode("utf-8", "replace").decode()  # JSON may hold halves of letters, answers may not
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise NotThereError("type at least one prompt, one a line")
    if len(found) > _PROMPTS or max(map(len, found)) > _LETTERS:
        raise NotThereError(f"at most {_PROMPTS} prompts of {_LETTERS} letters each, please")
    return list(dict.fromkeys(found))


def channel_of(given: Any) -> int | None:
    """Which volume of a file of several is asked for; None for whatever names none."""
    text = str(given)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None


def number_of(request: Request, name: str, default: float) -> float:
    """A number of the address.

    Raises:
        NotThereError: it is none.
    """
    given = request.query_params.get(name, default)
    try:
        return float(given)
    except ValueError as error:
        raise NotThereError(f"{name} must be a number, got {str(given)[:20]!r}") from error
