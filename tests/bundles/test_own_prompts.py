# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images with different numbers of structures, one record each, through the bundle."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.networks import CLIPSegNet
from tests.bundles.dataset import write_dataset
from tests.bundles.test_vlsm_dense import EVALUATE, TRAIN, run

pytestmark = pytest.mark.slow  # whole trainings


@pytest.fixture(scope="module")
def settings(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every other image has one structure, the others two; all have 48 x 40 pixels, so that they can be batched."""
    folder = write_dataset(tmp_path_factory.mktemp("own"), train=5, val=3, grow=0)
    for file in folder.glob("*.json"):
        rows = json.loads(file.read_text())
        for row in rows[::2]:
            del row["structures"][0]
        file.write_text(json.dumps(rows))
    own = {"dataset_dir": str(folder), "backbone": str(backbone), "cache_dir": str(folder / "cache")}
    small = {"adapter_width": 4, "epochs": 1, "batch_size": 3, "num_workers": 0, "amp": False}
    return {**own, **small, "device": torch.device("cpu"), "multi_prompt": True}


@pytest.fixture(scope="module")
def trained(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run([TRAIN], tmp_path_factory.mktemp("trained"), **settings)


def scores(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return sorted(csv.DictReader(file), key=lambda row: (row["image_id"], row["prompt"]))


@pytest.mark.parametrize("more", [{"multi_prompt": False}, {"validate::dataloader::batch_size": 3}], ids=str)
def test_scores_do_not_depend_on_how_prompts_are_batched(
    more: dict[str, Any], settings: Any, trained: Path, tmp_path: Path
) -> None:
    model = {"model_file": str(trained / "models" / "model.pt"), "overlays": "all", "probes": False}
    alone = scores(run([TRAIN, EVALUATE], tmp_path / "alone", **settings, **model))
    together = scores(run([TRAIN, EVALUATE], tmp_path / "together", **{**settings, **model, **more}))
    assert [row["prompt"] for row in alone] == [row["prompt"] for row in together]
    assert len(alone) == 4
    for column in ("truth_pixels", "pred_pixels", "val_dice", "val_hd95", "existence", "tag"):
        assert [row[column] for row in alone] == [row[column] for row in together]


DRAWS = {"max_prompts": 2, "negatives": 0.4, "absent_prompts": ["liver", "heart"], "text_cache": "batch"}


def learned(folder: Path) -> dict[str, torch.Tensor]:
    model = torch.load(folder / "last.pt", weights_only=True)["objects"]["model"]
    return {name: value for name, value in model.items() if isinstance(value, torch.Tensor)}


@pytest.fixture(scope="module")
def drawn(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with some prompts of each image."""
    return run([TRAIN], tmp_path_factory.mktemp("drawn"), **settings, **DRAWS)


@pytest.mark.parametrize("cache", ["off", "memory", "disk"])
def test_a_cache_changes_no_draw(cache: str, settings: Any, drawn: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Up to two prompts of each image go on, and an image passes once."""
    encoded: list[int] = []
    decoded: list[int] = []
    encode, decode = CLIPSegNet.encode_image, CLIPSegNet.decode

    def count_images(network: CLIPSegNet, image: torch.Tensor) -> list[torch.Tensor]:
        encoded.append(len(image))
        return encode(network, image)

    def count_pairs(network: CLIPSegNet, skips: list[torch.Tensor], conditions: torch.Tensor) -> torch.Tensor:
        decoded.append(len(conditions))
        return decode(network, skips, conditions)

    monkeypatch.setattr(CLIPSegNet, "encode_image", count_images)
    monkeypatch.setattr(CLIPSegNet, "decode", count_pairs)
    found, expected = learned(run([TRAIN], tmp_path, **settings, **DRAWS, cache=cache)), learned(drawn)
    assert encoded[:2] == [3, 2]
    assert encoded[0] <= decoded[0] <= 2 * encoded[0]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_resumed_run_draws_what_it_would_have_drawn(settings: Any, drawn: Path, tmp_path: Path) -> None:
    more = {**settings, **DRAWS, "epochs": 2}
    with pytest.raises(RuntimeError) as raised:
        run([TRAIN], drawn, **{**more, "max_prompts": 1}, resume=True)
    assert "max_prompts is 1 here and 2 in the run" in str(raised.value.__cause__)
    expected = learned(run([TRAIN], tmp_path / "straight", **more))
    shutil.copytree(drawn, tmp_path / "resumed")
    found = learned(run([TRAIN], tmp_path / "resumed", **more, resume=True))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
