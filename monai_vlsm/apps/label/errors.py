# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Errors of a request as answers that its sender can read; needs monailabel's fastapi."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException

from monai_vlsm.errors import UserError

__all__ = ["answered", "refuse"]


def refuse(status: int, detail: str) -> HTTPException:
    """An answer with an HTTP status, to be raised."""
    return HTTPException(status_code=status, detail=detail)


@contextmanager
def answered() -> Iterator[None]:
    """Turn a `UserError` into "400 bad request" with its message; MONAI wraps it in other errors. Others pass."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UserError):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise refuse(400, str(cause)) from error
