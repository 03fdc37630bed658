# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What must be the same on all sites before anybody trains."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from monai_vlsm.checkpoints import PRECISION
from monai_vlsm.checkpoints.content import CHECKSUMS
from monai_vlsm.errors import UserError

__all__ = ["FederatedError", "compare_terms", "packed", "terms_of", "unpacked"]

_WORDS = {"base": "the base", "format": "the format number of model.pt", "image_size": "the image size"}
_FREE = {"backbone", "default_prompt", "existence_threshold", "temperature", "decoder", *PRECISION}


class FederatedError(UserError, RuntimeError):
    """A site cannot take part, or a federation cannot begin or end.

    Why a site cannot take part is told to the server, so such a message names no file of the site.
    """


def terms_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a network says of itself, as it arrives at a site.

    Args:
        settings: as from `monai_vlsm.checkpoints.TrainedState.settings` or a ``model.pt``.
    """
    told = {name: value for name, value in settings.items() if name != CHECKSUMS}
    plain: dict[str, Any] = json.loads(json.dumps(told))  # tuples become lists, as on the other end
    return plain


def compare_terms(expected: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse a site whose network is another one.

    Where the base lies on a site, its precision, and what is decided after training, may differ.

    Raises:
        FederatedError: names the first that differs, and both values.
    """
    for name in sorted(expected.keys() | own.keys(), key=lambda one: (one not in _WORDS, one)):
        if name not in _FREE and expected.get(name) != own.get(name):
            raise FederatedError(
                f"{_WORDS.get(name, name)} differs: the federation has {_short(expected.get(name))}, this site has "
                f"{_short(own.get(name))}. Nothing was trained or sent; use the bundle, the settings and the version "
                "of monai_vlsm that the federation has"
            )


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)


def packed(terms: Mapping[str, Any]) -> str:
    """Terms as one word of a command; NVFlare would take braces for its variables."""
    return base64.urlsafe_b64encode(json.dumps(dict(terms)).encode()).decode()


def unpacked(word: str) -> dict[str, Any]:
    """What `packed` made a word of."""
    terms: dict[str, Any] = json.loads(base64.urlsafe_b64decode(word))
    return terms
