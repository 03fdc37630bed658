# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading a ``model.pt``: tensors and plain values only, and a clear word on every file that is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from monai_vlsm.errors import UserError

__all__ = ["SETTINGS_KEY", "ModelMismatchError", "ModelNotFoundError", "read_model", "read_settings"]

SETTINGS_KEY = "monai_vlsm"
"""Key of the settings in a ``model.pt``; every other key is an entry of the network's state."""

_HOW_TO_SAVE = "TrainedState(network).state_dict(): docs/own_trainer.md"
_SETTINGS = {"network": str, "backbone": str, "base": str, "image_size": int, "default_prompt": str}
_OPTIONAL: dict[str, Any] = {"adaptation": Mapping, "existence_threshold": (int, float)}


class ModelMismatchError(UserError, ValueError):
    """A ``model.pt`` does not belong to the network that it is loaded into, or is none."""


class ModelNotFoundError(UserError, FileNotFoundError):
    """There is no ``model.pt`` where one is expected."""


def read_model(path: str | Path) -> dict[str, Any]:
    """Read a ``model.pt``. Nothing in it is run: a file with other Python objects is refused.

    Args:
        path: a file that training wrote.

    Returns:
        Names of the network's state to tensors on the CPU, and `SETTINGS_KEY` to the settings.

    Raises:
        ModelNotFoundError: when there is no such file, or it is a folder.
        ModelMismatchError: when the file cannot be read or is not one that `TrainedState` wrote.
    """
    if not Path(path).is_file():
        state = "it is a folder" if Path(path).is_dir() else "there is no such file"
        raise ModelNotFoundError(f"no model file at {path}: {state}. Give the path of a model.pt that training wrote")
    content = _load(path)
    fault = _fault(content)
    if fault:
        raise _no_model(path, fault)
    state_dict: dict[str, Any] = content
    return state_dict


def read_settings(path: str | Path) -> dict[str, Any] | None:
    """Read what a ``model.pt`` says about its network, without building it.

    Args:
        path: a ``model.pt``.

    Returns:
        The settings (``network``, ``backbone``, ``base``, ``image_size``, ``default_prompt``, ``existence_threshold``
        and those of the network's own, such as ``adaptation``), or None when there is no such file.

    Raises:
        ModelMismatchError: when the file is not one that `TrainedState` wrote.
    """
    if not Path(path).is_file():
        return None
    settings: dict[str, Any] = read_model(path)[SETTINGS_KEY]
    return settings


def _load(path: str | Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise _no_model(
            path, "it is no file of torch.save, or holds Python objects that could run code; it was not opened"
        ) from error
    except OSError as error:
        raise _no_model(path, f"it is damaged or cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch raises many kinds; each means that this is not one of our files
        reason = str(error).partition("\n")[0]
        raise _no_model(path, f"it is damaged or of another kind: {type(error).__name__}: {reason}") from error


def _fault(content: Any) -> str:
    """What is wrong with the content of a file, or an empty string."""
    if not isinstance(content, Mapping):
        return f"it holds a {type(content).__name__}"
    if SETTINGS_KEY not in content:
        held = ", ".join(map(repr, list(content)[:3])) or "nothing"
        return f"it holds {held}, and no such entry (a trainer of your own saves {_HOW_TO_SAVE})"
    settings = content[SETTINGS_KEY]
    if not isinstance(settings, Mapping):
        return f"its entry {SETTINGS_KEY!r} is a {type(settings).__name__}"
    for key, kind in _SETTINGS.items():
        if not isinstance(settings.get(key), kind):
            return f"{key!r} in its entry {SETTINGS_KEY!r} must be of type {kind.__name__}, got {settings.get(key)!r}"
    for key in _OPTIONAL.keys() & settings.keys():
        if settings[key] is not None and not isinstance(settings[key], _OPTIONAL[key]):
            return f"{key!r} in its entry {SETTINGS_KEY!r} is {settings[key]!r}"
    strange = [name for name, value in content.items() if name != SETTINGS_KEY and not _is_plain(value)]
    return f"{strange[0]!r} is not a plain tensor" if strange else ""


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"  # a tensor that was saved from the meta device has no values
        and not value.is_quantized
    )


def _no_model(path: str | Path, fault: str) -> ModelMismatchError:
    return ModelMismatchError(
        f"{path} is not a model file of monai_vlsm: expected tensors and the entry {SETTINGS_KEY!r}; {fault}. "
        "Train again, copy the file again, or give another one"
    )
