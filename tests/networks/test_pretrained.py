# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints in Hugging Face layout, written by transformers itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.utils.logging import set_tqdm_hook

from monai_vlsm.backbones import BackboneNotFoundError
from monai_vlsm.networks import BackboneWeightsError, load_base
from tests import tiny

KEY = "decoder.film_mul.weight"


@pytest.fixture
def folder(backbone: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(backbone, tmp_path / "backbone"))


def change(folder: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_one_file(folder: Path) -> None:
    base = load_base(folder)
    assert torch.equal(base.state_dict()[KEY], load_file(folder / "model.safetensors")[KEY])
    assert not base.training


def test_shards(backbone: Path, tmp_path: Path) -> None:
    sharded = tiny.write_backbone(tmp_path, max_shard_size="20KB")
    assert len(list(sharded.glob("model-*.safetensors"))) > 1
    expected = load_base(backbone).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in load_base(sharded).state_dict().items())


def test_no_bar_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def mine(factory: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return factory(*args, **kwargs)

    set_tqdm_hook(mine)
    load_base(folder)
    assert capsys.readouterr().err == ""
    assert set_tqdm_hook(None) is mine


def test_half_precision_file_loads_as_float32(folder: Path) -> None:
    change(folder, lambda tensors: tensors.update({name: value.half() for name, value in tensors.items()}))
    assert {value.dtype for value in load_base(folder).state_dict().values()} == {torch.float32}


def test_position_indices_of_old_files_are_ignored(folder: Path) -> None:
    key = "clip.text_model.embeddings.position_ids"
    change(folder, lambda tensors: tensors.update({key: torch.arange(77)[None]}))
    load_base(folder)


def test_random_weights_read_no_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert load_base(folder, load_weights=False).config.projection_dim == 8


BROKEN = [
    (lambda tensors: tensors.pop(KEY), rf"1 missing \['{KEY}'\], 0 unexpected"),
    (lambda tensors: tensors.update(other=tensors.pop(KEY)), rf"1 missing \['{KEY}'\], 1 unexpected \['other'\]"),
    (lambda tensors: tensors.update({KEY: torch.zeros(3, 3)}), f"1 of another shape .*{KEY}"),
    (lambda tensors: tensors[KEY].view(-1)[-1].fill_(torch.nan), rf"NaN or infinite .* in 1 of \d+ weights .*{KEY}"),
    (lambda tensors: tensors[KEY].fill_(-torch.inf), rf"NaN or infinite .*{KEY}.* copy the model again"),
]


@pytest.mark.parametrize(("edit", "message"), BROKEN)
def test_wrong_weights(
    edit: Callable[[dict[str, Tensor]], object], message: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    change(folder, edit)
    with pytest.raises(BackboneWeightsError, match=message):
        load_base(folder)
    assert "LOAD REPORT" not in capfd.readouterr().err  # transformers' table of keys


def test_missing_shard(tmp_path: Path) -> None:
    folder = tiny.write_backbone(tmp_path, max_shard_size="20KB")
    next(folder.glob("model-*.safetensors")).unlink()
    with pytest.raises(BackboneNotFoundError, match="no readable weights"):
        load_base(folder)


def test_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(BackboneNotFoundError, match="no readable weights"):
        load_base(folder)


def test_truncated_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BackboneWeightsError, match="a weight file cannot be read"):
        load_base(folder)


def test_config_of_another_size(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    values["reduce_dim"] = 4
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(BackboneWeightsError, match="of another shape"):
        load_base(folder)
