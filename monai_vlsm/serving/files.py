# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Model files on a disk: what each says of itself, and whether it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_vlsm.backbones import prompt_ids
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, ModelNotFoundError, read
from monai_vlsm.errors import UserError
from monai_vlsm.serving.bank import AdapterBank

__all__ = ["ModelFacts", "check_model", "find_models", "model_facts"]


@dataclass(frozen=True)
class ModelFacts:
    """What a ``model.pt`` says of itself.

    Args:
        file: its path.
        network: class of the network.
        backbone: what it was trained on, a known name or the folder that it was then.
        base: fingerprint of the frozen weights that it was trained on; empty when everything trained.
        adaptation: settings of the adaptation; None for networks that have none.
        image_size: side of the square input in pixels.
        default_prompt: the text used when none is given.
        existence_threshold: least existence score of a mask; 0 where none was set.
        other: settings of this network alone, such as the targets of a U-Net.
        parameters: how many numbers it holds.
        size: bytes of the file.
    """

    file: str
    network: str
    backbone: str
    base: str
    adaptation: dict[str, Any] | None
    image_size: int
    default_prompt: str
    existence_threshold: float
    other: dict[str, Any]
    parameters: int
    size: int

    @property
    def adaptation_text(self) -> str:
        """The adaptation in one line, as one would write it in Python."""
        if self.adaptation is None:
            return "none"
        values = {name: value for name, value in self.adaptation.items() if name != "type" and value is not None}
        return f"{self.adaptation.get('type')}({', '.join(f'{name}={value!r}' for name, value in values.items())})"


def model_facts(file: str | Path) -> ModelFacts:
    """Read what a ``model.pt`` says of itself. No network is built.

    Raises:
        ModelNotFoundError: when there is no such file.
        ModelMismatchError: when it is no model file.
    """
    state = read(file)
    settings: Mapping[str, Any] = state.pop(SETTINGS_KEY)
    named = {name: settings[name] for name in ("network", "backbone", "base", "image_size", "default_prompt")}
    return ModelFacts(
        file=str(file),
        **named,
        adaptation=settings.get("adaptation"),
        existence_threshold=float(settings.get("existence_threshold", 0.0)),
        other={name: settings[name] for name in settings if name not in {*ModelFacts.__annotations__, "format"}},
        parameters=sum(tensor.numel() for tensor in state.values()),
        size=Path(file).stat().st_size,
    )


def find_models(folder: str | Path) -> tuple[list[ModelFacts], list[Path]]:
    """Look for model files in a folder and all below it.

    Args:
        folder: a folder, or one file.

    Returns:
        What each model file says of itself, and the other files whose name ends with ``.pt``; both sorted by path.

    Raises:
        ModelNotFoundError: when there is no such folder.
    """
    root = Path(folder)
    if not root.exists():
        raise ModelNotFoundError(f"no folder {root}; give a folder with model files, such as bundles")
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*.pt") if path.is_file())
    models: list[ModelFacts] = []
    others: list[Path] = []
    for file in files:
        try:
            models.append(model_facts(file))
        except ModelMismatchError:
            others.append(file)
    return models, others


def check_model(file: str | Path, bank: AdapterBank) -> None:
    """Load a ``model.pt`` on a base and run it once, on a blank picture.

    Args:
        file: a ``model.pt``.
        bank: holds the base; the model is taken out again.

    Raises:
        ModelNotFoundError: when there is no such file.
        ModelMismatchError: when it does not belong to the base, or what it computes is no mask.
    """
    name = f"check of {file}"
    bank.load(name, file)
    try:
        logits = _run(bank, name)
    except UserError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelMismatchError(f"{file}: loads on {bank.backbone}, but does not run: {error}") from error
    finally:
        bank.unload(name)
    if not logits.isfinite().all():
        raise ModelMismatchError(
            f"{file}: loads on {bank.backbone}, but computes values that are no numbers; its weights are damaged, or "
            "its training went wrong. Train again"
        )


def _run(bank: AdapterBank, name: str) -> Tensor:
    network, settings = bank.network(name), bank.settings(name)
    prompt = (settings.get("targets") or [settings["default_prompt"]])[0]  # a U-Net knows its targets only
    ids = torch.tensor([prompt_ids(bank.backbone, prompt)], device=bank.device)
    with torch.no_grad():
        logits: Tensor = network(torch.zeros(1, 3, network.image_size, network.image_size, device=bank.device), ids)
    return logits
