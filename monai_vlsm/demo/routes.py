# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Paths of the page and what answers them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from monai_vlsm.demo.models import Models
from monai_vlsm.demo.requests import COOKIE, visit_of
from monai_vlsm.demo.results import Results
from monai_vlsm.demo.turns import Turns
from monai_vlsm.demo.uploads import EXAMPLES, Uploads
from monai_vlsm.demo.visits import Visits

__all__ = ["PAGE", "Routes"]

PAGE = Path(__file__).parent / "page"
"""Folder of what the browser loads."""


class Routes:
    """All that the page asks for.

    Args:
        models: that are offered.
    """

    def __init__(self, models: Models) -> None:
        self.visits, turns = Visits(models), Turns()
        self.uploads, self.results = Uploads(self.visits, turns), Results(self.visits, turns)

    def all(self) -> list[Any]:
        """Paths and what answers them."""
        own = [Route("/", self.page), Route("/start", self.start), Mount("/page", StaticFiles(directory=PAGE))]
        return [*own, *self.uploads.routes(), *self.results.routes()]

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Files go when the server ends."""
        yield
        self.visits.close()

    async def page(self, request: Request) -> Response:
        """The page, with a cookie that says whose it is."""
        key, _ = self.visits.of(request.cookies.get(COOKIE))
        answer = FileResponse(PAGE / "index.html")
        answer.set_cookie(COOKIE, key, httponly=True, samesite="strict")
        return answer

    async def start(self, request: Request) -> Response:
        """What there is to choose."""
        names = self.visits.names(visit_of(self.visits, request))
        return JSONResponse({"models": names, "examples": list(EXAMPLES)})
