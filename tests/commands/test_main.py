# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: help without heavy imports, wrong words, interruption."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from monai_vlsm import commands
from monai_vlsm.checkpoints import SETTINGS_KEY
from monai_vlsm.commands import main
from monai_vlsm.commands.shipped import finding_rules, shipped
from monai_vlsm.data.catalogue import known_datasets
from monai_vlsm.data.findings import BOX_TOLERANCE, KINDS
from monai_vlsm.prompts import built_in_recipes
from monai_vlsm.samples import sample_dir

HELP = """
import sys
from unittest.mock import patch
sys.argv, sys.orig_argv = ["-m"], ["python", "-m", "monai_vlsm"]
from monai_vlsm.commands import main
groups = {
    "data": ["list", "show", "prepare", "check", "prompts"],
    "adapters": ["list", "info", "check"],
    "cache": ["info", "clear"],
}
alone = ["models", "bundle", "report", "predict", "export", "merge", "push", "pull", "label"]
for words in [[], *([one] for one in [*alone, *groups]), *([one, two] for one in groups for two in groups[one])]:
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert end.code == 0, words
heavy = {"torch", "monai", "numpy", "transformers", "PIL", "matplotlib", "scipy"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


def test_no_help_imports_torch() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: python -m monai_vlsm") == 23


def test_the_package_as_a_command_imports_no_kind() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "monai_vlsm", "data", "list", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "monai_vlsm.commands" in done.stderr
    assert "torch" not in done.stderr
    assert "| monai\n" not in done.stderr


def test_the_package_gives_its_kinds_when_asked() -> None:
    code = "import sys; sys.argv, sys.orig_argv = ['-m'], ['python', '-m', 'monai_vlsm']; import monai_vlsm as m; "
    code += "assert 'monai_vlsm.prompts' not in sys.modules; print(m.prompts.compose, hasattr(m, 'nothing'))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("<function compose") and done.stdout.endswith(" False\n")


def test_help_knows_what_the_package_has() -> None:
    assert shipped("data/cards") == known_datasets()
    assert shipped("prompts/recipes") == built_in_recipes()
    assert finding_rules().splitlines() == [f"  {one}: {kind}: {rule}" for kind, (one, rule) in KINDS.items()]
    assert f"more than {BOX_TOLERANCE} pixels" in KINDS["box"][1]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["predct"],
        ["--foo"],
        ["predict"],
        ["predict", "x.png", "--prompt", "--adapters", "m.pt"],
        ["predict", "x.png", "--prompt", "a", "--adapters", "m.pt", "--threshold", "2"],
        ["predict", "x.png", "--prompt", "a", "--adapters", "m.pt", "--threshold", "nan"],
        ["predict", "x.png", "--prompt", "a", "--adapters", "m.pt", "--threshold", "half"],
        ["predict", "x.png", "--prompt", "a", "--adapters", "m.pt", "--existence-threshold", "-1"],
        ["predict", "x.png", "--prompt", "a", "--adapters", "m.pt", "--window"],
        ["predict", "x.png", "--prompt", "a", "--adapters", "m.pt", "--device"],
        ["predict", "x.png", "--prompt", "a", "--adapters", "m.pt", "--outptu", "x"],
        ["data"],
        ["data", "foo"],
        ["data", "show"],
        ["data", "prepare", "busi"],
        ["data", "prompts", "folder"],
        ["adapters"],
        ["adapters", "info"],
        ["export", "m.pt"],
        ["export", "m.pt", "--output", "x", "--format", "tflite"],
        ["export", "m.pt", "--output", "x", "--form", "text"],
        ["export", "m.pt", "--output", "x", "--opset", "new"],
        ["export", "m.pt", "--output", "x", "--prompts"],
        ["report"],
        ["push", "m.pt"],
        ["pull", "a/b"],
        ["label"],
        ["cache"],
        ["cache", "empty"],
    ],
)
def test_wrong_words(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(words)
    text = capsys.readouterr().err
    assert end.value.code == 2
    assert text.startswith("error: ") and text.count("\n") == 1 and "--help" in text and "_share" not in text
    assert not list(tmp_path.iterdir())


LONG = "x" * 300


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("data show nothing", "unknown dataset 'nothing'"),
        ("data check nowhere", "no such dataset folder: nowhere"),
        ("data check empty", "holds no dataset"),
        ("data check file.txt", "file.txt"),
        ("data check empty --json empty", "--json must be a file, got the folder empty"),
        ("data prepare nothing --source x --annotations y --output z", "unknown dataset 'nothing'"),
        ("data prepare busi --source nowhere --annotations empty --output z", "no official lists of busi in empty"),
        ("data prompts empty --recipe nothing", "no such recipe file: nothing"),
        ("data prompts empty --recipe empty", "no such recipe file: empty"),
        ("data prompts empty --recipe deep/train.json", "expected YAML"),
        ("data prompts empty --recipe file.txt", "the recipe must be a table"),
        ("data prompts empty --recipe polyp --vqa nothing", "no model 'nothing' for --vqa"),
        ("report nowhere", "nowhere does not exist"),
        ("report file.txt", "file.txt is a file"),
        ("predict nowhere --prompt a --adapters bad.pt", "no such file or folder: nowhere"),
        ("predict scan.png --prompt a --adapters none.pt", "no model file at none.pt"),
        ("predict scan.png --prompt a --adapters bad.pt", "bad.pt is not a model file"),
        ("predict scan.png --prompt a --adapters empty", "it is a folder"),
        (
            "predict scan.png --prompt a --adapters bad.pt --window 5 1",
            "a list of three of these, got [5, 1]",
        ),
        ("predict scan.png --prompt a --adapters bad.pt --window nan 1", "got ['nan', 1]"),
        ("predict scan.png --prompt a --adapters bad.pt --window chest", "a name (abdomen, bone, brain, "),
        ("predict scan.png --prompt a --adapters bad.pt --window lung bone", "got ['lung', 'bone']"),
        ("predict scan.png --prompt a --adapters bad.pt --device gpu", "gpu"),
        ("predict scan.png --prompt a --adapters bad.pt --device cuda:99", "no device 'cuda:99' here"),
        ("predict scan.png --prompt a --adapters bad.pt --device meta", "no device 'meta' here"),
        ("predict scan.png --prompt a --adapters bad.pt --output file.txt", "file.txt"),
        ("adapters list nowhere", "no folder nowhere"),
        (f"adapters info {LONG}", "File name too long"),
        (f"bundle unet --output {LONG}", "File name too long"),
        ("data check ~no_such_user/x", "no such dataset folder: ~no_such_user/x"),
        ("adapters info nowhere", "no model file at nowhere"),
        ("adapters info bad.pt", "bad.pt is not a model file"),
        ("adapters check bad.pt", "bad.pt is not a model file"),
        ("adapters info new.pt", "new.pt is a model file of format 4, and this version of monai_vlsm reads 1 to 3. Up"),
        ("predict scan.png --prompt a --adapters new.pt", "new.pt is a model file of format 4"),
        ("merge new.pt --output o", "new.pt is a model file of format 4"),
        ("label --output o --adapters new.pt", "new.pt is a model file of format 4"),
        ("export none.pt --output o", "no model file at none.pt"),
        ("export bad.pt --output o", "bad.pt is not a model file"),
        ("push none.pt a/b --preview p", "no model file at none.pt"),
        ("push bad.pt a/b --preview p", "bad.pt is not a model file"),
        ("pull name --output o", "'name' has no owner"),
        ("pull a/b --output file.txt", "file.txt is a file"),
        ("label --output file.txt", "file.txt is in use"),
        ("label --output o --bundle empty", "is no trained bundle"),
        ("label --output o --adapters bad.pt", "bad.pt"),
        ("cache info file.txt", "file.txt is no folder"),
        ("cache clear file.txt", "file.txt is no folder"),
    ],
)
def test_wrong_arguments(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "deep"):
        Path(folder).mkdir()
    Path("file.txt").write_text("hello")
    Path("bad.pt").write_bytes(b"nonsense")
    torch.save({SETTINGS_KEY: {"format": 4, "weights": [torch.ones(1)]}}, "new.pt")
    Path("deep", "train.json").write_text("[" * 100_000)
    shutil.copy(next(sample_dir().glob("images/*.png")), "scan.png")
    before = sorted(tmp_path.rglob("*"))
    assert main(words.split()) in (1, 2)
    text = capsys.readouterr().err
    error = text[text.index("error: ") :].replace(":\n  ", ": ", 1)  # a list of problems with one entry
    assert message in error and error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_commands_end_in_one_line(
    number: signal.Signals, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: argparse.Namespace) -> int:
        signal.raise_signal(number)
        time.sleep(1)  # where a handler that only takes note would let the command go on
        return 0

    def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        subparsers.add_parser("wait").set_defaults(run=run)

    monkeypatch.setattr(commands.cache, "add", add)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit SIG_IGN
    try:
        with pytest.raises(SystemExit) as end:
            main(["wait"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert end.value.code == status
    assert capsys.readouterr().err == "\nInterrupted.\n"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
