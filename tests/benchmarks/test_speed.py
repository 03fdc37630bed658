# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Every case runs on a small network and leaves its file; nothing here looks at how long anything took."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cases_start
import measure
import pytest
import speed
import torch
from bundle import read_config
from cases import EXTRA_SECONDS, MEMORY, SHARE, SPEED, Case
from cases_network import our_step, plain_step
from conditions import Conditions
from measure import Side, alternate, gflop, largest_difference, matmul_tflops, peak_memory
from registry import CASES, find_case
from speed import RESULTS, conditions_of, file_name, main, parser, run_case

KEYS = {"case", "title", "value", "unit", "target", "at_least", "holds", "ours", "conditions", "machine"}
STARTING = ("start", "import")  # these start Python anew, see below
QUICK = Conditions(quick=True)


IN_FRESH_PROCESS = speed.memory_in_fresh_process


@pytest.fixture(autouse=True)
def quickly(small_network: None, no_children: None) -> None:
    """All tests here are quick ones."""


def run(name: str, output: Path, *more: str) -> dict[str, Any]:
    assert main([name, "--quick", "--repeats", "1", "--output", str(output), *more]) == 0
    (file,) = output.glob("*.json")
    result: dict[str, Any] = json.loads(file.read_text())
    return {**result, "file": file.name}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(case.name, marks=[] if case.name == "dense_v" else [pytest.mark.slow])
        for case in CASES
        if case.name not in STARTING
    ],
)
def test_case_leaves_its_file(name: str, tmp_path: Path) -> None:
    case, result = find_case(name), run(name, tmp_path)
    assert set(result) >= KEYS | set(case.sides)
    assert result["target"] == case.target
    assert result["file"].startswith("quick--") and f"--{case.kind}--cpu-" in result["file"]
    for side in case.sides:
        assert result[side]["seconds"] > 0
        assert len(result[side]["all_seconds"]) == 1
        assert ("gflop" in result[side]) == ("tflop_per_second" in result[side]) == case.counted
        assert ("peak_memory_gib" in result[side]) == case.counted
    if case.counted:
        assert result["logits_difference"]["largest"] < 1e-4 < result["logits_difference"]["spread"]


