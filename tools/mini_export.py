# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write a trained CLIPSeg as a Hugging Face folder, so that a reader never meets a half-written one."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from transformers import CLIPSegForImageSegmentation

__all__ = ["LIMIT", "MINI_NOTES", "Notes", "export"]

LIMIT = 12 * 10**6
"""Bytes that the folder of clipseg-mini, tokenizer included, may take in the package."""

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


class Notes(NamedTuple):
    """How a network is written, and what its folder says about it.

    Attributes:
        readme: text of README.md.
        licence: text of LICENSE.
        dtype: type of the numbers in the file.
        limit: bytes that the folder may take; None for any number.
    """

    readme: str
    licence: str
    dtype: torch.dtype
    limit: int | None


MINI_NOTES = Notes(_README, _LICENCE, torch.float16, LIMIT)


def _write(model: CLIPSegForImageSegmentation, tokenizer: Path, folder: Path, notes: Notes) -> None:
    for file in tokenizer.iterdir():
        shutil.copy(file, folder / file.name)
    tensors = {name: value.detach().to(notes.dtype).contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    values = model.config.to_dict()
    # Stored as float16 or not, computed as float32: transformers 5 loads the dtype that the configuration names.
    values |= {"architectures": ["CLIPSegForImageSegmentation"], "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", "utf-8")
    (folder / "README.md").write_text(notes.readme, "utf-8")
    (folder / "LICENSE").write_text(notes.licence, "utf-8")


def export(model: CLIPSegForImageSegmentation, tokenizer: Path, folder: Path, notes: Notes = MINI_NOTES) -> int:
    """Write a model with its tokenizer, file by file by renaming, and return the size in bytes.

    Args:
        model: the network to write, as safetensors.
        tokenizer: folder with the files of its tokenizer.
        folder: the target; it is made if it does not exist.
        notes: what the folder says, and how large it may be.

    Raises:
        ValueError: if the weights are not finite in the type of the file, or the folder would exceed its limit.
    """
    bad = [name for name, value in model.state_dict().items() if not torch.isfinite(value.to(notes.dtype)).all()]
    if bad:
        raise ValueError(f"these weights are not finite as {notes.dtype}: {', '.join(bad)}; take a lower --lr.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        temporary = Path(name)
        _write(model, tokenizer, temporary, notes)
        size = sum(file.stat().st_size for file in temporary.iterdir())
        if notes.limit is not None and size > notes.limit:
            raise ValueError(f"{size} bytes exceed the {notes.limit} that the package allows; use a smaller network.")
        for file in sorted(temporary.iterdir()):
            shutil.copymode(__file__, file)
            file.replace(folder / file.name)
    return size
