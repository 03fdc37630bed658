# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""All models of a server on as few bases as there are."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.networks import PromptedNet
from monai_vlsm.serving import AdapterBank

__all__ = ["Banks"]

logger = logging.getLogger(__name__)


class Banks:
    """One `monai_vlsm.serving.AdapterBank` for each base and device, filled when a model is first asked for.

    A file that has changed since (training replaces it) is loaded again. All methods can be called from any thread.
    """

    def __init__(self) -> None:
        self._banks: dict[tuple[str, str], AdapterBank] = {}
        self._times: dict[tuple[str, str, str], int] = {}
        self._lock = threading.Lock()

    def network(self, backbone: str, device: str, file: Path) -> PromptedNet:
        """The network of a trained file, in evaluation mode; shares the memory of its base with all others.

        Args:
            backbone: what the file was trained on.
            device: where it shall run.
            file: a ``model.pt``.

        Raises:
            ModelMismatchError: when the file belongs to another base or network, or is damaged.
        """
        key, name = (backbone, device), str(file)
        with self._lock:
            if key not in self._banks:
                self._banks[key] = AdapterBank(backbone, device)
            bank, changed = self._banks[key], Path(file).stat().st_mtime_ns
            if name in bank and self._times[*key, name] != changed:
                bank.unload(name)
            if name not in bank:
                bank.load(name, file)
                self._times[*key, name] = changed
                logger.info("%s on %s: %s", file, backbone, self._sizes(bank))
            return bank.network(name)

    def memory(self) -> dict[str, Any]:
        """Bytes by base and device: ``{"clipseg-mini on cpu": {"base": bytes, "adapters": {file: bytes}}}``."""
        return {f"{backbone} on {device}": bank.memory() for (backbone, device), bank in self._banks.items()}

    @staticmethod
    def _sizes(bank: AdapterBank) -> str:
        memory = bank.memory()
        adapters = sum(memory["adapters"].values())
        models = counted(len(memory["adapters"]), "model")
        return f"{memory['base'] / 1e6:.1f} MB base, {models} of {adapters / 1e6:.1f} MB in all"