@pytest.mark.parametrize("side", ["plain", "ours"])
def test_memory_is_measured_in_a_fresh_process(
    side: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def as_if_fresh(command: list[str], **_: Any) -> Any:
        assert command[0] == sys.executable and Path(command[1]).name == "speed.py"
        assert main(command[2:]) == 0
        return SimpleNamespace(stdout="a line of a library\n" + capsys.readouterr().out)

    monkeypatch.setattr(speed.subprocess, "run", as_if_fresh)
    given: list[Conditions] = []
    monkeypatch.setattr(speed, "peak_memory", lambda build, device: given.append(build()) or 1.25)
    conditions = replace(QUICK, batch=3, precision="bf16", attention="sdpa")
    build = lambda seen: seen  # noqa: E731
    case = replace(find_case("dense_vl"), sides={"plain": build, "ours": build})
    monkeypatch.setattr(speed, "find_case", lambda _: case)
    assert IN_FRESH_PROCESS(case, conditions, side) == 1.25
    assert given == [conditions]


def test_peak_memory_counts_what_lives_in_a_run() -> None:
    held: list[torch.Tensor] = []
    side = Side(lambda: held.append(torch.ones(2**25)) or held.clear())
    assert 0.1 < peak_memory(lambda: side, "cpu") < 0.4


def test_our_steps_need_fewer_operations() -> None:
    counted = {build: gflop(build("dense_vl")(QUICK)) for build in (plain_step, our_step)}
    assert 0 < counted[our_step] < counted[plain_step]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_counted_whatever_computes_it(attention: str) -> None:
    step = our_step("dense_vl")
    assert gflop(step(replace(QUICK, attention=attention))) == pytest.approx(gflop(step(QUICK)), rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_matrix_products_have_a_speed(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "time_once", lambda *_: 0.5)
    assert matmul_tflops("cpu", dtype) == pytest.approx(2 * 2048**3 / 0.5 / 1e12, abs=1e-3)


def test_start_and_import_run_python_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(cases_start, "run_python", lambda *arguments: started.append(arguments))
    for name in STARTING:
        run(name, tmp_path / name)
    assert [Path(arguments[0]).name for arguments in started[:2]] == ["first_step.py"] * 2
    assert [arguments[1] for arguments in started[2:4]] == ["import monai, torch", "import monai, torch, monai_vlsm"]


def test_logits_that_differ_stop_the_run(tmp_path: Path) -> None:
    case = find_case("dense_vl")

    def wrong(conditions: Conditions) -> Side:
        side = our_step("dense_vl")(conditions)
        logits = side.logits
        assert logits is not None
        return replace(side, logits=lambda: logits() + 2e-4)

    with pytest.raises(SystemExit, match=r"dense_vl: logits differ by 2\.\de-04, allowed are 1e-04"):
        run_case(replace(case, sides={**case.sides, "ours": wrong}), QUICK, 1, tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_logits_of_other_shapes_are_no_comparison() -> None:
    sides = (Side(print, lambda width=width: torch.zeros(1, width)) for width in (1, 2))
    with pytest.raises(ValueError, match=r"differ in shape: \(1, 1\) and \(1, 2\)"):
        largest_difference(*sides)


def test_sides_run_in_turn_and_warm_up_is_left_out() -> None:
    order: list[str] = []
    sides = {name: Side(lambda name=name: order.append(name), items=3) for name in "AB"}
    measured = alternate(sides, "cpu", repeats=2, title="turns")
    assert order == ["A", "B"] * 3
    assert all(len(side["all_seconds"]) == 2 and side["items"] == 3 for side in measured.values())


@pytest.mark.parametrize(
    ("figure", "plain", "ours", "value"),
    [
        (SPEED, {"seconds": 6.0, "items": 2}, {"seconds": 3.0, "items": 3}, 3.0),
        (MEMORY, {"peak_memory_gib": 4.0}, {"peak_memory_gib": 1.0}, 0.25),
        (SHARE, {}, {"share": 0.1}, 0.1),
        (EXTRA_SECONDS, {"seconds": 4.0}, {"seconds": 4.5}, 0.5),
    ],
)
def test_figures(figure: Any, plain: dict[str, float], ours: dict[str, float], value: float) -> None:
    assert figure.of({"plain": plain, "ours": ours}) == pytest.approx(value)


def holding(at_least: bool) -> Case:
    return replace(CASES[0], target=2.0, figure=replace(SPEED, at_least=at_least))


@pytest.mark.parametrize(("value", "held"), [(1.9, False), (2.0, True), (2.1, True)])
def test_lower_bounds(value: float, held: bool) -> None:
    assert holding(at_least=True).holds(value) is held
    assert holding(at_least=False).holds(4 - value) is held


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["dense_vl"], "dense_vl--train--cpu-fp32--b2"),
        (["checkpointing"], "checkpointing--memory--cpu-fp32--b8"),
        (["dense_vl", "--batch", "4", "--precision", "bf16"], "dense_vl--train--cpu-bf16--b4"),
        (["dense_vl", "--quick", "--compile", "reduce-overhead"], "quick--dense_vl--train--cpu-fp32--b2"),
        (["dense_vl", "--attention", "eager"], "dense_vl--train--cpu-fp32--b2"),
    ],
)
def test_files_are_named_by_their_conditions(arguments: list[str], name: str) -> None:
    given, case = parser().parse_args(arguments), find_case(arguments[0])
    end = {"--compile": "--compile_reduce_overhead", "--attention": "--eager"}
    version = ".".join(torch.__version__.split(".")[:2])
    added = "".join(text for flag, text in end.items() if flag in arguments)
    assert file_name(case, conditions_of(case, given)) == f"{name}--torch{version}{added}.json"


def test_no_two_cases_share_a_file() -> None:
    names = {file_name(case, conditions_of(case, parser().parse_args([]))) for case in CASES}
    assert len(names) == len(CASES)


def test_list_names_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert all(case.title in printed and case.wanted() in printed for case in CASES)


def test_unknown_names() -> None:
    with pytest.raises(SystemExit, match="unknown case 'dense'; known are dense_vl, "):
        main(["dense", "--quick"])
    with pytest.raises(KeyError, match=r"vlsm_dense/configs/train\.json has no setting 'caches'"):
        read_config("vlsm_dense", caches=True)


def test_cases_are_short_at_real_size() -> None:
    assert all(case.expected < 300 for case in CASES)
    assert RESULTS.is_dir()
