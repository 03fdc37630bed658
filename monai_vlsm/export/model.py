# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From a trained network to a folder that another program can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.data.volumes import parse_window
from monai_vlsm.export.check import check_file
from monai_vlsm.export.files import FORMATS, require_packages, write_onnx, write_torchscript
from monai_vlsm.export.problems import ExportError
from monai_vlsm.export.prompts import FORMS, NamedPrompts, arrange, choose_prompts
from monai_vlsm.io import replacing, require_writable, write_json
from monai_vlsm.networks import PromptedNet
from monai_vlsm.transforms.existence import TOP_SHARE

__all__ = ["ExportedModel", "export_network"]


class ExportedModel(NamedTuple):
    """What `export_network` wrote.

    Attributes:
        model: the network, ``model.onnx`` or ``model.ts``.
        prompts: ``prompts.npz``, the prompts as numbers: for each text input of the network an array ``(K, ...)``.
        info: ``model.json``, what a program must know; the same stands inside the network's file.
        difference: largest difference of a logit between the file and PyTorch.
    """

    model: Path
    prompts: Path
    info: Path
    difference: float


def export_network(
    network: PromptedNet,
    output: str | Path,
    format: str = "onnx",
    form: str = "embedding",
    prompts: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    opset: int = 18,
) -> ExportedModel:
    """Write a network for programs without this package, and check the file against PyTorch.

    The number of images and of prompts stays free, the size of the image and of a prompt are fixed.

    Args:
        network: the network, on the CPU; it is put in evaluation mode.
        output: folder, made if needed. Files in it are never overwritten.
        format: ``"onnx"`` or ``"torchscript"``.
        form: ``"embedding"`` takes images and embeddings of prompts, ``"tokens"`` images and token ids.
        prompts: prompts whose numbers are written beside. None takes the targets of a U-Net, else the default prompt.
        names: a name for each prompt; None calls each by its text.
        opset: version of ONNX's operators.

    Returns:
        The files and the difference.

    Raises:
        ExportError: when the network cannot be exported in this way, a file is there already, or the check fails.
        WriteError: when the folder cannot be written.
        ValueError: for another ``format`` or ``form``.
    """
    if format not in FORMATS or form not in FORMS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)} and form of {', '.join(FORMS)}")
    require_packages(format, opset)
    folder = Path(output)
    files = [folder / f"model{FORMATS[format]}", folder / "prompts.npz", folder / "model.json"]
    _check_free(files)
    require_writable(folder)
    network.eval()
    chosen = choose_prompts(network, form, prompts, names)
    module, ids, texts = arrange(network, form, chosen.texts)
    info = _info(network, form, chosen, texts, ids.shape[1])
    arguments = _example(network, texts)
    if format == "onnx":
        write_onnx(module.eval(), arguments, ["image", *texts], files[0], info, opset)
    else:
        write_torchscript(module.eval(), arguments, files[0], info)
    difference = check_file(files[0], network, ids, texts)
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in texts.items()}
    with replacing(files[1]) as path, path.open("wb") as file:
        np.savez(file, **arrays)
    write_json(files[2], info)
    model, numbers, facts = files
    return ExportedModel(model, numbers, facts, difference)


def _check_free(files: Sequence[Path]) -> None:
    taken = [str(file) for file in files if file.exists()]
    if taken:
        raise ExportError(f"nothing is overwritten: {', '.join(taken)} is there already; give another --output")


def _info(
    network: PromptedNet, form: str, prompts: NamedPrompts, texts: Mapping[str, Tensor], token_length: int
) -> dict[str, Any]:
    return {
        **TrainedState(network).settings(),
        "form": form,
        "image_mean": list(network.image_mean),
        "image_std": list(network.image_std),
        "threshold": 0.5,
        "existence_share": TOP_SHARE,
        "slices": network.slices,  # in the channels of an image, three for each
        "window_ends": [window.ends for window in parse_window(network.window)],  # None: percentiles of a volume
        "prompts": list(prompts.texts),
        "names": list(prompts.names),
        "text_inputs": list(texts),
        "token_length": token_length,
    }


def _example(network: PromptedNet, texts: Mapping[str, Tensor]) -> list[Tensor]:
    """Two images with two prompts each: with one of either, a trace could not tell free sizes from fixed ones."""
    image = torch.zeros(2, 3 * network.slices, network.image_size, network.image_size)
    pairs = [tensor[[0, -1]].expand(2, *[-1] * tensor.ndim).contiguous() for tensor in texts.values()]
    return [image, *pairs]
