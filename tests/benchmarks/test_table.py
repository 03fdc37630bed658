# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Table and plot follow from the files alone; scaling and profile put their numbers where they belong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import profile_step
import pytest
import scaling
from conditions import Conditions
from measure import Side
from PIL import Image
from table import END, START, main, read_results, spread

QUICK = Conditions(quick=True)


def write_result(folder: Path, name: str = "dense_vl", quick: bool = False, **other: Any) -> dict[str, Any]:
    plain = {"seconds": 3.0, "items": 2, "all_seconds": [3.0, 2.0, 4.0], "peak_memory_gib": 3.0, "gflop": 200.0}
    ours = {"seconds": 2.0, "items": 2, "all_seconds": [2.0, 2.0, 2.0], "peak_memory_gib": 1.5, "gflop": 150.0}
    versions = {"torch": "2.13.0", "monai": "1.6.1", "transformers": "5.23.0"}
    result = {
        "case": name,
        "title": f"title of {name}",
        "value": 1.5,
        "unit": "times as fast",
        "target": 1.2,
        "at_least": True,
        "holds": True,
        "plain": plain,
        "ours": ours,
        "conditions": {"precision": "fp32", "batch": 2, "quick": quick, "compile": "", "repeats": 3},
        "machine": {"card": None, "processor": "some CPU", "threads": 2, **versions},
    }
    result |= other
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-{quick}-{len(list(folder.iterdir()))}.json").write_text(json.dumps(result))
    return result


@pytest.fixture
def page(tmp_path: Path) -> Path:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{START}\n\nstale\n\n{END}\n\nafter\n")
    return page


def make(folder: Path, page: Path) -> Path:
    assert main(["--results", str(folder), "--page", str(page), "--plot", str(page.with_name("plot.png"))]) == 0
    return page.with_name("plot.png")


def test_table_goes_between_the_marks(tmp_path: Path, page: Path) -> None:
    write_result(tmp_path / "results", "import", value=0.2, unit="s more", target=1, at_least=False)
    write_result(tmp_path / "results")
    write_result(tmp_path / "results", "dense_v", holds=False)
    write_result(tmp_path / "results", "ten_prompts", quick=True)
    (tmp_path / "results" / "other.json").write_text('{"case": "dense_vl--train", "seconds_per_step": 1}')
    image = make(tmp_path / "results", page)
    text = page.read_text()
    assert text.startswith("# Before") and text.endswith("after\n") and "stale" not in text
    assert "| title of dense_vl | CPU, fp32, batch 2 | 3.00 s | 2.00 s | 1.50 times as fast | 1.00 to 2.00 |" in text
    assert "| ≥ 1.2 | holds | 3.0 → 1.5 | 200.0 → 150.0 |" in text
    assert "| ≤ 1 |" in text and "**fails**" in text
    assert text.index("title of dense_vl ") < text.index("title of dense_v ") < text.index("title of import")
    assert "ten_prompts" not in text
    assert "![Speed-up and peak memory](plot.png)" in text
    assert "some CPU, 2 threads; torch 2.13.0" in text
    with Image.open(image) as drawn:
        assert min(drawn.size) > 300


def test_same_files_give_the_same_page(tmp_path: Path, page: Path) -> None:
    write_result(tmp_path / "results")
    make(tmp_path / "results", page)
    first = page.read_text()
    make(tmp_path / "results", page)
    assert page.read_text() == first


def test_spread_pairs_repetitions_and_counts_items(tmp_path: Path) -> None:
    result = write_result(tmp_path)
    assert spread(result) == (1.0, 2.0)
    result["ours"]["items"] = 4
    assert spread(result) == (2.0, 4.0)
    assert spread({**result, "unit": "s"}) is None


def test_no_results_and_no_marks(tmp_path: Path, page: Path) -> None:
    with pytest.raises(SystemExit, match=r"python benchmarks/speed.py"):
        read_results(tmp_path)
    write_result(tmp_path / "results")
    page.write_text("no marks\n")
    with pytest.raises(SystemExit, match="must hold <!-- table --> and <!-- end --> once"):
        make(tmp_path / "results", page)
    assert page.read_text() == "no marks\n"


def test_exponent_of_growth() -> None:
    points = [{"value": 1, "seconds": 1.0}, {"value": 2, "seconds": 2.0}, {"value": 4, "seconds": 16.0}]
    assert scaling.exponent(points, "seconds") == 2.0


@pytest.mark.parametrize(
    "axis",
    [axis if axis == "prompts" else pytest.param(axis, marks=pytest.mark.slow) for axis in scaling.AXES],
)
def test_scaling_measures_each_axis(axis: str, small_network: None) -> None:
    point = scaling.measure_point(axis, 2 if axis != "size" else 64, QUICK, repeats=1)
    assert point["value"] in (2, 64) and point["seconds"] > 0
    assert isinstance(point["peak_memory_gib"], float)  # the size means something in a fresh process only


def test_scaling_writes_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    def made_up(axis: str, value: int, *_: Any) -> dict[str, Any]:
        return {"value": value, "seconds": float(value), "peak_memory_gib": 2.0}

    monkeypatch.setattr(scaling, "point_in_fresh_process", made_up)
    assert scaling.main(["--quick", "--axes", "batch", "size", "--precision", "fp32", "--output", str(tmp_path)]) == 0
    assert "| seconds | 1.000 | 2.000 | 1.00 |\n| peak memory, GiB | 2.000 | 2.000 | 0.00 |" in capsys.readouterr().out
    result = json.loads((tmp_path / "quick--scaling--batch-size--cpu-fp32.json").read_text())
    assert result["time_exponent_over_work"] == {"batch": 1.0, "size": 0.5}


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["aten::addmm", "aten::linear"], "matrix products"),
        (["aten::bmm"], "attention (products of queries, keys, values; softmax)"),
        (["aten::mul", "Optimizer.step#AdamW.step"], "optimizer"),
        (["aten::mul", "MulBackward0"], "element-wise"),
        (["aten::copy_", "aten::to"], "copies and casts"),
        (["aten::mul", "loss (forward)", "one step"], "loss (forward)"),
        (["one step"], "between operators"),
        (["aten::nothing_known"], "other"),
    ],
)
def test_kinds_of_operators(names: list[str], kind: str) -> None:
    assert profile_step.kind_of(names) == kind


@pytest.mark.slow
def test_profile_writes_both_sides(
    tmp_path: Path, small_network: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_step, "milliseconds_of_data", lambda *_: 1.5)
    assert profile_step.main(["--quick", "--steps", "1", "--precision", "fp32", "--output", str(tmp_path)]) == 0
    (file,) = tmp_path.glob("quick--profile--dense_vl--cpu-fp32--b2.json")
    result = json.loads(file.read_text())
    for side in ("plain", "ours"):
        assert all(
            result[side]["milliseconds"][kind] > 0
            for kind in ("matrix products", "layer norm", "optimizer", "loss (forward)")
        )
    assert "| data | 1.5 | | 1.5 | |" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["plain", "ours"])
def test_profile_times_the_data(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_step, "reading", lambda *_: {name: lambda _: Side(lambda: None, items=8)})
    assert profile_step.milliseconds_of_data(name, QUICK) >= 0
