# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``data prompts`` on a list of cases: prompts for each class, by names and by a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_vlsm.commands import main
from monai_vlsm.data import load_datalist
from tests.data.lists.folders import LABELS, decathlon

RECIPE = """
structures:
  left kidney:
    class: left kidney
    descriptions: [a bean on the left, an organ that makes urine]
  liver: {class: hepatic tissue}
sentences:
  p3: "{class} of a {gender}"
"""


def prompts(folder: Path) -> dict[str, tuple[dict[str, object], dict[str, str]]]:
    records = load_datalist(folder, "train", check=False) + load_datalist(folder, "val", check=False)
    return {record["structure"]: (record["prompt"], record["tags"]) for record in records}


def test_plain_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = decathlon(tmp_path, "ab")
    before = prompts(folder)
    assert main(["data", "prompts", str(folder)]) == 0
    assert "2      kidney_left  left kidney" in capsys.readouterr().out
    written = json.loads((folder / "labels.json").read_text())
    assert written == {
        "1": {"name": "liver", "p0": "", "p1": "liver"},
        "2": {"name": "kidney_left", "p0": "", "p1": "left kidney"},
    }
    assert {name: table["p1"] for name, (table, _) in prompts(folder).items()} == {
        name: table["p1"] for name, (table, _) in before.items()
    }


def test_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, recipe = decathlon(tmp_path, "ab", labels={**LABELS, "3": "ignore"}), tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE + "template: photo\n")
    command = ["data", "prompts", str(folder), "--recipe", str(recipe)]
    assert main(command) == main(command) == 0  # the same again is no change
    found = prompts(folder)
    assert found["kidney_left"][0] == {
        "p0": "",
        "p1": "left kidney",
        "p7": ["left kidney which is a bean on the left", "left kidney which is an organ that makes urine"],
    }
    assert found["liver"][0]["p1"] == "hepatic tissue" and set(found["liver"][1].values()) == {"class"}
    assert json.loads((folder / "labels.json").read_text())["3"] == "ignore"
    assert main(["data", "prompts", str(folder)]) == 0  # keeps what a person or a recipe wrote
    assert prompts(folder) == found
    recipe.write_text(RECIPE.replace("hepatic", "liver") + "template: photo\n")
    capsys.readouterr()
    assert main(command) == 1
    assert "labels.json, which differs; add --overwrite to do so" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert prompts(folder)["liver"][0]["p1"] == "liver tissue"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "liver"], "the recipe has words for one class, and the list has liver, kidney_left: give words"),
        (["--recipe", "polyp"], "the recipe has words for one class"),
        (["--vqa", "some/model"], "--vqa describes masks, and"),
    ],
)
def test_what_does_not_fit(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = decathlon(tmp_path, "ab")
    assert main(["data", "prompts", str(folder), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "labels.json").exists()


def test_structures_that_a_list_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.yaml").write_text("structures:\n  spleen: {class: spleen}\n")
    command = ["data", "prompts", str(decathlon(tmp_path, "ab")), "--recipe", str(tmp_path / "recipe.yaml")]
    assert main(command) == 1
    assert "the recipe has the structures spleen, which the list does not have; it has liver" in capsys.readouterr().err
