# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the files of trained models say of themselves; no network is built."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.checkpoints.content import SETTINGS_KEY, ModelMismatchError, tensors_of
from monai_vlsm.checkpoints.reading import ModelNotFoundError, read

__all__ = ["ModelFacts", "describe", "find_models"]


@dataclass(frozen=True)
class ModelFacts:
    """What a ``model.pt`` says of itself.

    Args:
        file: its path.
        settings: of its network, see `monai_vlsm.checkpoints.read`.
        parameters: how many numbers it holds.
        size: bytes of the file.
    """

    file: str
    settings: Mapping[str, Any]
    parameters: int
    size: int

    @property
    def adaptation_text(self) -> str:
        """The adaptation in one line, as one would write it in Python."""
        return _written(self.settings["adaptation"]) if "adaptation" in self.settings else "none"


def _written(settings: Mapping[str, Any]) -> str:
    told = {name: _value(one) for name, one in settings.items()}
    arguments = [f"{name}={text}" for name, text in told.items() if name != "type" and settings[name] is not None]
    return f"{settings['type']}({', '.join(arguments)})"


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and "type" in value:
        return _written(value)
    return f"[{', '.join(map(_value, value))}]" if isinstance(value, list | tuple) else repr(value)


def describe(file: str | Path) -> ModelFacts:
    """Read what a ``model.pt`` says of itself.

    Raises:
        ModelNotFoundError: when there is no such file.
        ModelMismatchError: when it is no model file.
    """
    state = read(file)
    parameters = sum(tensor.numel() for tensor in tensors_of(state).values())
    return ModelFacts(str(file), state[SETTINGS_KEY], parameters, Path(file).stat().st_size)


def find_models(folder: str | Path) -> tuple[list[ModelFacts], list[Path]]:
    """Look for model files in a folder and all below it.

    Args:
        folder: a folder, or one file.

    Returns:
        What each model file says of itself, and the other files whose name ends with ``.pt``; both sorted by path.

    Raises:
        ModelNotFoundError: when there is no such folder.
        PermissionError: when the folder may not be read.
    """
    root = Path(folder)
    if not root.exists():
        raise ModelNotFoundError(f"no folder {root}; give a folder with model files, such as bundles")
    if root.is_dir():
        os.scandir(root).close()  # rglob finds nothing in a folder that may not be read, and does not say so
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*.pt") if path.is_file())
    models: list[ModelFacts] = []
    others: list[Path] = []
    for file in files:
        try:
            models.append(describe(file))
        except ModelMismatchError:
            others.append(file)
    return models, others
