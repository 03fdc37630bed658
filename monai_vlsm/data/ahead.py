# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What will be asked for next, made by threads meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["made_ahead"]

Place = TypeVar("Place")
Made = TypeVar("Made")

AHEAD = 4


def made_ahead(
    make: Callable[[Place], Made], places: Iterable[Place], threads: int, ahead: int = AHEAD
) -> Generator[Made, None, None]:
    """Yield ``make(place)`` in order; threads are a few places further.

    Decoding and resizing leave Python to other threads meanwhile. An error of ``make`` is raised where its result would
    come.

    Args:
        make: may run in several threads at once.
        places: what is to be made.
        threads: how many; with 0 each is made when it is asked for.
        ahead: how many places for each thread are made, or being made, beside the one that is in use.
    """
    if threads < 1:
        yield from map(make, places)
        return
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for place in places:
                waiting.append(pool.submit(make, place))
                if len(waiting) > ahead * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
