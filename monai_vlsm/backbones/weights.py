# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights from a file that somebody else made: reading it, and saying what it is."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

from monai_vlsm.backbones.faults import BackboneNotFoundError
from monai_vlsm.errors import UserError
from monai_vlsm.host import all_finite

__all__ = ["WeightsFileError", "check_weights", "looks_like", "not_finite", "read_weights"]

_MODELS = {  # what a state dict is that has such a key; the first that fits counts
    r"monai_vlsm$": "a model file of monai_vlsm",
    r"text_encoder\.transformer\.": "UniMedCLIP, in the format of a fork of open_clip that only its authors use",
    r"visual\.trunk\.": "a CLIP of open_clip with a vision transformer of timm",
    r"(backbone\.visual\.attnpool|neck\.f1_v_proj|proj\.vis)\.": "CRIS",
    r"(clip\.vision_model|decoder\.film_mul)\.": "CLIPSeg in Hugging Face layout",
    r"(vision_model|text_model)\.": "a CLIP ViT in Hugging Face layout",
    r"visual\.(layer\d|attnpool)\.": "a CLIP ResNet in the layout of OpenAI and open_clip",
    r"visual\.(transformer|class_embedding)": "a CLIP ViT in the layout of OpenAI and open_clip",
}
_NO_WEIGHTS = {"input_resolution", "context_length", "vocab_size"}  # numbers that OpenAI's archives carry
_SCALAR: Any = np.float64(0).__reduce__()[0]
# checkpoints often carry scores as numbers of numpy; under numpy 1 their maker had another name
_PLAIN: list[Any] = [np.dtype, _SCALAR, (_SCALAR, "numpy.core.multiarray.scalar")]
_PLAIN += [type(np.dtype(kind)) for kind in ("f8", "f4", "i8")]


class WeightsFileError(UserError, ValueError):
    """A weight file cannot be read, or holds another model."""


def read_weights(path: str | Path, mapped: bool = False) -> dict[str, Tensor]:
    """Read a weight file: ``.safetensors``, a TorchScript archive (OpenAI's CLIP), or a file of ``torch.save``.

    A state inside ``{"state_dict": ...}`` is taken out, ``module.`` in front of all keys is dropped, numbers become
    float32. A pickle that holds more than tensors and plain values is refused, not run.

    Args:
        path: the file.
        mapped: leave the values in the file until they are looked at, for a look at names and shapes.

    Returns:
        Names to tensors on the CPU.

    Raises:
        BackboneNotFoundError: when there is no such file.
        WeightsFileError: when it is damaged, no weight file, or a ``model.pt`` of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise BackboneNotFoundError(f"no weight file at {path}; give the path of a file that is there")
    try:
        content = _read(path, mapped)
    except Exception as error:  # torch, zipfile, pickle and safetensors raise many kinds; each means the same here
        raise WeightsFileError(
            f"{path} cannot be read as weights: {_reason(error)}. Expected names and tensors, as .safetensors, a "
            "TorchScript archive or a file of torch.save; the file is damaged or of another kind. Get it again"
        ) from error
    return _tensors(content, path)


def looks_like(keys: Iterable[str]) -> str:
    """Say in plain words which model a state dict belongs to, by its names alone."""
    names = list(keys)
    for pattern, model in _MODELS.items():
        if any(re.match(pattern, name) for name in names):
            return model
    return f"unknown, first keys {sorted(names)[:3]}"


def check_weights(own: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str) -> None:
    """Check that weights fit a network: no name missing, none too many, all shapes equal, all values numbers.

    Args:
        own: the state that is needed.
        given: the state that was read. The counters of batch norms, which no forward pass reads, may be missing.
        source: path and kind of the file, for the message.

    Raises:
        WeightsFileError: when they do not fit.
    """
    missing = sorted(name for name in set(own) - set(given) if not name.endswith("num_batches_tracked"))
    unexpected = sorted(set(given) - set(own))
    shapes = [
        f"{name} must be {tuple(own[name].shape)}, is {tuple(given[name].shape)}"
        for name in sorted(set(own) & set(given))
        if own[name].shape != given[name].shape
    ]
    if missing or unexpected or shapes:
        raise WeightsFileError(
            f"{source}: the weights are of another size or not complete: {len(missing)} missing {missing[:3]}, "
            f"{len(unexpected)} unexpected {unexpected[:3]}, {len(shapes)} of another shape {shapes[:2]}"
        )
    if bad := not_finite(given):
        raise WeightsFileError(f"{source}: {bad}. The file is damaged; get it again")


def not_finite(weights: Mapping[str, Tensor]) -> str:
    """Which weights hold NaN or infinite values, in words; empty if none does."""
    names = [name for name, value in weights.items() if not all_finite(value)]
    return f"NaN or infinite values in {len(names)} of {len(weights)} weights {names[:3]}" if names else ""


def _read(path: Path, mapped: bool) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    if _is_torchscript(path):
        return torch.jit.load(path, map_location="cpu").state_dict()
    with safe_globals(_PLAIN):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipfile.is_zipfile(path))


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if isinstance(content, Mapping) and "monai_vlsm" in content:
        raise WeightsFileError(
            f"{path} looks like {looks_like(content)}: it holds what was trained here. Expected the weights of a "
            "pretrained model; the configs load a model.pt from the folder models of their bundle"
        )
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsFileError(f"{path} holds no state dict: expected names and tensors, got {type(content).__name__}")
    start = "module." if content and all(name.startswith("module.") for name in content) else ""
    return {
        name.removeprefix(start): value.float() if value.is_floating_point() else value
        for name, value in content.items()
        if name not in _NO_WEIGHTS
    }


def _reason(error: Exception) -> str:
    if found := re.search(r"nsupported (?:global: )?GLOBAL (\S+)", str(error)):
        return f"it asks for {found[1]}, which is no tensor and is not run"
    if isinstance(error, UnpicklingError):  # torch's text would advise to run the file
        return "it holds more than tensors and plain values"
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
