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
from monai_vlsm.studies.cells import cells_of
from tests.studies.workers import worker


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


def test_a_test_on_another_dataset(
    place: Path, folder: Callable[..., StudyFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked through against what was trained on, again when lists of either change; one folder is no other."""
    looked: list[tuple[object, ...]] = []
    monkeypatch.setattr(leaks, "audit", lambda *given: looked.append(given) or {leaks.COPIED: len(looked)})
    datasets = {"polyps": None, "again": {"folder": "polyps"}, "moles": {"test_split": "val"}}
    made, data = folder(datasets=datasets), place / "data"
    for number in (1, 2):
        assert leaks.leaks_of(made, "polyps", "moles") == {leaks.COPIED: number}
        assert leaks.leaks_of(made, "polyps", "moles") == {leaks.COPIED: number}
        (data / "moles" / "test.json").write_text("[]")
    assert looked == [(data / "moles", data / "polyps", "val")] * 2
    assert leaks.leaks_of(made, "again", "polyps") == {leaks.COPIED: 3} and looked[2:] == [(data / "polyps",)]


@pytest.mark.parametrize(("zero_shot", "marked"), [(False, True), (True, False)])
def test_copies_mark_the_test_in_which_they_are(
    folder: Callable[..., StudyFolder], zero_shot: bool, marked: bool, quick: None
) -> None:
    """And what is in two splits of the dataset of the training marks the test on that one alone."""
    found = {None: {"patient in two splits": 2}, "moles": {leaks.COPIED: 1}}
    system = {"good": {"bundle": "good", "settings": {"trainable": "none"} if zero_shot else {}}}
    made = folder(
        systems=system, seeds=[41], datasets={"polyps": None, "moles": {"train": False}}, transfer={"polyps": ["moles"]}
    )
    worker(made, leaks=lambda folder, dataset, tested=None: found[tested]).work()
    cells = {cell.place.tested: dict(cell.leaks) for cell in cells_of(made)}
    assert cells == ({"polyps": found[None], "moles": found["moles"]} if marked else {"polyps": {}, "moles": {}})


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
    assert leaks.audit(tmp_path, tmp_path, "test") == {leaks.COPIED: 1}
    assert leaks.audit(tmp_path, tmp_path, "other") == {}
    assert leaks.audit(tmp_path, tmp_path / "none", "test") is None


def test_a_split_has_several_names(folder: Callable[..., StudyFolder]) -> None:
    """An evaluation whose test cases have no labels says ``val``, whatever the run calls that list."""
    made = folder(settings={"val_split": "Validation"})
    found = leaks.own_list(made.study, made.runs[0], made.runs[0].dataset, "val")
    assert found == {"tested on the validation list": 1}
