# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The models that the page offers: those it was started with, and those that a visitor dropped on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_vlsm.checkpoints import SETTINGS_KEY, read
from monai_vlsm.names import distinct
from monai_vlsm.serving import AdapterBank, Segmenter
from monai_vlsm.serving.predict import find_device

__all__ = ["Models"]


class Models:
    """Trained models on one base.

    Args:
        files: one ``model.pt`` or several that were trained on one base.
        backbone: the base, if not where the first file says.
        device: ``"cpu"``, ``"cuda"``; None takes the GPU if there is one.

    Raises:
        BackboneNotFoundError: when the base cannot be had.
        ModelMismatchError: when a file is none, or was trained on another base.
        ModelNotFoundError: when there is no such file.
    """

    def __init__(self, files: Sequence[Path], backbone: str | None = None, device: str | None = None) -> None:
        settings = [read(file)[SETTINGS_KEY] for file in files]  # what is no model is told before the base is loaded
        self._bank = AdapterBank(backbone or settings[0]["backbone"], find_device(device))
        self._segmenters: dict[str, Segmenter] = {}
        self.names = distinct([_name(file) for file in files])
        """Of the models that all visitors may choose, in their order."""
        for name, file in zip(self.names, files, strict=True):
            self.load(name, file)

    def load(self, name: str, file: Path) -> None:
        """Load a further model under a name that is free; errors as `monai_vlsm.serving.AdapterBank.load`."""
        self._bank.load(name, file)
        self._segmenters[name] = Segmenter(self._bank.network(name), device=self._bank.device)

    def unload(self, name: str) -> None:
        """Forget a model."""
        self._bank.unload(name)
        del self._segmenters[name]

    def segmenter(self, name: str) -> Segmenter:
        """The model of a name.

        Raises:
            AdapterNameError: there is none.
        """
        self._bank.network(name)
        return self._segmenters[name]


def _name(file: Path) -> str:
    """The name of a file, of a ``model.pt`` in a bundle that of the bundle."""
    if file.stem == "model" and file.absolute().parent.name == "models":
        return file.absolute().parents[1].name
    return file.stem
