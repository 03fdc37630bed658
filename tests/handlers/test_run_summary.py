# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from typing import Any

import ignite.distributed as idist
import pytest
import torch
from torch import nn

from monai_vlsm.handlers import RunSummary


class _Network(nn.Module):
    backbone = "clipseg-mini"

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(40, 50, bias=False).requires_grad_(False)
        self.adapter = nn.Linear(10, 100, bias=False)


class _Wrapper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.module = _Network()


def records(images: int, masks: Any = "mask.png") -> list[dict[str, Any]]:
    return [{"image": f"{number}.png", "label": masks} for number in range(images) for _ in range(2)]


def said(caplog: pytest.LogCaptureFixture, summary: RunSummary) -> list[str]:
    with caplog.at_level(logging.INFO, "monai_vlsm"):
        summary.start()
        summary.end()
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("network", [_Network(), _Wrapper()])
def test_facts(network: nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    rows = {"to train": records(30), "to validate": records(1, ["a.png", "b.png"])}
    results = {"model": "models/model.pt", "scores": "eval"}
    lines = said(caplog, RunSummary(torch.device("cpu"), network, rows, results, records(10), "val"))
    threads = torch.get_num_threads()
    assert lines == [
        f"device: cpu, {threads} thread{'' if threads == 1 else 's'}",
        "data: 30 images (60 masks) to train, 1 image (4 masks) to validate",
        "network: _Network, backbone clipseg-mini, 1,000 of 3,000 parameters are trainable",
        "results: model in models/model.pt, scores in eval",
        "done: model in models/model.pt, scores in eval",
    ]


def test_model_file_and_few_images(caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"image": "a.png"}] * 20
    summary = RunSummary(torch.device("cpu"), _Network(), {"to segment": rows}, {"masks": "out"}, rows, "val", "m.pt")
    lines = said(caplog, summary)
    assert lines[1] == "data: 1 image to segment"
    assert lines[2].endswith("trainable, from m.pt")
    assert [line for line in lines if line.startswith("warning")] == lines[4:5]
    assert "val has 1 image" in lines[4]


VOLUMES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "one patient": (
        [{"case": "a", "patient": "p"}, {"case": "b", "patient": "p"}],
        "val has 1 patient; scores of fewer",
    ),
    "nobody says whose": (
        [{"case": "a"}, {"case": "b", "patient": ""}],
        "val has 2 volumes; scores of fewer than 10 v",
    ),
    "same names in two datasets": ([{"case": "a", "dataset": "x"}, {"case": "a", "dataset": "y"}], "val has 2 volumes"),
    "enough": ([{"case": f"{number}", "patient": f"{number}"} for number in range(10)], ""),
}


@pytest.mark.parametrize("kind", VOLUMES)
def test_slices_count_by_their_patients(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    cases, expected = VOLUMES[kind]
    rows = [{**case, "image": f"{case['case']}.nii::axial={index}"} for case in cases for index in range(30)]
    lines = said(caplog, RunSummary(torch.device("cpu"), _Network(), {}, {}, rows, "val"))
    assert [line.removeprefix("warning: ")[: len(expected)] for line in lines if line.startswith("warning")] == (
        [expected] if expected else []
    )


def test_other_processes_are_silent(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(idist, "get_rank", lambda: 1)
    assert said(caplog, RunSummary(torch.device("cpu"), _Network(), {}, {}, [{"image": "a.png"}])) == []
