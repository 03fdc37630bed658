# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading a ``model.pt``: the one reader of all that use such a file. Nothing in a file is run."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from monai_vlsm.adapters.content import SETTINGS_KEY, ModelMismatchError, checked_content, no_model
from monai_vlsm.errors import UserError

__all__ = ["ModelNotFoundError", "read_model", "read_settings", "trained_settings"]


class ModelNotFoundError(UserError, FileNotFoundError):
    """There is no ``model.pt`` where one is expected."""


def read_model(path: str | Path) -> dict[str, Any]:
    """Read and verify a ``model.pt``. Nothing in it is run: a file with other Python objects is refused.

    Each tensor and the settings must fit their checksums; a file of format 1, from before there were any, is read
    without them.

    Args:
        path: a file that training wrote.

    Returns:
        Names of the network's state to tensors on the CPU, and `SETTINGS_KEY` to the settings, without checksums.

    Raises:
        ModelNotFoundError: when there is no such file, or it is a folder.
        ModelMismatchError: when the file cannot be read, is damaged, or is refused by
            `monai_vlsm.adapters.checked_content`.
    """
    if not Path(path).is_file():
        state = "it is a folder" if Path(path).is_dir() else "there is no such file"
        raise ModelNotFoundError(f"no model file at {path}: {state}. Give the path of a model.pt that training wrote")
    try:
        return checked_content(_load(path), sealed=True)
    except ModelMismatchError as error:
        raise ModelMismatchError(f"{path} is {error}") from error


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


def trained_settings(path: str | Path | None) -> dict[str, Any]:
    """The settings of a model that training starts from, see `read_settings`; none without one.

    Args:
        path: a ``model.pt``, or None.

    Raises:
        ModelNotFoundError: when there is no such file.
        ModelMismatchError: when the file is not one that `TrainedState` wrote.
    """
    return read_model(path)[SETTINGS_KEY] if path else {}


def _load(path: str | Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise no_model(
            "it is no file of torch.save, or holds Python objects that could run code; it was not opened"
        ) from error
    except OSError as error:
        raise no_model(f"it is damaged or cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch raises many kinds; each means that this is not one of our files
        reason = str(error).partition("\n")[0]
        raise no_model(f"it is damaged or of another kind: {type(error).__name__}: {reason}") from error
