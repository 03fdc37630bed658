# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the page shows: answers of a model, their overlays, tables and masks."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monai_vlsm.data.problems import MissingFileError
from monai_vlsm.demo.answers import Answer, ask
from monai_vlsm.demo.replies import plainly
from monai_vlsm.demo.requests import body_of, channel_of, number_of, prompts_of, visit_of
from monai_vlsm.demo.turns import Turns
from monai_vlsm.demo.visit import NotThereError
from monai_vlsm.demo.visits import Visits
from monai_vlsm.drawing import save_png

__all__ = ["Results"]


class Results:
    """Asks models, and shows what they say.

    Args:
        visits: whose files and models they are.
        turns: of the network.
    """

    def __init__(self, visits: Visits, turns: Turns) -> None:
        self.visits, self.turns = visits, turns

    def routes(self) -> list[Route]:
        """Paths and what answers them."""
        return [
            Route("/answer", self.answer, methods=["POST"]),
            Route("/answer/{key}/overlay", self.overlay),
            Route("/answer/{key}/rows", self.rows),
            Route("/answer/{key}/masks", self.masks),
        ]

    async def answer(self, request: Request) -> Response:
        """Ask a model."""
        visit, asked = visit_of(self.visits, request), await body_of(request)
        path, prompts = visit.file(str(asked.get("file"))), prompts_of(asked.get("prompts"))
        segmenter = self.visits.segmenter(visit, str(asked.get("model")))
        channel = channel_of(asked.get("channel"))
        async with self.turns.take():
            found = await run_in_threadpool(plainly, path, lambda file: ask(segmenter, file, prompts, channel))
        key, slices = self.visits.add_answer(visit, found), len(found.images)
        return JSONResponse({"answer": key, "slices": slices, "first": found.first, "channel": found.channel})

    async def overlay(self, request: Request) -> Response:
        """A slice with its masks."""
        found, threshold, number = self._place(request)
        opacity = number_of(request, "opacity", 0.3)
        if not 0 <= opacity <= 1:
            raise NotThereError("opacity must be from 0 to 1")
        return Response(await run_in_threadpool(_png, found, threshold, number, opacity), media_type="image/png")

    async def rows(self, request: Request) -> Response:
        """The table of a slice."""
        found, threshold, number = self._place(request)
        return JSONResponse(await run_in_threadpool(found.rows, threshold, number))

    async def masks(self, request: Request) -> Response:
        """All masks in a ZIP."""
        found, threshold, _ = self._place(request)
        content = await run_in_threadpool(_zipped, found, threshold)
        headers = {"Content-Disposition": 'attachment; filename="masks.zip"'}
        return Response(content, media_type="application/zip", headers=headers)

    def _place(self, request: Request) -> tuple[Answer, float, int]:
        found = visit_of(self.visits, request).answer(request.path_params["key"])
        threshold, number = number_of(request, "threshold", 0.5), number_of(request, "slice", 0)
        if not (0 <= threshold <= 1 and 0 <= number < len(found.images)):
            raise NotThereError("no such threshold or slice")
        return found, threshold, int(number)


def _png(found: Answer, threshold: float, number: int, opacity: float) -> bytes:
    content = io.BytesIO()
    save_png(found.overlay(threshold, number, opacity), content)
    return content.getvalue()


def _zipped(found: Answer, threshold: float) -> bytes:
    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(content, "w") as packed:
        try:
            files = found.save(Path(folder), threshold)
        except MissingFileError as error:  # the geometry of a volume is read from it
            raise NotThereError("the file is gone from the server; drop it again") from error
        for path in files:
            packed.write(path, path.name)
    return content.getvalue()
