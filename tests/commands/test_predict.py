# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import torch

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.commands import main
from monai_vlsm.networks import CLIPSegNet, TargetUNet
from tests.data.files import ramp, save
from tests.serving.images import write_images, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)  # whatever other tests drew before
    network = CLIPSegNet("clipseg-mini", DenseAdaptation("vl", width=4))
    return str(write_model(network, tmp_path_factory.mktemp("model") / "model.pt"))


def predict(*words: str | Path) -> int:
    return main(["predict", *map(str, words)])


def test_folder(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, out = write_images(tmp_path / "images"), tmp_path / "out"
    words = ["--prompt", "brain", "white matter", "--adapters", model, "--device", "cpu", "--window", "0", "1"]
    assert predict(images, *words, "--output", out) == 0
    captured = capsys.readouterr()
    assert "3 images: masks in" in captured.out
    rows = list(csv.DictReader((out / "areas.csv").open(encoding="utf-8")))
    assert [row["name"] for row in rows] == ["square", "square", "volume", "volume", "wide", "wide"]
    assert [bool(row["volume_mm3"]) for row in rows] == [False, False, True, True, False, False]
    assert {path.name for path in (out / "overlays").iterdir()} == {"square.png", "volume.png", "wide.png"}
    assert {path.name for path in out.iterdir() if "wide" in path.name} == {
        "wide_brain.png",
        "wide_white_matter.png",
        "wide_labels.png",
    }


@pytest.mark.parametrize(("wanted", "drawn"), [("none", []), ("2", ["square.png", "wide.png"]), ("0", [])])
def test_overlays(
    model: str, tmp_path: Path, wanted: str, drawn: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = write_images(tmp_path / "images"), tmp_path / "out"
    assert predict(images, "--prompt", "brain", "--adapters", model, "--output", out, "--overlays", wanted) == 0
    assert sorted(path.name for path in out.glob("overlays/*")) == drawn
    assert ("overlays in" in capsys.readouterr().out) is bool(drawn)


@pytest.mark.parametrize("wanted", ["some", "-1", "1.5", "None"])
def test_other_overlays(model: str, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict("x.png", "--prompt", "brain", "--adapters", model, f"--overlays={wanted}")
    assert f"must be all, none or a number, got '{wanted}'" in capsys.readouterr().err


def test_existence_threshold_empties(model: str, tmp_path: Path) -> None:
    image = write_images(tmp_path / "images") / "wide.png"
    words = ["--prompt", "brain", "--adapters", model, "--existence-threshold", "1", "--output", tmp_path / "out"]
    assert predict(image, *words) == 0
    assert [row["pixels"] for row in csv.DictReader((tmp_path / "out" / "areas.csv").open())] == ["0"]


@pytest.mark.parametrize(
    ("image", "words", "message"),
    [
        ("nowhere.png", [], r"no such file or folder: .*nowhere\.png"),
        ("empty", [], r"no image in .*empty\nit is empty"),
        ("faulty", [], r"2 problems in the data:\n.*first\.png.*\n.*second\.png"),
        ("images", ["--prompt", " "], "prompt must be a text"),
        ("images", ["--adapters", "nowhere.pt"], "no model file at nowhere.pt"),
        ("images", ["--adapters", "notes.txt"], "notes.txt is not a model file of monai_vlsm"),
        ("images", ["--backbone", "nowhere"], "unknown backbone 'nowhere'"),
        ("images", ["--backbone", "CIDAS/clipseg-rd64-refined"], "CIDAS/clipseg-rd64-refined"),
        ("images", ["--device", "cuda:99"], "no device 'cuda:99' here"),
        ("images", ["--window", "5", "2"], r"--window: .* LOW below HIGH, .* got \[5, 2\]"),
        ("images", ["--output", "images"], "--output must be another folder"),
        ("images/a.png", ["--output", "images"], "--output must be another folder"),
        ("images", ["--uncertainty", "prompts"], "needs several prompts for the same thing, got one only"),
        ("images", ["--uncertainty", "dropout"], "uncertainty from dropout: nothing in this network draws at random"),
        (
            "images",
            ["--uncertainty", "flips", "--prompt", "left upper lobe"],
            "no prompt allows one: 'left upper lobe'",
        ),
    ],
)
def test_wrong_input_writes_nothing(
    image: str,
    words: list[str],
    message: str,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("empty", "faulty"):
        Path(name).mkdir()
    for name in ("faulty/first.png", "faulty/second.png", "notes.txt"):
        Path(name).write_text("no image")
    save(ramp(), Path("images/a.png"))
    before = sorted(tmp_path.rglob("*"))
    assert predict(image, "--prompt", "brain", "--adapters", model, "--output", "out", *words) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.search(message, error[error.index("error: ") :]), error
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("words", [["--threshold", "2"], ["--existence-threshold", "-1"], ["--threshold", "high"]])
def test_thresholds_out_of_range(words: list[str], model: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict("a.png", "--prompt", "brain", "--adapters", model, *words)
    assert "threshold" in capsys.readouterr().err


def test_a_word_that_a_unet_does_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = write_model(TargetUNet("unet-mini", ["brain"], image_size=64), tmp_path / "model.pt")
    image = save(ramp(), tmp_path / "images" / "a.png")
    assert predict(image, "--prompt", "liver", "--adapters", model, "--output", tmp_path / "out") == 1
    assert "'liver' names none of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--uncertainty", "magic"], "invalid choice: 'magic'"),
        (["--draws", "1"], "must be a whole number from 2, got '1'"),
        (["--draws", "many"], "must be a whole number from 2, got 'many'"),
    ],
)
def test_other_uncertainties(words: list[str], message: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict("a.png", "--prompt", "brain", "--adapters", model, *words)
    assert message in capsys.readouterr().err


def test_the_command_knows_all_uncertainties() -> None:
    from monai_vlsm.commands.predict import METHODS
    from monai_vlsm.uncertainty import METHODS as KNOWN

    assert METHODS == KNOWN
