# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole federations in NVFlare's simulator, and what is refused before one starts."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from monai_vlsm.checkpoints import read
from monai_vlsm.checkpoints.content import FORMAT
from monai_vlsm.commands import main
from monai_vlsm.federated import FederatedError, adapter_recipe, outgoing, simulate
from monai_vlsm.federated.simulate import LOST
from monai_vlsm.io import read_rows
from tests import tiny
from tests.bundles.dataset import write_dataset

BUNDLE = Path(__file__).parents[2] / "bundles" / "vlsm_dense"
needs_nvflare = pytest.mark.skipif(
    importlib.util.find_spec("nvflare") is None, reason="NVFlare is not installed: pip install 'monai_vlsm[federated]'"
)


def small(backbone: Path) -> dict[str, Any]:
    settings = {"backbone": str(backbone), "adapter_width": 4, "batch_size": 4, "num_workers": 0, "amp": False}
    return settings | {"device": "cpu", "cache": "off"}


@pytest.mark.slow
@needs_nvflare
def test_sites_that_do_not_fit_say_so_and_the_others_train(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("one", "three", "none", "base", "kind", "size", "format", "weights", "scores")
    sites = {name: write_dataset(tmp_path / name, train=6 if name == "three" else 2, val=1) for name in names}
    (sites["none"] / "train.json").write_text(json.dumps([]))
    own: dict[str, dict[str, Any]] = {
        "base": {"backbone": str(tiny.write_backbone(tmp_path / "other", seed=5))},
        "kind": {"adapter_width": 8},
        "size": {"image_size": 64},
    }
    odd = f"{sys.executable} {Path(__file__).with_name('odd_site.py')}"
    monkeypatch.setattr(sys.modules[simulate.__module__], "sys", SimpleNamespace(executable=odd))
    output = tmp_path / "out"
    with none_left():
        rows = simulate(BUNDLE, sites, output, settings=small(backbone), site_settings=own, rounds=1)
    found = {row["site"]: row.get("refused", row.get("images")) for row in rows}
    assert [found[name] for name in ("one", "three", "weights", "scores")] == [2, 6, 2, 2]  # two of which say nothing
    log = (output / "workspace" / "federated" / "server" / "log.txt").read_text()
    told = {
        "base": "the base differs: the federation has ",
        "kind": "adaptation differs: the federation has {'type': 'DenseAdaptation', 'encoders': 'vl', 'width': 4",
        "size": "the image size differs: the federation has 32, this site has 64",
        "format": f"the format number of model.pt differs: the federation has {FORMAT}, this site has 99",
    }
    for name, line in told.items():
        assert line in found[name] and "\n" not in found[name]
        assert f"site {name}, round 0: {line}" in log
        assert not (output / "sites" / name / "round-0").exists()
    assert "1 problem in the data" in found["none"] and "site none, round 0: it cannot train" in log
    assert str(sites["none"]) not in log.partition("site none, round 0: ")[2].partition("\n")[0]
    for name, line in (("weights", "with 32 that are no numbers"), ("scores", "is nan, which is no number")):
        said = log.partition(f"site {name}, round 0: ")[2].partition("\n")[0]
        assert said.endswith(f"{line}; it does not count in this round")
    is_average(output / "model.pt", [(2, output / "sites" / "one"), (6, output / "sites" / "three")], 0)


@pytest.mark.slow
@needs_nvflare
def test_a_site_that_is_killed_is_back_in_the_next_round_and_all_is_compared(
    backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {name: write_dataset(tmp_path / name, train) for name, train in (("one", 2), ("three", 6), ("all", 8))}
    (places["three"] / "test.json").write_text((places["three"] / "val.json").read_text())
    output = tmp_path / "out"
    words = ["federated", "--bundle", str(BUNDLE), "--output", str(output), "--rounds", "2", "--pooled"]
    words += [str(places["all"]), "--site", f"one={places['one']}", "--site", f"three={places['three']}"]
    words += [word for name, value in small(backbone).items() for word in ("--set", f"{name}={value}")]
    killed: list[int] = []
    threading.Thread(target=kill_in_round_0, args=(output / "sites" / "one", killed), daemon=True).start()
    with none_left():
        assert main(words) == 0
    assert len(killed) == 1
    rows = read_rows(output / "rounds.csv")
    assert [(row["site"], row["round"], row["images"]) for row in rows] == [
        ("one", "0", ""),
        ("one", "1", "2"),
        ("three", "0", "6"),
        ("three", "1", "6"),
    ]
    assert rows[0]["refused"] == LOST
    is_average(output / "model.pt", [(2, output / "sites" / "one"), (6, output / "sites" / "three")], 1)
    scores = read_rows(output / "evaluation.csv")
    assert {(row["part"], row["site"]) for row in scores} == {
        *(("val", name) for name in ("one", "three", "(all)")),
        ("test", "three"),
    }
    models = ["federated", "pooled", "one alone", "three alone"]
    assert [row["model"] for row in scores if row["part"] == "test"] == models
    assert {row["against"] for row in scores if row["model"] != "federated"} == {"federated"}
    printed = capsys.readouterr().out
    assert f"not in this round: {LOST}" in printed and "Dice, images of each site: test" in printed


def kill_in_round_0(site: Path, killed: list[int]) -> None:
    """As soon as a training has begun, end its process as a power failure would."""
    end = time.monotonic() + 300
    while not (site / "round-0").is_dir() and time.monotonic() < end:
        time.sleep(0.02)
    for child in psutil.Process().children(recursive=True):
        words = _words(child)
        if "monai_vlsm.federated.client" in words and str(site) in words:
            child.kill()
            killed.append(child.pid)


def is_average(model: Path, sites: list[tuple[int, Path]], number: int) -> None:
    """Whether a model is what the sites ended a round with, each counted by its images."""
    ends = [(images, ended(site, number)) for images, site in sites]
    total = sum(images for images, _ in ends)
    for name, value in outgoing(read(model)).items():
        exact = sum(images * end[name].astype(np.float64) for images, end in ends) / total
        assert np.array_equal(value, exact.astype(np.float32))


def ended(site: Path, number: int) -> dict[str, Any]:
    state = torch.load(site / f"round-{number}" / "last.pt", weights_only=True)["objects"]["model"]
    return dict(outgoing(state))


@contextmanager
def none_left() -> Iterator[None]:
    """Nothing of the simulator outlives it."""
    try:
        yield
    finally:
        left = [child.pid for child in psutil.Process().children(recursive=True) if "nvflare" in _words(child)]
        for pid in left:
            psutil.Process(pid).kill()
    assert not left


def _words(process: Any) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.parametrize(
    ("names", "more", "line"),
    [
        (["alone"], {}, "expected two or more sites and numbers from 1, got 1, 4 and 1"),
        (["a", "b"], {"rounds": 0}, "got 2, 0 and 1"),
        (["a", "b/../c"], {}, "a site cannot be called 'b/../c': its name is that of a folder"),
        (["server", "b"], {}, "a site cannot be called 'server'"),
        (["", "b"], {}, "a site cannot be called ''"),
        (["north", "North"], {}, "two of the sites north, North have the same name"),
        (["a", "b"], {"site_settings": {"c": {"image_size": 64}}}, "settings of the site c, which is none of a, b"),
    ],
)
@needs_nvflare
def test_what_is_no_federation(names: list[str], more: dict[str, Any], line: str, tmp_path: Path) -> None:
    sites, output = dict.fromkeys(names, tmp_path), tmp_path / "out"
    with pytest.raises(FederatedError, match=re.escape(line)):
        adapter_recipe(BUNDLE, sites, tmp_path / "model.pt", output, **more)
    with pytest.raises(FederatedError, match=re.escape(line)):
        simulate(BUNDLE, sites, output, **more)
    assert not output.exists()


def test_without_nvflare_the_command_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    words = ["--bundle", str(BUNDLE), "--site", "a=x", "--site", "b=y", "--output", str(tmp_path / "out")]
    assert main(["federated", *words]) == 1
    assert "error: this needs NVFlare: pip install 'monai_vlsm[federated]'" in capsys.readouterr().err


@needs_nvflare
@pytest.mark.parametrize("pooled", [False, True])
def test_wrong_words_are_one_line(pooled: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is compared at the end: no bundle is built before the words are looked at."""
    for name in ("a", "b", "used/there", "half/configs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "half" / "configs" / "train.json").touch()
    (tmp_path / "file").touch()

    def line(bundle: Path, output: str, *sites: str) -> str:
        words = ["federated", "--bundle", str(bundle), "--output", str(tmp_path / output)]
        words += [word for site in sites for word in ("--site", site)]
        assert main(words + (["--pooled", str(tmp_path / "all")] if pooled else [])) == 1
        assert not (tmp_path / "out").exists()
        (said,) = capsys.readouterr().err.splitlines()
        return str(said)

    a, b, nowhere = f"a={tmp_path / 'a'}", f"b={tmp_path / 'b'}", f"b={tmp_path / 'nowhere'}"
    assert "expected NAME=DIR and NAME=VALUE" in line(BUNDLE, "out", "a")
    assert "two sites have the same name" in line(BUNDLE, "out", a, nowhere.replace("b=", "a="))
    assert f"{tmp_path} is no bundle: it has no configs/train.json" in line(tmp_path, "out", a, b)
    assert "it has no configs/evaluate.json" in line(tmp_path / "half", "out", a, b)
    assert f"{tmp_path / 'used'} is not empty; give a new folder" in line(BUNDLE, "used", a, b)
    assert f"{tmp_path / 'file'} is not empty; give a new folder" in line(BUNDLE, "file", a, b)
    assert f"site b: {tmp_path / 'nowhere'} is not there" in line(BUNDLE, "out", a, nowhere)
    if pooled:
        assert f"no such dataset folder: {tmp_path / 'all'}" in line(BUNDLE, "out", a, b)
