# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What stands before the page: a password, a limit of each request, and a browser that asks nobody else."""

from __future__ import annotations

import base64
import hmac
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MOST_SENT", "Guard"]

MOST_SENT = 100 * 2**20
"""Bytes of a request."""
_DIGITS = 15  # Python makes no number of thousands of them
_HEADERS = [
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """Middleware that refuses requests before anything of them is kept.

    Args:
        app: what is guarded.
        password: that the browser has to send with the name demo; None lets in all who reach this address.
        most: bytes of a request.
    """

    def __init__(self, app: ASGIApp, password: str | None = None, most: int = MOST_SENT) -> None:
        self.app, self.most = app, most
        self._expected = None if password is None else base64.b64encode(f"demo:{password}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it in a line."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        answer = self._refusal(headers)
        if answer is not None:
            await answer(scope, receive, send)
            return
        await self.app(scope, self._counted(receive), _with_headers(send))

    def _refusal(self, headers: dict[bytes, bytes]) -> PlainTextResponse | None:
        if self._expected is not None:
            given = headers.get(b"authorization", b"").rpartition(b" ")[2]
            if not hmac.compare_digest(given, self._expected):
                ask = {"WWW-Authenticate": 'Basic realm="monai_vlsm", charset="UTF-8"'}
                return PlainTextResponse("a name (demo) and a password are needed", 401, ask)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > _DIGITS or int(length) > self.most:
            return PlainTextResponse(self._too_large(), 413, {"Connection": "close"})
        return None

    def _too_large(self) -> str:
        return f"larger than {self.most // 2**20} MB, the most that this page takes"

    def _counted(self, receive: Receive) -> Receive:
        """Requests that do not say how long they are end when they are too long."""
        seen = 0

        async def receive_some() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most:
                raise HTTPException(413, self._too_large())
            return message

        return receive_some


def _with_headers(send: Send) -> Send:
    async def send_more(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_HEADERS]
        await send(message)

    return send_more
