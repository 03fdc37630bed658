# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What comes to the page: images, examples and models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monai_vlsm.demo.files import check_file
from monai_vlsm.demo.replies import plainly
from monai_vlsm.demo.requests import body_of, receive, visit_of
from monai_vlsm.demo.turns import Turns
from monai_vlsm.demo.visit import NotThereError, Visit
from monai_vlsm.demo.visits import Visits
from monai_vlsm.samples import sample_dir

__all__ = ["EXAMPLES", "Uploads"]

EXAMPLES = {
    "axial slice": "images/axial_+20.png",
    "coronal slice": "images/coronal_-28.png",
    "volume": "volume.nii.gz",
}
"""Names on the page, and files of the sample."""


class Uploads:
    """Takes what visitors send.

    Args:
        visits: whose it will be.
        turns: of the network.
    """

    def __init__(self, visits: Visits, turns: Turns) -> None:
        self.visits, self.turns, self.reading = visits, turns, Turns()

    def routes(self) -> list[Route]:
        """Paths and what answers them."""
        return [
            Route("/file", self.file, methods=["POST"]),
            Route("/example", self.example, methods=["POST"]),
            Route("/model", self.model, methods=["POST"]),
        ]

    async def file(self, request: Request) -> Response:
        """An image, the body of the request."""
        visit = visit_of(self.visits, request)
        with _placed(visit, request.query_params.get("name", "")) as path:
            await receive(request, path)
            return await self._taken(visit, path)

    async def example(self, request: Request) -> Response:
        """An image of the sample."""
        name = (await body_of(request)).get("name")
        if not isinstance(name, str) or name not in EXAMPLES:
            raise NotThereError("there is no such example")
        visit, source = visit_of(self.visits, request), sample_dir() / EXAMPLES[name]
        with _placed(visit, source.name) as path:
            shutil.copyfile(source, path)
            return await self._taken(visit, path)

    async def model(self, request: Request) -> Response:
        """A ``model.pt``, for this visitor."""
        visit = visit_of(self.visits, request)
        with _placed(visit, request.query_params.get("name", "")) as path:
            await receive(request, path)
            async with self.turns.take():
                load = partial(self.visits.add_model, visit, path.stem)
                name = await run_in_threadpool(plainly, path, load)
        shutil.rmtree(path.parent, ignore_errors=True)  # it is in memory
        return JSONResponse({"name": name, "models": self.visits.names(visit)})

    async def _taken(self, visit: Visit, path: Path) -> Response:
        async with self.reading.take():  # one file at a time is unpacked into memory
            channels = await run_in_threadpool(plainly, path, check_file)
        return JSONResponse({"file": visit.add_file(path), "name": path.name, "channels": channels})


@contextmanager
def _placed(visit: Visit, name: str) -> Iterator[Path]:
    """A path for a file; what does not arrive whole, is refused or gets no turn is removed."""
    path = visit.place(name)
    try:
        yield path
    except BaseException:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise
