# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Every dataset from its download to a layout that loads; stopped, repeated, incomplete and wrong runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_vlsm.data import DatasetProblems, load_datalist
from monai_vlsm.data.audit import audit_dataset
from monai_vlsm.data.catalogue import UnknownDatasetError, known_datasets
from monai_vlsm.data.prepare import Archive, ArchiveError, OutputError, PrepareReport, prepare_dataset
from monai_vlsm.data.prepare.layout import Layout
from monai_vlsm.data.prepare.plan import Recipe
from monai_vlsm.data.prepare.run import FAMILIES, REPORT
from monai_vlsm.data.sources import DatasetFolderError
from tests.data.files import save
from tests.data.prepare.downloads import KVASIR, MAKERS, PROMPTS, blob, download, mask_at, photo, write_lists, zipped

NAMES = sorted(MAKERS)


def prepare(folder: Path, name: str, source: Path | None = None) -> PrepareReport:
    return prepare_dataset(name, source or folder / "download", folder / "annotations", folder / "out")


def contents(folder: Path) -> dict[str, bytes]:
    """All files that are not our own notes."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".prepared.jsonl", REPORT)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_every_dataset_has_a_family_and_a_test() -> None:
    assert known_datasets() == sorted(FAMILIES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_result_loads(name: str, tmp_path: Path) -> None:
    download(tmp_path, name)
    report = prepare(tmp_path, name)
    assert (report.status, report.differing, report.faulty, report.notes) == (0, (), (), ())
    for split in ("train", "val", "test"):
        records = load_datalist(tmp_path / "out", split, dataset=name)
        assert len(records) == (3 if name == "camus" else 1)
        assert records[0]["prompt"] == PROMPTS
    audit = audit_dataset(tmp_path / "out", name)
    assert audit.status == 0, audit.findings
    assert audit.card is not None
    assert audit.card.name == name


@pytest.mark.parametrize("name", NAMES)
def test_a_zip_file_gives_the_same(name: str, tmp_path: Path) -> None:
    source, _ = download(tmp_path, name)
    prepare(tmp_path, name)
    first = contents(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "first")
    assert prepare(tmp_path, name, zipped(source)).status == 0
    assert contents(tmp_path / "out") == first


def refuse_to_make(monkeypatch: pytest.MonkeyPatch, allowed: int = 0) -> list[str]:
    """Let recipes fail after a number of them was made, as Ctrl-C does; the names that were made."""
    original, made, lock = Layout.write_all, [], threading.Lock()

    def write_all(self: Layout, recipes: Mapping[str, Recipe], archive: Archive) -> Any:
        def make(name: str, recipe: Recipe) -> bytes:
            with lock:
                if len(made) >= allowed:
                    raise KeyboardInterrupt
                made.append(name)
            return recipe.make()

        changed = {name: replace(recipe, make=partial(make, name, recipe)) for name, recipe in recipes.items()}
        return original(self, changed, archive)

    monkeypatch.setattr(Layout, "write_all", write_all)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_finished_files_are_not_made_again(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    download(tmp_path, name)
    first = prepare(tmp_path, name)
    before = contents(tmp_path / "out")
    refuse_to_make(monkeypatch)
    again = prepare(tmp_path, name)
    assert (again.status, again.written, again.kept) == (0, 0, first.written)
    assert contents(tmp_path / "out") == before


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    download(tmp_path, "kvasir_polyp")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        refuse_to_make(patch, allowed=2)
        prepare(tmp_path, "kvasir_polyp")
    left = contents(tmp_path / "out")
    assert len(left) == 2  # no lists yet, so that nobody takes it for a whole dataset
    images = tmp_path / "out/kvasir_polyp/images"
    images.mkdir(parents=True, exist_ok=True)
    unfinished = next(name for name in KVASIR if not (images / f"{name}.jpg").exists())
    (images / f".{unfinished}.jpg.part").write_bytes(b"half a pict")  # as after kill -9
    with monkeypatch.context() as patch:
        made = refuse_to_make(patch, allowed=99)
        report = prepare(tmp_path, "kvasir_polyp")
    assert (report.status, report.kept, report.written, len(made)) == (0, 2, 7, 4)
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_that_differs_stays(tmp_path: Path) -> None:
    download(tmp_path, "busi")
    prepare(tmp_path, "busi")
    changed = tmp_path / "out/busi/masks/1_benign.png"
    save(blob(11), changed)
    mine = changed.read_bytes()
    report = prepare(tmp_path, "busi")
    assert (report.status, report.differing, report.written) == (1, ("masks/1_benign.png",), 0)
    assert changed.read_bytes() == mine


def test_files_from_elsewhere_are_compared(tmp_path: Path) -> None:
    """Those of equal pixels are kept, although their bytes differ; a list that differs is not replaced."""
    download(tmp_path, "busi")
    there = save(
        mask_at(save(blob(20) | blob(), tmp_path / "m.png")), tmp_path / "out/busi/masks/1_benign.png", optimize=True
    )
    (tmp_path / "out/busi/anns").mkdir()
    (tmp_path / "out/busi/anns/val.json").write_text("[]")
    before = there.read_bytes()
    report = prepare(tmp_path, "busi")
    assert (report.kept, report.differing) == (1, ("anns/val.json",))
    assert there.read_bytes() == before


def test_a_new_download_is_noticed(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "busi")
    prepare(tmp_path, "busi")
    save(photo(9), source / "Dataset_BUSI_with_GT/normal/normal (1).png")
    assert prepare(tmp_path, "busi").differing == ("images/1_normal.png",)


def test_what_is_missing_is_reported(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "isic")
    parts = sorted(path.name for path in source.iterdir())
    assert parts[1] == "ISBI2016_ISIC_Part1_Test_GroundTruth"
    later = tmp_path / "later"
    (source / parts[1]).rename(later)
    report = prepare(tmp_path, "isic")
    names = {split.split: split.missing for split in report.splits}
    assert names == {"train": (), "val": (), "test": ("masks/ISIC_0000003_Segmentation.png",)}
    saved = json.loads((tmp_path / "out/isic" / REPORT).read_text())
    assert (report.status, saved["status"]) == (1, 1)
    assert saved["splits"]["test"]["missing"] == ["masks/ISIC_0000003_Segmentation.png"]
    assert prepare(tmp_path, "isic", later).status == 0  # the other part of the download, on its own


def test_a_split_without_a_list(tmp_path: Path) -> None:
    _, annotations = download(tmp_path, "dfu")
    (annotations / "dfu/val.json").unlink()
    report = prepare(tmp_path, "dfu")
    assert [(split.split, split.records) for split in report.splits] == [("train", 1), ("val", None), ("test", 1)]
    assert report.status == 0


@pytest.mark.parametrize("content", [b"", b"no image", "grey"])
def test_faulty_files_do_not_stop_the_others(content: bytes | str, tmp_path: Path) -> None:
    source, _ = download(tmp_path, "busi")
    mask = source / "Dataset_BUSI_with_GT/malignant/malignant (1)_mask.png"
    if isinstance(content, bytes):
        mask.write_bytes(content)
    else:
        save(np.tile(np.arange(30, dtype=np.uint8) * 8, (20, 1)), mask)
    report = prepare(tmp_path, "busi")
    ((name, reason),) = report.faulty
    assert (report.status, name) == (1, "masks/1_malignant.png")
    assert reason.startswith("Dataset_BUSI_with_GT/malignant/malignant (1)_mask.png: expected a ")
    assert report.splits[1].missing == ("masks/1_malignant.png",)
    assert report.written == 8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", ["busi", "camus", "kvasir_polyp"])
def test_the_download_of_another_dataset(name: str, other: str, tmp_path: Path) -> None:
    if name == other:
        return
    download(tmp_path, name)
    source, _ = download(tmp_path / "other", other)
    match = rf"nothing that the lists of {name} .* expected .*; it looks like the download of {other} \("
    with pytest.raises(ArchiveError, match=match):
        prepare(tmp_path, name, source)
    assert not (tmp_path / "out").exists()


def test_wrong_lists(tmp_path: Path) -> None:
    download(tmp_path, "busi")
    with pytest.raises(
        DatasetFolderError, match=r"no official lists of dfu in .*get them from https://github\.com/naami"
    ):
        prepare(tmp_path, "dfu")
    (tmp_path / "annotations/busi").rename(tmp_path / "annotations/dfu")
    with pytest.raises(DatasetFolderError, match=r"expected the list of dfu, but it looks like that of busi"):
        prepare(tmp_path, "dfu")
    with pytest.raises(UnknownDatasetError, match="unknown dataset 'liver', known: bkai_polyp, busi, camus,"):
        prepare(tmp_path, "liver")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["busi/anns", "busi", "anns", "."])
def test_places_of_the_lists(place: str, tmp_path: Path) -> None:
    _, annotations = download(tmp_path, "busi")
    (annotations / "busi").rename(tmp_path / "lists")
    if place == ".":
        annotations.rmdir()
    (annotations / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "lists").rename(annotations / place)
    assert prepare(tmp_path, "busi").status == 0


def test_names_that_climb_are_refused(tmp_path: Path) -> None:
    source, _ = download(tmp_path, "kvasir_polyp")
    lists = write_lists(
        tmp_path / "annotations", "kvasir_polyp", {"val": [("../../../../tmp/a.jpg", f"{KVASIR[0]}.jpg")]}
    )
    with pytest.raises(DatasetProblems, match=r"expected img_name to be a path without '\.\.'"):
        prepare_dataset("kvasir_polyp", source, lists, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_spaces_unicode_and_percent_signs_in_names(tmp_path: Path) -> None:
    name = "a b_\u00fc\u4e2d_50%25_#1.jpg"
    save(photo(), tmp_path / "my %download/images" / name)
    save(blob(), tmp_path / "my %download/masks" / name)
    write_lists(tmp_path / "annotations", "kvasir_polyp", {"test": [(name, name)]})
    report = prepare(tmp_path, "kvasir_polyp", zipped(tmp_path / "my %download"))
    assert report.status == 0
    assert load_datalist(tmp_path / "out/kvasir_polyp", "test")[0]["name"] == name.removesuffix(".jpg")


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    download(tmp_path, "busi")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*out/busi: .*start again to go on"):
        prepare(tmp_path, "busi")


def test_repeated_records(tmp_path: Path) -> None:
    """The official lists of ISIC and BKAI have such; the file is made once."""
    source, _ = download(tmp_path, "isic")
    name = "ISIC_0000001"
    lists = write_lists(tmp_path / "twice", "isic", {"train": [(f"{name}.jpg", f"{name}_Segmentation.png")] * 2})
    report = prepare_dataset("isic", source, lists, tmp_path / "out")
    assert (report.written, report.splits[0].records, report.splits[0].images) == (3, 2, 1)
