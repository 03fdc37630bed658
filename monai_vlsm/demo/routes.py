# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the page asks for: files come, answers go."""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from monai_vlsm.demo.answers import Answer, ask
from monai_vlsm.demo.files import check_file
from monai_vlsm.demo.models import Models
from monai_vlsm.demo.visits import NotThereError, Visit, Visits
from monai_vlsm.errors import UserError
from monai_vlsm.samples import sample_dir

__all__ = ["Routes"]

_PAGE = Path(__file__).parent / "page"
_COOKIE = "monai_vlsm_demo"
_PROMPTS, _LETTERS, _WAITING = 8, 300, 40
_EXAMPLES = {
    "axial slice": "images/axial_+20.png",
    "coronal slice": "images/coronal_-28.png",
    "volume": "volume.nii.gz",
}


class Routes:
    """Answers of the page. The network runs for one request at a time, in the order in which they came.

    Args:
        models: that are offered.
    """

    def __init__(self, models: Models) -> None:
        self.models, self.visits = models, Visits(models)
        self._turn, self._waiting = asyncio.Lock(), 0

    def all(self) -> list[Any]:
        """Paths and what answers them."""
        return [
            Route("/", self.page),
            Route("/start", self.start),
            Route("/file", self.take_file, methods=["POST"]),
            Route("/example", self.example, methods=["POST"]),
            Route("/model", self.take_model, methods=["POST"]),
            Route("/answer", self.answer, methods=["POST"]),
            Route("/answer/{key}/picture", self.picture),
            Route("/answer/{key}/rows", self.rows),
            Route("/answer/{key}/masks", self.masks),
            Mount("/page", StaticFiles(directory=_PAGE)),
        ]

    def errors(self) -> Any:
        """One plain line for whatever goes wrong."""
        return {UserError: _say, HTTPException: _say_http, MemoryError: _say_memory}

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Files go when the server ends."""
        yield
        self.visits.close()

    async def page(self, request: Request) -> Response:
        """The page, with a cookie that says whose it is."""
        key, _ = self.visits.of(request.cookies.get(_COOKIE))
        answer = FileResponse(_PAGE / "index.html")
        answer.set_cookie(_COOKIE, key, httponly=True, samesite="strict")
        return answer

    async def start(self, request: Request) -> Response:
        """What there is to choose."""
        visit = self._visit(request)
        return JSONResponse({"models": [*self.models.names, *visit.models], "examples": list(_EXAMPLES)})

    async def take_file(self, request: Request) -> Response:
        """An image, the body of the request."""
        visit = self._visit(request)
        key, path = visit.place(request.query_params.get("name", ""))
        await _receive(request, path)
        await self._kept(path, check_file)
        visit.add_file(key, path)
        return JSONResponse({"file": key, "name": path.name})

    async def example(self, request: Request) -> Response:
        """An image of the sample."""
        name = (await _body(request)).get("name")
        if name not in _EXAMPLES:
            raise NotThereError("there is no such example")
        visit, source = self._visit(request), sample_dir() / _EXAMPLES[name]
        key, path = visit.place(source.name)
        shutil.copyfile(source, path)
        visit.add_file(key, path)
        return JSONResponse({"file": key, "name": path.name})

    async def take_model(self, request: Request) -> Response:
        """A ``model.pt``, for this visitor."""
        visit = self._visit(request)
        _, path = visit.place(request.query_params.get("name", ""))
        await _receive(request, path)
        async with self._turn:
            name = await self._kept(path, lambda file: self.visits.add_model(visit, file.stem, file))
        shutil.rmtree(path.parent, ignore_errors=True)
        return JSONResponse({"name": name, "models": [*self.models.names, *visit.models]})

    async def answer(self, request: Request) -> Response:
        """Ask a model."""
        visit, asked = self._visit(request), await _body(request)
        path, prompts = visit.file(str(asked.get("file"))), _prompts(asked.get("prompts"))
        name = str(asked.get("model"))
        segmenter = self.models.segmenter(visit.models.get(name, name) if name not in self.models.names else name)
        if self._waiting >= _WAITING:
            raise HTTPException(503, "too many requests wait; try again in a moment")
        self._waiting += 1
        try:
            async with self._turn:
                found = await run_in_threadpool(_plainly, path, lambda file: ask(segmenter, file, prompts))
        finally:
            self._waiting -= 1
        return JSONResponse({"answer": visit.add_answer(found), "slices": len(found.images), "first": found.first})

    async def picture(self, request: Request) -> Response:
        """A slice with its masks."""
        found, threshold, number = self._place(request)
        image = await run_in_threadpool(found.picture, threshold, number)
        content = io.BytesIO()
        image.save(content, format="PNG")
        return Response(content.getvalue(), media_type="image/png")

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

    def _visit(self, request: Request) -> Visit:
        key = request.cookies.get(_COOKIE)
        found, visit = self.visits.of(key)
        if found != key:
            raise NotThereError("this visit was forgotten after a while without a click; reload the page")
        return visit

    def _place(self, request: Request) -> tuple[Answer, float, int]:
        found = self._visit(request).answer(request.path_params["key"])
        try:
            threshold, number = (
                float(request.query_params.get("threshold", 0.5)),
                int(request.query_params.get("slice", 0)),
            )
        except ValueError:
            threshold, number = -1.0, 0
        if not (0 <= threshold <= 1 and 0 <= number < len(found.images)):
            raise NotThereError("no such threshold or slice")
        return found, threshold, number

    async def _kept(self, path: Path, look: Callable[[Path], Any]) -> Any:
        """What a look at a file says; one that is refused is removed."""
        try:
            return await run_in_threadpool(_plainly, path, look)
        except Exception:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise


def _plainly(path: Path, work: Callable[[Path], Any]) -> Any:
    """Errors name the file as the visitor does, without the folder of the server."""
    try:
        return work(path)
    except (UserError, ValueError, OSError) as error:
        text = " ".join(str(error).replace(f"{path.parent}/", "").split())
        raise NotThereError(text) from error


async def _receive(request: Request, path: Path) -> None:
    """Write the body of a request to a file, piece by piece; what does not arrive whole is removed."""
    try:
        with path.open("wb") as file:
            async for piece in request.stream():
                file.write(piece)
    except BaseException:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise


async def _body(request: Request) -> dict[str, Any]:
    try:
        content = await request.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise NotThereError("the request is no JSON object")
    return content


def _prompts(lines: Any) -> list[str]:
    """The prompts of a text, one a line."""
    found = [line.strip() for line in str(lines or "").splitlines() if line.strip()]
    if not found:
        raise NotThereError("type at least one prompt, one a line")
    if len(found) > _PROMPTS or max(map(len, found)) > _LETTERS:
        raise NotThereError(f"at most {_PROMPTS} prompts of {_LETTERS} letters each, please")
    return list(dict.fromkeys(found))


def _zipped(found: Answer, threshold: float) -> bytes:
    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(content, "w") as packed:
        for path in found.save(Path(folder), threshold):
            packed.write(path, path.name)
    return content.getvalue()


def _say(request: Request, error: Exception) -> Response:
    return PlainTextResponse(" ".join(str(error).split()), 400)


def _say_http(request: Request, error: Any) -> Response:
    return PlainTextResponse(error.detail, error.status_code)


def _say_memory(request: Request, error: Exception) -> Response:
    return PlainTextResponse("this needs more memory than the machine has; take a smaller file or fewer prompts", 400)
