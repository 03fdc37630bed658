# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write clipseg-mini as a Hugging Face folder, so that a reader never meets a half-written one."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPSegForImageSegmentation

__all__ = ["LIMIT", "export"]

LIMIT = 12 * 10**6
"""Bytes that the folder, tokenizer included, may take in the package."""

_README = """# clipseg-mini

A small CLIPSeg (5.7 M parameters, float16, 160 x 160 px) trained from scratch on procedurally drawn scenes by
`tools/pretrain_mini.py` of monai_vlsm. No photograph, no medical image and no other model's weights went into it;
it knows nothing about medicine. Scores, data and limits: `docs/clipseg_mini.md`. Licence: Apache-2.0 (see LICENSE).
"""
_LICENCE = """Copyright (c) monai_vlsm contributors
SPDX-License-Identifier: Apache-2.0

The weights and the tokenizer in this folder were made from scratch by tools/pretrain_mini.py on procedurally drawn
scenes. They are licensed under the Apache License, Version 2.0 (the "License"); you may not use them except in
compliance with the License. You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, they are distributed on an "AS IS" BASIS, WITHOUT WARRANTIES
OR CONDITIONS OF ANY KIND, either express or implied. See the License for the specific language governing permissions
and limitations under the License.
"""


def _write(model: CLIPSegForImageSegmentation, tokenizer: Path, folder: Path) -> None:
    for file in tokenizer.iterdir():
        shutil.copy(file, folder / file.name)
    tensors = {name: value.detach().half().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    values = model.config.to_dict()
    # Stored as float16, computed as float32: transformers 5 loads the dtype that the configuration names.
    values |= {"architectures": ["CLIPSegForImageSegmentation"], "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", "utf-8")
    (folder / "README.md").write_text(_README, "utf-8")
    (folder / "LICENSE").write_text(_LICENCE, "utf-8")


def export(model: CLIPSegForImageSegmentation, tokenizer: Path, folder: Path) -> int:
    """Write a model with its tokenizer, file by file by renaming, and return the size in bytes.

    Args:
        model: the network to write, as float16 safetensors.
        tokenizer: folder with the files of its tokenizer.
        folder: the target; it is made if it does not exist.

    Raises:
        ValueError: if the weights are not finite as float16, or the folder would exceed ``LIMIT`` bytes.
    """
    bad = [name for name, value in model.state_dict().items() if not torch.isfinite(value.half()).all()]
    if bad:
        raise ValueError(f"these weights are not finite as float16: {', '.join(bad)}; train again with a lower --lr.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        temporary = Path(name)
        _write(model, tokenizer, temporary)
        size = sum(file.stat().st_size for file in temporary.iterdir())
        if size > LIMIT:
            raise ValueError(f"{size} bytes exceed the {LIMIT} that the package allows; use a smaller network.")
        for file in sorted(temporary.iterdir()):
            shutil.copymode(__file__, file)
            file.replace(folder / file.name)
    return size
