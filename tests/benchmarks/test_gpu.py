# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The rows for GPUs run on a CPU with a small network; their figures mean nothing there."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpu
import pytest
import table
import torch
from conditions import Conditions
from gpu_table import NOTHING, gpu_tables, read_gpu_results
from peaks import peak_of

pytestmark = pytest.mark.usefixtures("small_network")


def measured(output: Path, *arguments: str) -> dict[str, Any]:
    assert gpu.main(["--tiny", "--output", str(output), *arguments]) == 0
    (file,) = output.glob("tiny--gpu--cpu--b2--torch*.json")
    result: dict[str, Any] = json.loads(file.read_text())
    return result


@pytest.mark.slow
def test_steps_leave_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.compiler.reset()  # of the limit that other networks have reached
    result = measured(tmp_path, "--rows", "plain", "ours", "checkpointing", "compile")
    rows = {row["name"]: row for row in result["gpu"]}
    assert [name for name in rows if "error" in rows[name]] == []
    assert rows["plain"]["gflop"] >= rows["ours"]["gflop"] > 0
    assert rows["checkpointing"]["gflop"] >= rows["ours"]["gflop"]
    assert "gflop" not in rows["compile"]
    assert all(row["seconds"] > 0 and row["images_per_second"] > 0 for row in rows.values())
    assert result["machine"]["date"].startswith("20") and result["machine"]["card"] is None
    assert capsys.readouterr().out.count("images/s") == 4


@pytest.mark.slow
def test_files_leave_rows(tmp_path: Path) -> None:
    result = measured(tmp_path, "--rows", "data_before", "data", "together", "bundle")
    assert [row.get("error") for row in result["gpu"]] == [None] * 4
    assert all(row["seconds"] > 0 and row["images_per_second"] > 0 for row in result["gpu"])


def test_a_row_that_fails_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> dict[str, Any]:
        raise RuntimeError("CUDA out of memory\nby much")

    def dawdle(*_: Any) -> dict[str, Any]:
        time.sleep(5)
        return {}

    sound = {"seconds": 0.5, "images_per_second": 4.0}
    rows = [replace(row, measure=lambda *_: sound) for row in gpu.ROWS[:3]]
    rows[0], rows[1] = replace(rows[0], measure=fail), replace(rows[1], measure=dawdle, most=1)
    monkeypatch.setattr(gpu, "ROWS", rows)
    result = measured(tmp_path)
    assert [row.get("error") for row in result["gpu"]] == [
        "RuntimeError: CUDA out of memory",
        "RowTimeoutError: not done after 1 s",
        None,
    ]
    assert "CUDA out of memory" in capsys.readouterr().out
    assert gpu.main(["--tiny", "--output", str(tmp_path / "none"), "--seconds", "0"]) == 1
    assert "left out, the time is used up" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("card", "half"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H200", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA GeForce RTX 3090", 71.0),
        ("NVIDIA A1000", None),
        ("Radeon", None),
    ],
)
def test_peaks(card: str, half: float | None) -> None:
    peak = peak_of(card)
    assert (None if peak is None else peak.half) == half


def test_tables(tmp_path: Path) -> None:
    assert gpu_tables(read_gpu_results(tmp_path)) == NOTHING
    facts = {"card": "NVIDIA H100 PCIe", "cores": 16, "date": "2026-11-26", "matmul_tflop_per_second": 600.2}
    facts |= {"torch": "2.11.0", "monai": "1.6.1", "transformers": "5.23.0"}
    step = {"title": "step, ours", "seconds": 0.05, "images_per_second": 640.0, "host_syncs": 0, "gflop": 5000}
    rows = [
        {**step, "peak_memory_gib": 7.25, "tflop_per_second": 100.0, "share_of_peak": 0.1323},
        {"title": "data", "seconds": 0.2, "first_epoch_seconds": 3.0, "images_per_second": 1280.0},
        {
            "title": "trainer",
            "seconds": 0.06,
            "images_per_second": 500,
            "host_syncs_of_epoch": 1,
            "steps_of_epoch": 8,
        },
        {"title": "step, compiled", "error": "RowTimeoutError: not done after 60 s"},
    ]
    peak = {"half": 756.0, "tf32": 378.0, "float32": 51.0, "source": "data sheet"}
    result = {"gpu": rows, "machine": {**facts, "peak": peak}, "conditions": {"batch": 32, "quick": False}}
    (tmp_path / "gpu--h100.json").write_text(json.dumps(result))
    text = gpu_tables(read_gpu_results(tmp_path))
    assert text.startswith("NVIDIA H100 PCIe, 16 CPU cores, 2026-11-26; torch 2.11.0")
    assert "batch 32. Peak 756 TFLOP a second in 16 bits (data sheet)." in text
    assert "| step, ours | 50.0 | 640 | 7.25 | 100 | 13.2% | 0 |" in text
    assert "| data |  | 1280 |  |  |  |  |" in text
    assert "| trainer | 60.0 | 500 |  |  |  | 1 in 8 steps |" in text
    assert "step, compiled: RowTimeoutError: not done after 60 s." in text
    page = tmp_path / "page.md"
    page.write_text(f"a\n{table.GPU_START}\nold\n{table.GPU_END}\nb\n")
    table.replace_table(page, text, table.GPU_START, table.GPU_END)
    assert "old" not in page.read_text() and "640" in page.read_text()


def test_without_a_gpu_only_tiny_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert Conditions(quick=True).device == "cpu"
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "--tiny runs everything on a CPU" in capsys.readouterr().err
