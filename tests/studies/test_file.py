# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Study files: what they may say, and what is told of a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.studies import Study, StudyError, plan_runs, read_study, shipped_studies

Make = Callable[..., Study]
UNTRAINED = {"polyps": None, "moles": {"train": False}}


def test_defaults(study: Make) -> None:
    made = study(seeds=[1])
    assert (made.fractions, made.styles, made.transfer) == ([1.0], ["p1"], {})
    assert list(made.systems) == ["good", "better"] and made.systems["good"].bundle == "good"
    assert made.tables == {"Results": ["good", "better"]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"system": {}}, ["unknown key 'system'", "did you mean systems?"]),
        ({"systems": {"a": {"bundel": "good"}}}, ["system a", "'bundel'", "did you mean bundle?"]),
        ({"systems": {"a": {"settings": {"seed": 1}}}}, ["system a", "seed", "study decides"]),
        ({"systems": {}}, ["expected systems"]),
        ({"datasets": {"polyps": {"train": "no"}}}, ["dataset polyps", "true or false", "'no'"]),
        ({"datasets": {"polyps": {"train": False}}}, ["no dataset to train on"]),
        ({"seeds": [41, 41]}, ["seeds", "41 is there twice"]),
        ({"seeds": [True]}, ["seeds", "whole numbers"]),
        ({"fractions": [10]}, ["fractions", "at most 1", "[10]"]),
        ({"styles": []}, ["styles"]),
        ({"styles": ["p1", "p11"]}, ["styles", "p0 to p9 or random", "p11"]),
        ({"transfer": {"polyps": ["mole"]}}, ["transfer", "unknown dataset 'mole'"]),
        ({"transfer": {"polyp": ["polyps"]}}, ["unknown dataset 'polyp'", "did you mean polyps?"]),
        (
            {"transfer": {"moles": ["polyps"]}, "datasets": {"polyps": None, "moles": {"train": False}}},
            ["trained on moles"],
        ),
        ({"tables": {"T": ["god"]}}, ["tables", "unknown system 'god'", "did you mean good?"]),
        ({"lease": 0}, ["lease", "from 0.1"]),
        ({"lease": 1e12}, ["lease", "to a million"]),
        ({"lease": 10**400}, ["lease", "to a million"]),
        ({"left_out": ["polyps"]}, ["unknown key 'left_out'"]),
        ({"settings": {"epochs": 0}}, ["settings, epochs", "a whole number from 1", "got 0"]),
        ({"datasets": {"polyps": {"settings": {"epochs": "ten"}}}}, ["dataset polyps", "epochs", "'ten'"]),
        ({"settings": {"learning_rate": float("nan")}}, ["learning_rate", "finite numbers", "nan"]),
        ({"settings": {"network_def": {"a": [float("inf")]}}}, ["network_def", "finite numbers"]),
        ({"settings": {"encoders": date(2001, 1, 1)}}, ["encoders", "datetime.date"]),
        ({"settings": {"dataset#seed": 1}}, ["dataset#seed", "study decides"]),
        ({"systems": {"a b": {"bundle": "good"}, "a_b": {"bundle": "good"}}}, ["'a b' and 'a_b'", "rename"]),
        ({"systems": {"Good": {"bundle": "good"}, "good": None}}, ["'Good' and 'good'", "one name for a folder"]),
        ({"datasets": {"polyps": None, "polyps ": {"folder": "moles"}}}, ["datasets", "'polyps' and 'polyps '"]),
        ({"systems": {"good": {"paper": "dens VL"}}}, ["paper", "'dens VL'", "did you mean dense VL?"]),
        ({"systems": {"good": {"paper": ["dense VL"]}}}, ["paper", "expected a text"]),
        ({"name": "../x"}, ["name of a folder", "'../x'"]),
        ({"name": ".."}, ["name of a folder"]),
        ({"name": "n" * 300}, ["at most 200 bytes"]),
        ({"seeds": ["x" * 10_000]}, ["xxx...xxx"]),
    ],
)
def test_wrong_files(study: Make, given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        study(**given)
    said = str(caught.value)
    assert all(word in said for word in words) and "\n" not in said and len(said) < 1000


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no study file .*none.yaml.*paper, peft, peft_sample, peft_volumes, sample"):
        read_study(tmp_path / "none.yaml")


BOMB = "a: &a [x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 6)}]\n" for a, b in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "cannot read"),
        ("systems:\n\t- a", "cannot read.*'.t'"),
        ("", "expected a table with systems and datasets, got None"),
        ("- a", "expected a table with systems and datasets"),
        ("a: 2001-99-99", "cannot read.*month"),
        (f"a: {'9' * 5000}", "cannot read.*digits"),
        ("[" * 3000, "too deep"),
        ("!!map [a]", "cannot read"),
        ("systems: [s]\ndatasets: [d]\nsettings: &s {a: *s}", "settings, a: expected texts, finite numbers"),
        (f"{BOMB}systems: *i", "unknown key 'a'"),
        (
            BOMB.replace("a: &a", "systems: &a").replace("b: &b", "datasets: &b").replace("i: &i", "seeds: &i"),
            "unknown key",
        ),
    ],
)
def test_no_study(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(StudyError, match=said) as caught:
        read_study(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_a_study_that_extends_another(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "name: first\nsystems: [good]\ndatasets: [moles]\nseeds: [7]\nsettings: {epochs: 3}\n"
        "search: {trials: 2, settings: {learning_rate: [0.1, 0.2, 0.3]}}\n"
    )
    (tmp_path / "middle.yaml").write_text("extends: base.yaml\nsettings: {batch_size: 2}\n")
    (tmp_path / "last.yaml").write_text(f"extends: {tmp_path / 'middle.yaml'}\ndatasets: [polyps]\nsearch:\n")
    made = read_study(tmp_path / "last.yaml")
    assert (made.name, list(made.systems), list(made.datasets), made.seeds) == ("last", ["good"], ["polyps"], [7])
    assert made.settings == {"batch_size": 2} and made.search is None
    assert (
        read_study("transfer").systems == read_study("low_data").systems and read_study("transfer").name == "transfer"
    )


def test_systems_of_a_study_that_extends_another(tmp_path: Path) -> None:
    """They are joined by name; a file beside comes before one that is shipped, whose name may have its suffix."""
    (tmp_path / "mine.yaml").write_text("extends: peft.yaml\nsystems: {own: {bundle: unet}, U-Net: {bundle: san}}\n")
    systems = read_study(tmp_path / "mine.yaml").systems
    assert systems.keys() == {*read_study("peft").systems, "own"} and systems["U-Net"].bundle == "san"
    (tmp_path / "peft.yaml").write_text("systems: {good: }\ndatasets: [moles]\n")
    assert list(read_study(tmp_path / "mine.yaml").systems) == ["good", "own", "U-Net"]
    assert read_study("peft_sample").systems["U-Net"].settings == {}  # a toy, as the others there


@pytest.mark.parametrize(
    ("extends", "said"),
    [
        ("none.yaml", "a.yaml, extends: no study file .*none.yaml"),
        ("a.yaml", "a.yaml extends this file"),
        ("b.yaml", "a.yaml extends this file"),
        ("[peft]", "extends: expected a text"),
        ("null", "extends: expected a text"),
        ("peft\nseed: [1]", "unknown key 'seed'; did you mean seeds"),
        ("peft\nsystems:", "expected systems"),
    ],
)
def test_what_cannot_be_extended(tmp_path: Path, extends: str, said: str) -> None:
    (tmp_path / "a.yaml").write_text(f"extends: {extends}\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(StudyError, match=said) as caught:
        read_study(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("base", "own", "where"),
    [
        ("seeds: [x]", "styles: [p1]", "base.yaml, seeds"),
        ("seeds: [x]", "seeds: [y]", "last.yaml, seeds"),
        ("seeds: [41]", "seeds: [y]", "last.yaml, seeds"),
        ("seeds: [x]\nstyles: [p1]", "styles: [q]", "base.yaml, seeds"),
        ("systems: {bad: {bundle: 7}}", "styles: [p1]", "base.yaml, system bad"),
        ("seeds: [41]", "systems: {bad: {bundle: 7}}", "last.yaml, system bad"),
        ("sede: 1", "styles: [p1]", "base.yaml: unknown key"),
    ],
)
def test_a_fault_is_that_of_the_file_in_which_it_stands(tmp_path: Path, base: str, own: str, where: str) -> None:
    (tmp_path / "base.yaml").write_text(f"extends: low_data\n{base}\n")
    (tmp_path / "middle.yaml").write_text("extends: base.yaml\n")
    (tmp_path / "last.yaml").write_text(f"extends: middle.yaml\n{own}\n")
    with pytest.raises(StudyError) as caught:
        read_study(tmp_path / "last.yaml")
    assert str(caught.value).startswith(str(tmp_path / where))


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(StudyError, match="no study file"):
        read_study("x" * 5000)


def test_no_table_is_the_table_of_all(study: Make) -> None:
    assert study(tables={}).tables == study(tables=None).tables == {"Results": ["good", "better"]}


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("paper", 216),
        ("sample", 10),
        ("low_data", 192),
        ("transfer", 36),
        ("peft", 204),
        ("peft_sample", 68),
        ("peft_volumes", 204),
        ("busi", 10),
    ],
)
def test_shipped(name: str, runs: int) -> None:
    others = {"paper", "sample", "low_data", "transfer", "peft", "busi"}
    assert set(shipped_studies()) == {"peft_sample", "peft_volumes", *others}
    assert len(plan_runs(read_study(name))) == len({run.name for run in plan_runs(read_study(name))}) == runs


def test_paper_has_its_hyper_parameters() -> None:
    rates = {run.system: run.settings["learning_rate"] for run in plan_runs(read_study("paper"))}
    assert {rates[name] for name in ("dense V", "dense VL", "dense VLC")} == {0.001}
    assert {rates[name] for name in ("shallow V", "shallow VL", "shallow VLC")} == {0.0003}
    assert read_study("paper").settings["batch_size"] == 32


def test_one_setting_for_all(study: Make) -> None:
    made = study(systems={"good": {"settings": {"epochs": 7, "encoders": "v"}}}).with_setting("epochs", 1)
    assert plan_runs(made)[0].settings == {"epochs": 1, "encoders": "v"}


def test_powers_of_ten_are_numbers(study: Make) -> None:
    assert study(settings={"learning_rate": "1e-3", "encoders": "v"}).settings == {
        "learning_rate": 0.001,
        "encoders": "v",
    }


def test_a_system_that_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("systems:\n  x: {bundle: a}\n  x: {bundle: b}\ndatasets: [d]\n")
    with pytest.raises(StudyError, match="'x' is there twice"):
        read_study(tmp_path / "a.yaml")


@pytest.mark.parametrize("paper", [None, "none"])
def test_a_system_beside_which_no_value_of_the_paper_stands(study: Make, paper: str | None) -> None:
    made = study(systems={"dense VL": {"bundle": "good", "paper": paper}, "dense V": {"bundle": "good"}})
    assert [system.paper for system in made.systems.values()] == ["", "dense V"]
