# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders of results: files of others are never lost, and own ones of before do not stay."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from monai_vlsm.io import WriteError
from monai_vlsm.outputs import MANIFEST, GrowingTable, NotOursError, Outputs
from monai_vlsm.serving.records import OutputFolderError, require_elsewhere
from tests.folders import contents, visible


def write(folder: Path, name: str, text: str, kind: str = "predictions") -> None:
    with Outputs(folder, kind).writing(name) as path:
        path.write_text(text)


def test_own_files_are_replaced(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "one")
    write(tmp_path, "a.png", "two", kind="other")
    write(tmp_path, "sub/a.png", "one")
    assert contents(tmp_path) == {
        "a.png": b"two",
        "sub/a.png": b"one",
        MANIFEST: (tmp_path / MANIFEST).read_bytes(),
    }


@pytest.mark.parametrize("how", ["another's", "changed", "link", "broken link", "folder"])
def test_files_of_others_stay(how: str, tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "out" / "a.png", tmp_path / "elsewhere.png"
    elsewhere.write_text("of the user")
    write(tmp_path / "out", "b.png", "ours")
    if how == "changed":
        write(tmp_path / "out", "a.png", "ours")
    if how in ("another's", "changed"):
        file.write_text("of the user")
    elif how == "folder":
        file.mkdir()
    else:
        file.symlink_to(elsewhere if how == "link" else tmp_path / "nowhere.png")
    before = contents(tmp_path)
    with pytest.raises(NotOursError, match=r"a\.png, which monai_vlsm did not write or which was changed since"):
        write(tmp_path / "out", "a.png", "new")
    with pytest.raises(NotOursError):
        Outputs(tmp_path / "out", "predictions").require_free(["b.png", "c.png", "a.png"])
    assert contents(tmp_path) == before


def test_the_case_of_a_name_does_not_hide_that_a_file_is_ours(tmp_path: Path) -> None:
    write(tmp_path, "Scan.png", "one")
    Path(tmp_path / "Scan.png").rename(tmp_path / "scan.png")  # as a system shows it that ignores the case
    write(tmp_path, "scan.png", "two")
    assert (tmp_path / "scan.png").read_text() == "two"


def test_clear_removes_what_is_ours_and_of_this_kind(tmp_path: Path) -> None:
    write(tmp_path, "old.png", "1")
    write(tmp_path, "changed.png", "1")
    write(tmp_path, "kept.png", "1")
    write(tmp_path, "scores.csv", "1", kind="scores")
    (tmp_path / "changed.png").write_text("corrected by hand")
    (tmp_path / "of the user.png").write_text("2")
    outputs = Outputs(tmp_path, "predictions")
    assert outputs.clear(keep=["kept.png"]) == [tmp_path / "changed.png"]
    assert visible(tmp_path) == {"changed.png", "kept.png", "scores.csv", "of the user.png"}
    assert Outputs(tmp_path, "predictions").clear() == []
    assert visible(tmp_path) == {"changed.png", "scores.csv", "of the user.png"}


def test_two_that_write_to_one_folder_know_of_each_other(tmp_path: Path) -> None:
    masks, table = Outputs(tmp_path, "predictions"), GrowingTable(Outputs(tmp_path, "predictions"), "t.csv", ("name",))
    for name in ("a", "b"):
        with masks.writing(f"{name}.png") as path:
            path.write_text(name)
        table.add([{"name": name}])
    table.close()
    Outputs(tmp_path, "predictions").clear()
    assert visible(tmp_path) == set()


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "one")
    with pytest.raises(KeyboardInterrupt), Outputs(tmp_path, "predictions").writing("a.png") as path:
        path.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.png").read_text() == "one"
    write(tmp_path, "a.png", "two")


def test_killed_between_list_and_file(tmp_path: Path) -> None:
    """The list names the new content before it takes the place of the old one; both are ours."""
    write(tmp_path, "a.png", "one")
    with (tmp_path / MANIFEST).open("a") as file:
        file.write(json.dumps({"file": "a.png", "digest": "of what never came", "kind": "predictions"}) + "\n")
        file.write('{"file": "b.p')
    write(tmp_path, "a.png", "two")
    assert (tmp_path / "a.png").read_text() == "two"


