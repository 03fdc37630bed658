# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong when a backbone is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_vlsm.errors import UserError

__all__ = ["BackboneConfigError", "BackboneNotFoundError", "describing"]


class BackboneConfigError(UserError, ValueError):
    """The files of a backbone describe a model of another kind, or none that can be built."""


class BackboneNotFoundError(UserError, FileNotFoundError):
    """A backbone is not known, or known and not to be had."""


@contextmanager
def describing(source: str | Path) -> Iterator[None]:
    """Turn whatever goes wrong with a description that somebody else wrote into a `BackboneConfigError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # transformers and json raise many kinds; each means the same here
        raise BackboneConfigError(
            f"{source} describes no model that can be built ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}). Get the model again, or give another one"
        ) from error
