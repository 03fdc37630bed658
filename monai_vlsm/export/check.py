# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Does a file compute what the network computes?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from monai_vlsm.export.files import quiet
from monai_vlsm.export.problems import ExportError
from monai_vlsm.networks import PromptedNet

__all__ = ["BATCHES", "LIMIT", "check_file", "open_file"]

LIMIT = 1e-3
"""Largest difference of a logit that counts as the same."""

BATCHES = (1, 3)
"""Numbers of images that a file is checked with; it is traced with 2."""

Run = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


def open_file(path: Path) -> Run:
    """Load an exported file on the CPU.

    Args:
        path: a ``.onnx`` or ``.ts`` of this package.

    Returns:
        A function that maps images ``(B, 3, S, S)`` and the other inputs by name to logits ``(B, K, S, S)``.
    """
    if path.suffix == ".ts":
        with quiet():
            module = torch.jit.load(str(path), map_location="cpu")
        return lambda image, texts: module(image, *texts.values())
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(image: Tensor, texts: Mapping[str, Tensor]) -> Tensor:
        arrays = {name: tensor.numpy() for name, tensor in {"image": image, **texts}.items()}
        return torch.from_numpy(session.run(["logits"], arrays)[0])

    return run


def check_file(path: Path, network: PromptedNet, ids: Tensor, texts: Mapping[str, Tensor]) -> float:
    """Compare a file with the network on random images, with the numbers of images in `BATCHES`.

    One image gets all prompts. Of several, each gets three of them at most, in an order of its own.

    Args:
        path: the file.
        network: the network that it was made of, in evaluation mode.
        ids: token ids ``(K, L)``.
        texts: the file's inputs beside the image, each ``(K, ...)``.

    Returns:
        The largest difference of a logit.

    Raises:
        ExportError: when it is above `LIMIT`, or the file does not run.
    """
    try:
        run = open_file(path)
        difference = max(_difference(run, network, ids, texts, images) for images in BATCHES)
    except Exception as error:  # onnxruntime's errors have no other class in common
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"{path} does not run: {reason}. It is left as it is; do not use it") from error
    if not difference <= LIMIT:
        raise ExportError(
            f"{path} differs from the network in PyTorch by {difference:.1e}, more than {LIMIT:.0e}. It is left as it "
            "is; do not use it. Try another --format or --opset"
        )
    return difference


def _difference(run: Run, network: PromptedNet, ids: Tensor, texts: Mapping[str, Tensor], images: int) -> float:
    shape = (images, 3 * network.slices, network.image_size, network.image_size)
    image = torch.from_numpy(np.random.default_rng(images).standard_normal(shape, np.float32))
    with torch.no_grad():
        expected = network(image, _turned(ids, images))
        found = run(image, {name: _turned(tensor, images) for name, tensor in texts.items()})
    return float((found - expected).abs().max())


def _turned(rows: Tensor, images: int) -> Tensor:
    """``(K, ...)`` for one image; for several ``(B, up to 3, ...)``, turned by one place from image to image."""
    if images == 1:
        return rows[None]
    return torch.stack([rows[:3].roll(index, dims=0) for index in range(images)])
