# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a chain of transforms can be cut, so that what comes before need not run twice."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from monai.transforms import Compose, RandomizableTrait, Transform

from monai_vlsm.errors import UserError

__all__ = ["CacheTransformError", "fixed_part"]


class CacheTransformError(UserError, ValueError):
    """Features were to be kept, but the transforms do not give the same image each time."""


def fixed_part(transform: Any, image_key: Hashable = "image") -> int:
    """How many transforms of a chain, from its start, always give the same; the rest leaves the image alone.

    MONAI's ``CacheDataset`` cuts at the same place, at the first random transform.

    Args:
        transform: a MONAI ``Compose``.
        image_key: key of the image.

    Raises:
        CacheTransformError: when the image depends on a random transform, or on what follows one.
    """
    if not isinstance(transform, Compose):
        raise CacheTransformError(f"cache_features needs a monai.transforms.Compose, got {type(transform).__name__}")
    first = transform.get_index_of_first(lambda t: isinstance(t, RandomizableTrait) or not isinstance(t, Transform))
    end = len(transform.transforms) if first is None else first
    for index, one in enumerate(transform.transforms[end:], end):
        if image_key in getattr(one, "keys", (image_key,)):
            cause = "is random" if index == end else "comes after a random one"
            raise CacheTransformError(
                f"cache_features needs the same image in each epoch, but {type(one).__name__} (transform {index + 1}) "
                f"changes {image_key!r} and {cause}. Remove it or move it before all random transforms, or set "
                "cache_features to False"
            )
    return end
