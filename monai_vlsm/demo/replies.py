# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One plain line for whatever goes wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from monai_vlsm.data import DatasetProblems
from monai_vlsm.demo.visit import NotThereError
from monai_vlsm.errors import UserError, causes, first_cause

__all__ = ["error_replies", "plainly"]

T = TypeVar("T")

_FOLDERS = re.compile(r"(?<![\w/:])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\"]+[/\\])+")  # of an absolute path
_TOLD = (UserError, ValueError, OSError)  # in their own words
_MEMORY = (MemoryError, torch.OutOfMemoryError)


def error_replies() -> dict[Any, Any]:
    """Kinds of errors, and what answers them."""
    short = dict.fromkeys(_MEMORY, _say_memory)
    return {UserError: _say, HTTPException: _say_http, ClientDisconnect: _say, **short, Exception: _say_unknown}


def plainly(path: Path, work: Callable[[Path], T]) -> T:
    """What work on a file returns.

    Raises:
        NotThereError: what was wrong, without the folders of the server.
    """
    try:
        return work(path)
    except Exception as error:
        cause = _told(error)
        if not isinstance(cause, _TOLD):
            raise cause from None  # from ``error``, which has it as a cause, it would be its own
        one = cause.problems[0] if isinstance(cause, DatasetProblems) and cause.problems else cause
        raise NotThereError(_FOLDERS.sub("", str(one).replace(f"{path.parent}{os.sep}", ""))) from error


def _told(error: BaseException) -> BaseException:
    """The cause that a visitor is told: the first one, else what was raised from it in words for a reader."""
    deepest = first_cause(error)
    return next((one for one in (deepest, *causes(error)) if isinstance(one, (*_TOLD, *_MEMORY))), deepest)


def _say(request: Request, error: Exception) -> Response:
    return PlainTextResponse(" ".join(str(error).split()), 400)


def _say_http(request: Request, error: Any) -> Response:
    return PlainTextResponse(error.detail, error.status_code, error.headers)


def _say_memory(request: Request, error: Exception) -> Response:
    return PlainTextResponse("this needs more memory than the machine has; take a smaller file or fewer prompts", 400)


def _say_unknown(request: Request, error: Exception) -> Response:
    return PlainTextResponse("this failed; the window in which the server runs says why", 500)
