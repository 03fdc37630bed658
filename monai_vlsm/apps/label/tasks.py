# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Requests for work in a process of its own are checked before it starts; needs monailabel."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from monailabel.utils.async_tasks.task import AsyncTask

__all__ = ["check_tasks_with"]

_run = AsyncTask.run


def check_tasks_with(check: Callable[[str, Mapping[str, Any]], None]) -> None:
    """Let all tasks of this server pass a check of their request, after what the client sent is merged into it.

    MONAI Label has no place for that: it starts a process with the request as its command line, and with a path from
    the request among those that Python imports from. A client would get "200" for anything.

    Args:
        check: gets train, batch_infer or scoring, and the request; raises an ``HTTPException``.
    """

    @functools.wraps(_run)
    def run(method: str, request: Any = None, params: Any = None, *args: Any, **kwargs: Any) -> Any:
        check(method, {**(request or {}), **(params or {})})
        return _run(method, request, params, *args, **kwargs)

    AsyncTask.run = staticmethod(run)