def test_a_list_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "of the user")
    line = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / "out").mkdir()
    names = ["../a.png", str(tmp_path / "a.png")]
    (tmp_path / "out" / MANIFEST).write_text("".join(json.dumps({**line, "file": name}) + "\n" for name in names))
    Outputs(tmp_path / "out", "predictions").clear()
    assert (tmp_path / "a.png").read_text() == "of the user"


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.open(newline="", encoding="utf-8")))


def test_rows_are_on_the_disk_at_once(tmp_path: Path) -> None:
    table = GrowingTable(Outputs(tmp_path, "predictions"), "t.csv", ("name", "prompt"))
    table.add([{"name": "a", "prompt": "=1+1"}])
    assert rows(tmp_path / "t.csv") == [["name", "prompt"], ["a", "'=1+1"]]
    table.add([{"name": "b", "prompt": "x, y\nz"}])
    assert rows(tmp_path / "t.csv")[1:] == [["a", "'=1+1"], ["b", "x, y\nz"]]


@pytest.mark.parametrize("closed", [True, False])
def test_the_table_of_before_is_replaced(closed: bool, tmp_path: Path) -> None:
    """Also that of a run that was killed."""
    for name in ("a", "b"):
        table = GrowingTable(Outputs(tmp_path, "predictions"), "t.csv", ("name",))
        table.add([{"name": name}])
        table.add([{"name": "more"}])
        if closed:
            table.close()
    assert rows(tmp_path / "t.csv") == [["name"], ["b"], ["more"]]


def test_a_table_that_was_closed_and_changed_is_somebody_elses(tmp_path: Path) -> None:
    for name in ("a", "b"):
        table = GrowingTable(Outputs(tmp_path, "predictions"), "t.csv", ("name",))
        if name == "b":
            with (tmp_path / "t.csv").open("a") as file:
                file.write("a remark\n")
            with pytest.raises(NotOursError):
                table.add([{"name": name}])
            return
        table.add([{"name": name}])
        table.close()


@pytest.mark.parametrize("work", ["require_free", "clear", "writing"])
def test_a_folder_that_cannot_be_used_is_told_plainly(
    work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.png", "one")

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    outputs = Outputs(tmp_path, "predictions")
    monkeypatch.setattr("monai_vlsm.outputs.file_digest", denied)
    with pytest.raises(WriteError, match=r"cannot use the folder .*: Permission denied"):
        if work == "writing":
            with outputs.writing("a.png"):
                pass
        else:
            getattr(outputs, work)(*([["a.png"]] if work == "require_free" else []))
    assert (tmp_path / "a.png").read_text() == "one"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full is needed")
def test_no_room_for_a_row(tmp_path: Path) -> None:
    table = GrowingTable(Outputs(tmp_path, "predictions"), "t.csv", ("name",))
    table.add([{"name": "a"}])
    (tmp_path / "t.csv").unlink()
    (tmp_path / "t.csv").symlink_to("/dev/full")
    with pytest.raises(WriteError, match=r"t\.csv in .*: No space left"):
        table.add([{"name": "b"}])


@pytest.mark.parametrize("output", ["images", "images/", "images/../images", "link", "images/sub/..", "of the link"])
def test_results_do_not_go_among_the_images(output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("images/sub", "of the link"):
        Path(folder).mkdir(parents=True)
    Path("link").symlink_to("images")
    Path("of the link/b.png").touch()
    Path("images/a.png").touch()
    Path("images/b.png").symlink_to(tmp_path / "of the link" / "b.png")
    for images in (["images/a.png", "images/b.png"], [tmp_path / "link" / "a.png", tmp_path / "images" / "b.png"]):
        with pytest.raises(OutputFolderError, match="--output must be another folder than that of the images"):
            require_elsewhere(["new", output], images, "--output")


@pytest.mark.parametrize("output", ["images/sub", "images/new", ".", "images/../new"])
def test_folders_below_and_above_the_images_are_others(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images/sub").mkdir(parents=True)
    require_elsewhere([output, f"{output}/overlays"], ["images/a.png"])
