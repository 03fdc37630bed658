# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Leaks of a dataset: looked at once, and again when its lists change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from monai_vlsm.studies import StudyFolder, leaks


def test_once_for_each_version_of_the_lists(
    place: Path, folder: Callable[..., StudyFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    monkeypatch.setattr(leaks, "audit", lambda root: looked.append(root) or {"copy in two splits": len(looked)})
    made = folder()
    assert leaks.leaks_of(made, "polyps") == leaks.leaks_of(made, "polyps") == {"copy in two splits": 1}
    (place / "data" / "polyps" / "test.json").write_text("[]")
    assert leaks.leaks_of(made, "polyps") == {"copy in two splits": 2}
    assert looked == [place / "data" / "polyps"] * 2


def test_a_look_that_failed_is_not_kept(folder: Callable[..., StudyFolder], monkeypatch: pytest.MonkeyPatch) -> None:
    made = folder()
    monkeypatch.setattr(leaks, "audit", lambda root: None)
    assert leaks.leaks_of(made, "polyps") is None
    monkeypatch.setattr(leaks, "audit", lambda root: {"copy in two splits": 1})
    assert leaks.leaks_of(made, "polyps") == {"copy in two splits": 1}
    (made.root / "datasets" / "polyps.json").write_text('{"lists": 3}')
    assert leaks.leaks_of(made, "polyps") == {"copy in two splits": 1}


@pytest.mark.parametrize(
    "findings",
    [
        [{"kind": "patient in two splits", "count": 2}, {"kind": "empty mask", "count": 9}],
        [{"kind": "patient in two splits", "file": "a"}, {"kind": "patient in two splits", "file": "b"}],
    ],
)
def test_findings_of_images_and_of_volumes(findings: list[dict], monkeypatch: pytest.MonkeyPatch) -> None:
    def check(words: list[str], **_: object) -> None:
        Path(words[-1]).write_text(json.dumps({"findings": findings}))

    monkeypatch.setattr(leaks.subprocess, "run", check)
    assert leaks.audit(Path("x")) == {"patient in two splits": 2}


def test_a_test_on_the_list_of_the_training(folder: Callable[..., StudyFolder]) -> None:
    datasets = {"polyps": None, "again": {"folder": "polyps", "train": False}, "moles": {"train": False}}
    made = folder(datasets=datasets, transfer={"polyps": ["again", "moles"]}, settings={"val_split": "val2"})
    run = made.runs[0]
    found = {
        (tested, split): leaks.own_list(made.study, run, tested, split)
        for tested in made.tested(run)
        for split in ("train", "val", "val2", "test", None)
    }
    assert {place: leak for place, leak in found.items() if leak} == {
        **{(name, "train"): {"tested on the training list": 1} for name in ("polyps", "again")},
        **{(name, "val2"): {"tested on the validation list": 1} for name in ("polyps", "again")},
    }


@pytest.mark.slow
def test_a_real_dataset_with_an_image_in_two_splits(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("L", (40, 40), 200 if name == "a" else 90).save(tmp_path / f"{name}.png")
        Image.new("L", (40, 40), 255).save(tmp_path / f"{name}_mask.png")
    record = {"image": "a.png", "mask": "a_mask.png", "prompt": "polyp"}
    for split, image in (("train", "a"), ("test", "a"), ("val", "b")):
        text = json.dumps([{**record, "image": f"{image}.png", "mask": f"{image}_mask.png"}])
        (tmp_path / f"{split}.json").write_text(text)
    assert leaks.audit(tmp_path) == {"image in two splits": 1}


def test_a_split_has_several_names(folder: Callable[..., StudyFolder]) -> None:
    """An evaluation whose test cases have no labels says ``val``, whatever the run calls that list."""
    made = folder(settings={"val_split": "Validation"})
    found = leaks.own_list(made.study, made.runs[0], made.runs[0].dataset, "val")
    assert found == {"tested on the validation list": 1}
