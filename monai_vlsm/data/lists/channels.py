# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which of several channels of an image is taken: a file of a list, or a volume of a 4D file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_vlsm.errors import UserError

__all__ = ["ChannelError", "channel_names", "chosen_channel"]


class ChannelError(UserError, ValueError):
    """Several channels and none chosen, or one that is not there."""


def channel_names(table: Any) -> list[str]:
    """Names of the channels in order, of ``{"0": "T1"}``, ``["T1"]`` or ``"CT"``; none where nothing is said."""
    if isinstance(table, Mapping):
        keys = sorted(table, key=lambda key: (not str(key).isdecimal(), int(key) if str(key).isdecimal() else 0))
        return [str(table[key]) for key in keys]
    return [str(one) for one in table] if isinstance(table, list | tuple) else [str(table)] if table else []


def chosen_channel(names: Sequence[str], count: int, wanted: str | int | None, where: str) -> int:
    """The number of the channel to take, from 0.

    Args:
        names: of the channels as far as they are known.
        count: how many there are.
        wanted: a number or a name; None where there is one only.
        where: the file, for messages.

    Raises:
        ChannelError: several and none is chosen, or no such channel.
    """
    shown = ", ".join(f"{index} ({name})" if name else str(index) for index, name in enumerate(_named(names, count)))
    if wanted is None:
        if count > 1:
            raise ChannelError(f"{where}: {count} channels, {shown}: choose one, such as --channel 0")
        return 0
    by_name = [index for index, name in enumerate(names) if name.lower() == str(wanted).strip().lower()]
    number = int(wanted) if str(wanted).strip().isdecimal() else None
    found = by_name[0] if by_name else number
    if found is None or found >= count:
        raise ChannelError(f"{where}: no channel {wanted}, there {'is' if count == 1 else 'are'} {shown}")
    return found


def _named(names: Sequence[str], count: int) -> list[str]:
    return [*names[:count], *[""] * (count - len(names))]
