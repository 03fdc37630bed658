# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How a run shows images and slices to its network: what the file of its model records."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monai_vlsm.data.volumes.address import Address
from monai_vlsm.data.volumes.windows import WindowError, parse_window, window_for

__all__ = ["slice_settings"]

logger = logging.getLogger(__name__)


def slice_settings(
    lists: Sequence[Sequence[Mapping[str, Any]]],
    window: Any = None,
    context: int = 0,
    plane: str | None = None,
    slices: int = 1,
    model: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """How a run shows its images and slices, as its network records it (`monai_vlsm.checkpoints.RECORDED`).

    Args:
        lists: of records, whose ``image`` names a slice (`Address`) or a file.
        window: what was asked for, see `window_for`.
        context: how far the neighbours are that come with a slice.
        plane: in which the slices lie, or ``"all"``.
        slices: how many the network takes at a time; with 1, neighbours are channels.
        model: what the file of a trained model says, which is compared: what differs is logged.

    Returns:
        ``window``; where records are slices of volumes ``context`` and ``plane``; and where they are of 4D files
        ``channel``, if it is the same of all.

    Raises:
        WindowError: no window, or three windows where neighbours are the channels.
    """
    if context and slices == 1 and len(parse_window(window)) > 1:
        raise WindowError(
            f"three windows make the three channels, and so do a slice and its neighbours (context), got {window}; "
            "give one window, or context 0"
        )
    records = [record for one in lists for record in one]
    addresses = [Address.of(one["image"]) for one in records]
    told = {"context": context, "plane": plane} if any(one.plane for one in addresses) else {}
    found = {"window": window_for(records, window), **told, **_channel(addresses)}
    if other := _differences(found, model or {}):
        logger.info("not as the model was trained: %s", ", ".join(other))
    return found


def _differences(found: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    """What of a run is another than that of the model, where the file of the model says it."""
    known = {name: model[name] for name in found if model.get(name) is not None}
    return [
        f"{name} {_word(found[name])}, its file says {_word(told)}"
        for name, told in known.items()
        if found[name] != told and (name, told) != ("plane", "all")  # one of all is not another
    ]


def _word(value: Any) -> str:
    return "none" if value is None else str(value).replace("'", "")


def _channel(addresses: Iterable[Address]) -> dict[str, int]:
    """The one channel of 4D files; a file of one volume has none, and nothing to choose."""
    found = {one.channel for one in addresses if one.channel is not None}
    return {"channel": found.pop()} if len(found) == 1 else {}
