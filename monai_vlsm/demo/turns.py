# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The network works for one visitor at a time, and one file is read at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException

__all__ = ["Turns"]

_WAITING = 40


class Turns:
    """Requests that wait for one thing, in the order in which they came."""

    def __init__(self) -> None:
        self._lock, self._waiting = asyncio.Lock(), 0

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for one's turn and have it.

        Raises:
            HTTPException: too many wait already.
        """
        if self._waiting >= _WAITING:
            raise HTTPException(503, "too many requests wait; try again in a moment")
        self._waiting += 1
        try:
            async with self._lock:
                yield
        finally:
            self._waiting -= 1
