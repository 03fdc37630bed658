# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a ``model.pt`` holds: settings that are known, tensors that are numbers, and a checksum of each."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from monai_vlsm.adapters import AdaptationNotImportedError, build_adaptation
from monai_vlsm.adapters.parameters import tensor_bytes
from monai_vlsm.data.volumes import PLANES, WindowError, plain_window
from monai_vlsm.errors import UserError
from monai_vlsm.host import all_finite

__all__ = [
    "CHECKSUMS",
    "FORMAT",
    "PRECISION",
    "RECORDED",
    "REMEMBERED",
    "SETTINGS_KEY",
    "ModelMismatchError",
    "seal",
    "tensors_of",
    "verify",
    "verify_settings",
]

SETTINGS_KEY = "monai_vlsm"
"""Key of the settings in a ``model.pt``; every other key is an entry of the network's state."""

CHECKSUMS = "checksums"
"""Key among the settings: name of each entry to its CRC-32, and `SETTINGS_KEY` to that of the other settings."""

FORMAT = 3
"""What is written now. Files of format 1 have no checksums, and some names of formats 1 and 2 were other ones."""

RECORDED = ("window", "context", "plane", "channel")
"""How slices of volumes were shown to a network, and which volume of 4D files was; None where nobody said, and then
in no file."""

PRECISION: dict[str, Any] = {"amp": True, "amp_dtype": "bfloat16"}
"""In which precision a network is used on a GPU, as settings of a run; these count where a file says nothing. A
training writes what is so of it, and float16 only where a GPU trained in it: what others reached may overflow there."""

REMEMBERED = (*RECORDED, *PRECISION)
"""What a network records of the run that trained it."""

_NEEDED = {"network": str, "backbone": str, "base": str, "image_size": int, "default_prompt": str}
_OWN: dict[str, dict[str, type]] = {  # what a network records of its own
    "CLIPSegNet": {"adaptation": Mapping, "decoder": str},
    "CRISNet": {"mask_padding": bool},
    "SANNet": {"fusion": str},
    "TargetUNet": {"targets": list},
}
_FREE = {"format", CHECKSUMS, "existence_threshold", "temperature", *REMEMBERED, *_NEEDED}
_NEW_NAMES = {"towers": "encoders", "seams": "feature_adapters"}  # of formats 1 and 2
_LARGEST = 4096  # as the setting of the bundles
_AGAIN = "Copy the file again, or train again"
_NEWER = "It was made by another version of monai_vlsm: update, or give another file"


class ModelMismatchError(UserError, ValueError):
    """A ``model.pt`` does not belong to the network that it is loaded into, is damaged, or is none."""


