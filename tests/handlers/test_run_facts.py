# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a resumed run must share with the run before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from monai.losses import DiceCELoss

from monai_vlsm.checkpoints import PRECISION
from monai_vlsm.handlers.run_facts import differences, records_digest, run_facts


def facts(change: Callable[[dict[str, Any]], Any] = lambda _: None) -> dict[str, Any]:
    """Of a run whose parts ``change`` may exchange."""
    weight = torch.nn.Parameter(torch.zeros(1))
    parts: dict[str, Any] = {
        "optimizer": {"lr": 1e-3, "weight_decay": 1e-3},
        "schedule": {"factor": 0.3, "patience": 5},
        "model": {"backbone": "mini", "image_size": 160, "adaptation": {"type": "Dense", "width": 64}, **PRECISION},
        "loss": DiceCELoss(sigmoid=True, lambda_dice=1.5),
        "settings": {"seed": 41, "negatives": 0.0, "absent_prompts": None},
        "batch_size": 8,
        "workers": 0,
        "fused": None,
        "threshold": 0.0,
        "records": [{"image": "a.png", "prompt": "polyp"}, {"image": "b.png", "prompt": "polyp"}],
    }
    change(parts)
    optimizer = torch.optim.AdamW([weight], fused=parts["fused"], **parts["optimizer"])
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **parts["schedule"])
    settings = {"format": 1, "existence_threshold": parts["threshold"], **parts["model"]}
    model = SimpleNamespace(settings=lambda: settings)
    loader = SimpleNamespace(batch_size=parts["batch_size"], num_workers=parts["workers"])
    engine: Any = SimpleNamespace(data_loader=loader, loss_function=parts["loss"])
    objects = {"model": model, "optimizer": optimizer, "lr_scheduler": schedule}
    return run_facts(engine, objects, parts["settings"], {"training": parts["records"]})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p["optimizer"].update(lr=1e-5), "learning_rate is 1e-05 here and 0.001 in the run"),
        (lambda p: p["optimizer"].update(weight_decay=0.0), "weight_decay is 0.0 here and 0.001 in the run"),
        (lambda p: p["schedule"].update(factor=0.5), "lr_scheduler factor is 0.5 here and 0.3 in the run"),
        (lambda p: p["model"].update(backbone="big"), "backbone is big here and mini in the run"),
        (lambda p: p["model"].update(image_size=352), "image_size is 352 here and 160 in the run"),
        (lambda p: p["model"]["adaptation"].update(width=32), "adapter_width is 32 here and 64 in the run"),
        (lambda p: p.update(loss=DiceCELoss(sigmoid=True)), "loss lambda_dice is 1.0 here and 1.5 in the run"),
        (
            lambda p: p.update(loss=torch.nn.L1Loss()),
            "loss is L1Loss here and DiceCELoss in the run",
        ),
        (lambda p: p["settings"].update(seed=7), "seed is 7 here and 41 in the run"),
        (
            lambda p: p["settings"].update(absent_prompts=["a"]),
            "absent_prompts is ['a'] here and None in the run",
        ),
        (lambda p: p.update(batch_size=4), "batch_size is 4 here and 8 in the run"),
        (lambda p: p["records"].pop(), "training data is 1 records"),
        (lambda p: p["records"].reverse(), "training data is 2 records"),
        (lambda p: p["records"][0].update(prompt="ulcer"), "training data is 2 records"),
    ],
)
def test_what_may_not_change_is_told_with_both_values(change: Callable[[dict[str, Any]], Any], said: str) -> None:
    found = differences(facts(change), facts())
    assert found
    assert any(text.startswith(said) for text in found), found


@pytest.mark.parametrize(
    "change",
    [
        lambda p: None,
        lambda p: p.update(workers=4),
        lambda p: p.update(fused=True),
        lambda p: p.update(threshold=0.4),
        lambda p: p["model"].update(amp=False, amp_dtype="float16"),  # it goes on on another device, or after NaN
    ],
)
def test_what_may_change_is_no_difference(change: Callable[[dict[str, Any]], Any]) -> None:
    assert differences(facts(change), facts()) == []


def test_plain_values_only(tmp_path: Path) -> None:
    torch.save(facts(), tmp_path / "facts.pt")
    assert torch.load(tmp_path / "facts.pt", weights_only=True) == facts()


def _data(folder: Path) -> list[dict[str, Any]]:
    folder.mkdir()
    (folder / "a.png").write_bytes(bytes(range(256)) * 100)
    (folder / "a_mask.png").write_bytes(b"mask")
    return [{"image": str(folder / "a.png"), "label": [str(folder / "a_mask.png")], "prompt": {"p1": "polyp"}}]


def test_data_may_move(tmp_path: Path) -> None:
    one = records_digest(_data(tmp_path / "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    image, mask = tmp_path / "two" / "a.png", tmp_path / "two" / "a_mask.png"
    moved = [{"image": str(image), "label": [str(mask)], "prompt": {"p1": "polyp"}}]
    os.utime(image, (1, 1))
    assert records_digest(moved) == one


@pytest.mark.parametrize("place", [0, 12_800, 25_599])
def test_other_files_under_the_same_names(tmp_path: Path, place: int) -> None:
    records = _data(tmp_path / "data")
    before, path = records_digest(records), Path(records[0]["image"])
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert records_digest(records) != before


def test_slices_may_move_and_are_told_apart(tmp_path: Path) -> None:
    """An address counts by what its file holds and by the slice that it names."""
    digests = []
    for folder in ("one", "two"):
        image = _data(tmp_path / folder)[0]["image"]
        digests.append([records_digest([{"image": f"{image}::axial={index}"}]) for index in (1, 2)])
    assert digests[0] == digests[1] and digests[0][0] != digests[0][1]
