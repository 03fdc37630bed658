# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``data list|show|prepare|check`` as they are typed: what they print, write and return."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_vlsm.commands import data
from monai_vlsm.data.catalogue import dataset_card, known_datasets
from monai_vlsm.errors import UserError
from tests.data.files import save
from tests.data.prepare.downloads import blob, download

DOCS = Path(__file__).parents[2] / "docs" / "datasets.md"
Run = Callable[..., int]


@pytest.fixture
def run() -> Run:
    parser = argparse.ArgumentParser()
    data.add(parser.add_subparsers())

    def typed(*words: object) -> int:
        args = parser.parse_args(["data", *map(str, words)])
        status: int = args.run(args)
        return status

    return typed


def test_list(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "title", "modality", "train", "val", "test", "images", "from"]
    assert [line.split()[0] for line in lines[1:]] == known_datasets()
    assert lines[2].split()[-4:-1] == ["624", "78", "78"]


def test_the_table_in_the_docs(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m monai_vlsm data list --markdown`` prints it anew."""
    run("list", "--markdown")
    assert capsys.readouterr().out in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", known_datasets())
def test_show(name: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", name) == 0
    text = capsys.readouterr().out
    words = " ".join(text.replace("\n- ", "\n").split())
    card = dataset_card(name)
    for part in (card.title, card.images_from, card.prompts_from, card.licence, card.citation, *card.defects):
        assert part in words
    assert max(len(line) for line in text.splitlines()) <= 100 or len(card.images_from) > 80


def test_show_unknown(run: Run) -> None:
    with pytest.raises(UserError, match="unknown dataset 'liver', known: bkai_polyp, busi"):
        run("show", "liver")


def test_prepare_then_check(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, annotations = download(tmp_path, "busi")
    words = ("--source", source, "--annotations", annotations, "--output", tmp_path / "out")
    assert run("prepare", "busi", *words, "--json", tmp_path / "report.json") == 0
    text = capsys.readouterr().out
    assert "9 files written, 0 already there" in text
    assert "\nresult: complete, in " in text
    assert json.loads((tmp_path / "report.json").read_text())["written"] == 9
    assert run("check", tmp_path / "out", "--dataset", "busi", "--json", tmp_path / "found.json") == 0
    assert "result: sound" in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    assert [finding["kind"] for finding in found["findings"]] == ["empty mask"]


def test_an_incomplete_preparation(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, annotations = download(tmp_path, "busi")
    (source / "Dataset_BUSI_with_GT/normal/normal (1).png").unlink()
    (source / "Dataset_BUSI_with_GT/benign/benign (1)_mask.png").write_bytes(b"x")
    save(blob(9), tmp_path / "out/busi/masks/1_malignant.png")
    assert run("prepare", "busi", "--source", source, "--annotations", annotations, "--output", tmp_path / "out") == 1
    text = capsys.readouterr().out
    assert "missing in the download: 2\n  masks/1_benign.png\n  images/1_normal.png" in text
    assert "there with other content, left as they are: 1\n  masks/1_malignant.png" in text
    assert (
        "could not be made: 1\n  masks/1_benign.png: Dataset_BUSI_with_GT/benign/benign (1)_mask.png: expected" in text
    )
    assert text.splitlines()[2:6] == [
        "split  records  images  masks   missing",
        "train        1  1 of 1  0 of 1        1",
        "val          1  1 of 1  1 of 1        0",
        "test         1  0 of 1  1 of 1        1",
    ]
    assert "\nresult: not complete, in " in text


@pytest.mark.parametrize(("fault", "status"), [("copy", 1), ("missing", 2), ("folder", 2)])
def test_exit_status_of_check(
    fault: str, status: int, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, annotations = download(tmp_path, "dfu")
    run("prepare", "dfu", "--source", source, "--annotations", annotations, "--output", tmp_path)
    images = tmp_path / "dfu/images"
    if fault == "copy":
        (images / "100001.jpg").write_bytes((images / "100002.jpg").read_bytes())
    elif fault == "missing":
        (images / "100001.jpg").unlink()
    capsys.readouterr()
    assert run("check", source if fault == "folder" else tmp_path / "dfu") == status
    shown = capsys.readouterr()
    if fault == "folder":
        assert "holds no dataset" in shown.err
        assert "it looks like dfu (DFU-2022)" in shown.err
    else:
        assert {1: "result: usable, with warnings", 2: "result: not usable as it is"}[status] in shown.out


def test_help_states_the_rules(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("check", "--help")
    text = capsys.readouterr().out
    assert "exit status: 0 sound (there may be notes), 1 warnings, 2 errors" in text
    assert "stray pixels: components of at most 0.01 % of the image beside a larger one" in text
    with pytest.raises(SystemExit):
        run("prepare", "--help")
    assert "exit status: 0 all that the lists name is there" in capsys.readouterr().out


def test_json_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    source, annotations = download(tmp_path, "dfu")
    words = ("--source", source, "--annotations", annotations, "--output", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        run("prepare", "dfu", *words, "--json", tmp_path / "file/report.json")
    with pytest.raises(UserError, match="--json must be a file, got the folder"):
        run("prepare", "dfu", *words, "--json", tmp_path)
    assert not (tmp_path / "dfu").exists()  # refused before the work
