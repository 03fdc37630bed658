# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A trained network as a plain checkpoint of transformers."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import save

from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.export.check import LIMIT
from monai_vlsm.export.problems import ExportError
from monai_vlsm.io import require_writable, write_bytes
from monai_vlsm.networks import CLIPSegNet, PromptedNet, merged_network

__all__ = ["save_merged"]


def save_merged(network: PromptedNet, output: str | Path) -> float:
    """Write base and adapters as one folder in Hugging Face layout, after comparing the two networks.

    ``CLIPSegForImageSegmentation.from_pretrained`` of transformers loads it, unless its encoders are not CLIP's, and it
    is a backbone of this package.

    Args:
        network: with adapters that are changes of weights, or with trained weights of its own.
        output: a folder that does not exist yet or is empty.

    Returns:
        The largest difference of a logit, on random images with the default prompt.

    Raises:
        MergeError: when the adaptation cannot be merged.
        ExportError: when there is something in the folder, or the merged network computes something else.
        WriteError: when the folder cannot be written.
    """
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"nothing is overwritten: there is something in {folder} already; give another --output")
    require_writable(folder)
    plain = merged_network(network.eval())
    difference = _difference(plain, network)
    if not difference <= LIMIT:
        raise ExportError(
            f"the merged network differs from the one with adapters by {difference:.1e}, more than {LIMIT:.0e}, so "
            "nothing was written. Use model.pt as it is"
        )
    for name, content in _files(plain).items():
        write_bytes(folder / name, content)
    return difference


def _difference(plain: PromptedNet, network: PromptedNet) -> float:
    shape = (2, 3, network.image_size, network.image_size)
    image = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))
    with torch.no_grad():
        return float((plain(image) - network(image)).abs().max())


def _files(plain: CLIPSegNet) -> dict[str, bytes]:
    """Name to content: the weights, the tokenizer, and last the description, without which it is no checkpoint."""
    tensors = {name: tensor.contiguous() for name, tensor in plain.base.state_dict().items()}
    base = plain.base
    base.config.architectures = ["CLIPSegForImageSegmentation" if base.is_plain else type(base).__name__]
    with TemporaryDirectory() as folder:
        load_tokenizer(plain.backbone).save_pretrained(folder)
        plain.base.config.save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    description = files.pop("config.json")
    return {"model.safetensors": save(tensors, {"format": "pt"}), **files, "config.json": description}