def seal(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state as it goes into a file: with `FORMAT` and `CHECKSUMS` among its settings.

    Args:
        state: tensors, and `SETTINGS_KEY` to the settings; checksums that are there already are made anew.
    """
    settings = {key: value for key, value in state[SETTINGS_KEY].items() if key != CHECKSUMS} | {"format": FORMAT}
    return {**state, SETTINGS_KEY: {**settings, CHECKSUMS: _checksums({**state, SETTINGS_KEY: settings})}}


def tensors_of(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The entries of a state beside its settings."""
    return {name: value for name, value in state.items() if name != SETTINGS_KEY}


def verify(content: Any, sealed: bool = False) -> dict[str, Any]:
    """Check what a ``model.pt`` holds, wherever it was read.

    Args:
        content: what ``torch.load`` returned.
        sealed: False lets checksums be missing, as in a state that was changed on purpose; those that are there count.

    Returns:
        The content without the checksums.

    Raises:
        ModelMismatchError: no model file, one of a later format, with an unknown setting, with a value that does not
            fit its checksum or is no finite number, with an existence threshold outside 0 to 1, or a temperature that
            is not above 0.
    """
    told = _settings(content)
    verify_settings(_renewed(told))
    tensors = tensors_of(content)
    strange = [name for name, value in tensors.items() if not _is_plain(name, value)]
    if strange:
        raise no_model(f"its entry {strange[0]!r} is not a plain tensor")
    state = {**tensors, SETTINGS_KEY: {key: value for key, value in told.items() if key != CHECKSUMS}}
    try:
        sums = _checksums(state)
    except (TypeError, ValueError) as error:
        raise no_model(f"its settings are more than plain values: {error}") from error
    if CHECKSUMS in told or (sealed and told["format"] > 1):
        _compare_sums(sums, told.get(CHECKSUMS))
    _check_finite(tensors)
    return {_renewed_name(name, told["format"]): value for name, value in tensors.items()} | {
        SETTINGS_KEY: _renewed(state[SETTINGS_KEY])
    }


def _renewed(settings: Any) -> dict[str, Any]:
    """The settings of a file of format 1 or 2 in the words of now."""
    adaptation = settings.get("adaptation")
    if settings.get("format") not in (1, 2) or not isinstance(adaptation, Mapping):
        return dict(settings)
    return {**settings, "adaptation": {_NEW_NAMES.get(key, key): value for key, value in adaptation.items()}}


def _renewed_name(name: str, number: int) -> str:
    first, dot, rest = name.partition(".")
    return f"{_NEW_NAMES.get(first, first)}{dot}{rest}" if number < FORMAT else name


def verify_settings(settings: Mapping[str, Any]) -> None:
    """Check the settings of a ``model.pt``; nothing in them is left out silently.

    A network that is not of this package may record what it likes: loading compares it.

    Raises:
        ModelMismatchError: another format, a value of the wrong kind, or a setting that neither the network nor its
            adaptation has. An adaptation whose module is not imported is told when the network is built.
    """
    number, network = settings.get("format"), settings.get("network")
    if type(number) is not int or not 1 <= number <= FORMAT:
        raise ModelMismatchError(
            f"a model file of format {number!r}, and this version of monai_vlsm reads 1 to {FORMAT}. Update "
            "monai_vlsm, or give another file"
        )
    own = _OWN.get(str(network))
    for key, kind in (_NEEDED | (own or {})).items():
        _check_type(key, settings.get(key), kind, missing=key not in settings and key not in _NEEDED)
    if not 1 <= settings["image_size"] <= _LARGEST:
        raise _damaged(f"its image_size must be from 1 to {_LARGEST}, got {settings['image_size']}")
    threshold = settings.get("existence_threshold", 0.0)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise _damaged(f"its existence_threshold must be from 0 to 1, got {threshold!r}")
    temperature = settings.get("temperature", 1.0)
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise _damaged(f"its temperature must be above 0, got {temperature!r}")
    _check_recorded(settings)
    unknown = [] if own is None else sorted(map(str, settings.keys() - _FREE - own.keys()))
    if unknown:
        raise ModelMismatchError(f"a model file with the unknown setting {', '.join(unknown)} of {network}. {_NEWER}")
    if own is not None and "adaptation" in settings:
        _check_adaptation(settings["adaptation"])


def _check_recorded(settings: Mapping[str, Any]) -> None:
    """Window, context, plane, channel and precision of a file are such as this version knows."""
    try:
        plain_window(settings.get("window"))
    except WindowError as error:
        raise ModelMismatchError(f"a model file whose window is unknown: {error}. {_NEWER}") from error
    choices = {"context": (0, 1, 2), "plane": (*PLANES, "all"), "amp_dtype": ("float16", "bfloat16")}
    for name, known in choices.items():
        value = settings.get(name)
        if value is not None and (isinstance(value, bool) or value not in known):
            told = ", ".join(map(str, known))
            raise ModelMismatchError(f"a model file whose {name} must be one of {told}, got {value!r}. {_NEWER}")
    if not isinstance(settings.get("amp", True), bool):
        raise ModelMismatchError(f"a model file whose amp must be true or false, got {settings['amp']!r}. {_NEWER}")
    channel = settings.get("channel")
    if channel is not None and (type(channel) is not int or channel < 0):
        raise ModelMismatchError(f"a model file whose channel must be a number from 0, got {channel!r}. {_NEWER}")


def _settings(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise no_model(f"it holds a {type(content).__name__}")
    if SETTINGS_KEY not in content:
        held = ", ".join(map(repr, list(content)[:3])) or "nothing"
        if content and all(isinstance(value, Tensor) for value in content.values()):
            raise ModelMismatchError(
                f"not a model file of monai_vlsm but a plain state_dict: it holds {held}, and no entry "
                f"{SETTINGS_KEY!r} that says what they belong to. Load it into its network, with "
                "network.load_state_dict(...), and save TrainedState(network).state_dict(): docs/own_trainer.md"
            )
        raise no_model(f"it holds {held}, and no such entry")
    settings = content[SETTINGS_KEY]
    if not isinstance(settings, Mapping):
        raise no_model(f"its entry {SETTINGS_KEY!r} is a {type(settings).__name__}")
    return settings


def _check_type(key: str, value: Any, kind: type, missing: bool) -> None:
    if not missing and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise no_model(f"{key!r} in its entry {SETTINGS_KEY!r} must be of type {kind.__name__}, got {value!r}")


def _check_adaptation(settings: Mapping[str, Any]) -> None:
    try:
        build_adaptation(settings)
    except AdaptationNotImportedError:  # told when the network is built: a file can be described without it
        return
    except (ValueError, RecursionError) as error:
        raise ModelMismatchError(f"a model file with settings that make no adaptation: {error}. {_NEWER}") from error


def _compare_sums(found: Mapping[str, str], told: Any) -> None:
    if not isinstance(told, Mapping):
        raise _damaged("it has no checksums")
    wrong = sorted(str(name) for name in found.keys() | told.keys() if found.get(name) != told.get(name))
    if wrong:
        which = "its settings" if wrong[0] == SETTINGS_KEY else wrong[0]
        raise _damaged(f"{len(wrong)} of its checksums differ, the first is that of {which}")


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not all_finite(tensor):
            raise _damaged(f"{name} holds values that are no numbers, so its training went wrong")


def _checksums(state: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{_checksum(name, value):08x}" for name, value in state.items()}


def _checksum(name: str, value: Any) -> int:
    if name == SETTINGS_KEY:
        return zlib.crc32(json.dumps(dict(value), sort_keys=True, allow_nan=False).encode())
    return zlib.crc32(tensor_bytes(value), zlib.crc32(f"{name} {value.dtype} {tuple(value.shape)}".encode()))


def _is_plain(name: Any, value: Any) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"  # a tensor that was saved from the meta device has no values
        and not value.is_quantized
        and not value.is_complex()
        and not (value.is_floating_point() and value.element_size() == 1)  # float8, with which little can be calculated
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()  # else one number stands for many
    )


def no_model(fault: str) -> ModelMismatchError:
    """The error for a file or content that is no model file at all."""
    return ModelMismatchError(
        f"not a model file of monai_vlsm: expected tensors and the entry {SETTINGS_KEY!r}; {fault}. "
        "Train again, copy the file again, or give another one"
    )


def _damaged(fault: str) -> ModelMismatchError:
    return ModelMismatchError(f"a damaged model file: {fault}. {_AGAIN}")
