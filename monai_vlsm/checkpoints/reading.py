# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The one reader of files of trained models. Nothing in a file is run."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from monai_vlsm.checkpoints.content import CHECKSUMS, PRECISION, SETTINGS_KEY, ModelMismatchError, no_model, verify
from monai_vlsm.errors import UserError

__all__ = ["ModelNotFoundError", "naming", "read", "read_settings", "run_settings", "training_dtype"]


class ModelNotFoundError(UserError, FileNotFoundError):
    """There is no ``model.pt`` where one is expected."""


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Puts the name of a file in front of a `ModelMismatchError`, whose message says what the file is."""
    try:
        yield
    except ModelMismatchError as error:
        raise ModelMismatchError(f"{path} is {error}") from error


def read(path: str | Path) -> dict[str, Any]:
    """Read and verify a ``model.pt``. Nothing in it is run: a file with other Python objects is refused.

    Each tensor and the settings must fit their checksums; a file of format 1, from before there were any, is read
    without them.

    Args:
        path: a file that training wrote.

    Returns:
        Names of the network's state to tensors on the CPU, and `SETTINGS_KEY` to the settings (``network``,
        ``backbone``, ``base``, ``image_size``, ``default_prompt``, ``existence_threshold``, perhaps ``temperature``,
        and those of the network's own, such as ``adaptation``), without checksums.

    Raises:
        ModelNotFoundError: when there is no such file, or it is a folder.
        ModelMismatchError: when the file cannot be read, is damaged, or is refused by `monai_vlsm.checkpoints.verify`.
    """
    if not Path(path).is_file():
        state = "it is a folder" if Path(path).is_dir() else "there is no such file"
        raise ModelNotFoundError(f"no model file at {path}: {state}. Give the path of a model.pt that training wrote")
    with naming(path):
        return verify(_load(path), sealed=True)


def read_settings(path: str | Path | None, must_exist: bool = True) -> dict[str, Any]:
    """What a ``model.pt`` says about its network; for bundles, whose settings follow the model that they begin from.

    Args:
        path: a ``model.pt``; None, or a text of nothing, for no model, which has no settings.
        must_exist: False takes a file that is not there for no model.

    Raises:
        ModelNotFoundError: when there is no such file.
        ModelMismatchError: as from `read`.
    """
    if not path or not (must_exist or Path(path).is_file()):
        return {}
    settings: dict[str, Any] = read(path)[SETTINGS_KEY]
    return settings


def run_settings(state: str | Path | None, model: str | Path | None = None) -> dict[str, Any]:
    """What the file that a training goes on from says about its network, so that it need not be told again.

    Args:
        state: the ``last.pt`` of a run that is resumed, as `monai_vlsm.handlers.TrainingState` writes it, or None. One
            that is not there, or says nothing of a network, has no settings: the handler tells what is wrong with it.
        model: without ``state``, a ``model.pt`` to start from, or None.

    Raises:
        ModelNotFoundError: when there is no such ``model``.
        ModelMismatchError: when a file cannot be read.
    """
    if not state:
        return read_settings(model)
    return _settings_in(state) if Path(state).is_file() else {}


def training_dtype(saved: Mapping[str, Any]) -> str:
    """Name of the 16 bits in which a training on a GPU calculates unless somebody says others.

    Args:
        saved: what the model that it goes on from says of its network; empty for a new training, which takes float16.
    """
    return str(saved.get("amp_dtype", PRECISION["amp_dtype"] if saved else "float16"))


def _settings_in(path: str | Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises many kinds; each means that nobody can go on from this file
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelMismatchError(
            f"{path} is damaged or not a training state ({reason}); start afresh without --resume True"
        ) from error
    found: Any = content
    for key in ("objects", "model", SETTINGS_KEY):
        found = found.get(key) if isinstance(found, Mapping) else None
    return {key: value for key, value in found.items() if key != CHECKSUMS} if isinstance(found, Mapping) else {}


def _load(path: str | Path) -> Any:
    if _unpacks_to_more(path):
        raise no_model("it would unpack to more than it is, as no file of torch.save does; it was not opened")
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


def _unpacks_to_more(path: str | Path) -> bool:
    """Whether parts of a file are compressed, or lie over each other: torch.load would take memory for all of them."""
    try:
        with zipfile.ZipFile(path) as file:
            return sum(one.file_size for one in file.infolist()) > Path(path).stat().st_size
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False  # torch.load says what is wrong with it
