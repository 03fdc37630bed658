# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A whole federation in NVFlare's simulator, and what is refused before it starts."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from monai_vlsm.checkpoints import read
from monai_vlsm.commands import main
from monai_vlsm.federated import FederatedError, adapter_recipe, outgoing, simulate
from tests.bundles.dataset import write_dataset

BUNDLE = Path(__file__).parents[2] / "bundles" / "vlsm_dense"
needs_nvflare = pytest.mark.skipif(importlib.util.find_spec("nvflare") is None, reason="NVFlare is not installed")


@pytest.mark.slow
@needs_nvflare
def test_three_sites_one_of_which_has_no_images(backbone: Path, tmp_path: Path) -> None:
    sites = {"one": write_dataset(tmp_path / "one", train=2), "three": write_dataset(tmp_path / "three", train=6)}
    empty = write_dataset(tmp_path / "none")
    (empty / "train.json").write_text(json.dumps([]))
    settings = {"backbone": str(backbone), "adapter_width": 4, "batch_size": 4, "num_workers": 0, "amp": False}
    settings |= {"device": "cpu", "cache": "off"}
    output = tmp_path / "out"
    try:
        rows = simulate(BUNDLE, {**sites, "none": empty}, output, settings=settings, rounds=1)
    finally:
        left = [child.pid for child in psutil.Process().children(recursive=True) if "nvflare" in _words(child)]
        for pid in left:
            psutil.Process(pid).kill()
    assert not left
    assert [(row["site"], row.get("images")) for row in rows] == [("one", 2), ("three", 6), ("none", None)]
    assert "1 problem in the data" in rows[-1]["refused"]
    first, third = (ended(output / "sites" / name) for name in sites)
    for name, value in outgoing(read(output / "model.pt")).items():
        assert np.allclose(value, 0.25 * first[name] + 0.75 * third[name], rtol=0, atol=1e-6)


def ended(site: Path) -> dict[str, Any]:
    state = torch.load(site / "round-0" / "last.pt", weights_only=True)["objects"]["model"]
    return dict(outgoing(state))


def _words(process: Any) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@needs_nvflare
def test_a_federation_has_two_sites(tmp_path: Path) -> None:
    with pytest.raises(FederatedError, match="expected two or more sites and numbers from 1, got 1, 4 and 1"):
        adapter_recipe(BUNDLE, {"alone": tmp_path}, tmp_path / "model.pt", tmp_path)


def test_without_nvflare_the_command_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    words = ["--bundle", str(BUNDLE), "--site", "a=x", "--site", "b=y", "--output", str(tmp_path / "out")]
    assert main(["federated", *words]) == 1
    assert "error: this needs NVFlare: pip install 'monai_vlsm[federated]'" in capsys.readouterr().err


@needs_nvflare
def test_wrong_words_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["federated", "--bundle", str(BUNDLE), "--output", str(tmp_path)]
    (tmp_path / "there").touch()
    assert main([*common, "--site", "a"]) == 1
    assert main([*common, "--site", "a=x", "--site", "a=y"]) == 1
    assert main([*common, "--site", "a=x", "--site", "b=y"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2][:35] for line in lines] == [
        "expected NAME=DIR and NAME=VALUE",
        "two sites have the same name",
        f"{tmp_path} is not empty; give a new folder"[:35],
    ]
