# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Recipes: what is read, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_vlsm.errors import UserError
from monai_vlsm.prompts import TEMPLATES, RecipeError, built_in_recipes, compose, load_recipe

SEVERAL = """
template: chest_xray
structures:
  left: {class: left lung, descriptions: [a, b]}
  right lung: {class: right lung, plural: lungs}
metadata: facts.csv
patient: "^(\\\\d+)_"
splits: {train: 3, test: 1}
parity: true
sentences:
  p2: "the {class} in the {view} view"
  p8: ["{class}, {age}", "{class}, {gender}"]
"""
WRONG = [  # YAML, message
    (
        "clas: polyp",
        r"unknown key 'clas' in the recipe \(did you mean 'class'\?\); known: class, plural, descr.*parity",
    ),
    ("class: polyp\ncolour: red", "unknown key 'colour' in the recipe; known: class"),
    ("class: no", r"class of the recipe must be a text, got False \(bool\); put texts in quotes"),
    ("class: ' '", "class of the recipe must be a text, got ' '"),
    ("plural: polyps", r"class of the recipe must be a text, got None"),
    ("template: photo", r"give either class .* or structures"),
    ("class: a\nstructures: {b: {class: c}}", r"give either class .* or structures"),
    ("structures: [a]", r"structures must be a table of folders below masks/, got \['a'\] \(list\)"),
    (
        "structures: {a: polyp}",
        "structure 'a' must be a table with keys among class, plural, descriptions, got 'polyp'",
    ),
    ("structures: {a: {class: b, size: c}}", "unknown key 'size' in structure 'a'; known: class, plural, descriptions"),
    ("structures: {../a: {class: b}}", r"the name of a structure must be the name of a folder.*got '\.\./a'"),
    ("structures: {..: {class: b}}", r"the name of a structure must be the name of a folder.*got '\.\.'"),
    ("structures: {1: {class: b}}", r"the name of a structure must be a text, got 1 \(int\); put texts in quotes"),
    (
        "class: a\ntemplate: foto",
        r"unknown template 'foto' \(did you mean 'photo'\?\); known: photo, breast_ultrasound",
    ),
    (
        "class: a\nsentences: {p1: '{clas}'}",
        r"unknown field 'clas' in sentence p1 \(did you mean 'class'\?\); known: class",
    ),
    ("class: a\nsentences: {p1: '{class.__doc__}'}", r"unknown field 'class.__doc__' in sentence p1"),
    ("class: a\nsentences: {p1: '{class!r}'}", "sentence p1: braces must hold the name of a field only"),
    ("class: a\nsentences: {p10: a}", r"unknown key 'p10' in sentences \(did you mean 'p1'\?\); known: p1, p2"),
    ("class: a\nsentences: {p1: []}", r"sentence p1 must be a text, got \[\]"),
    ("class: a\nsentences: text", "sentences must be a table with keys among p1"),
    ("class: a\ndescriptions: [1]", r"descriptions must be a text, got 1 \(int\)"),
    ("class: a\nsplits: {train: 0}", r"the share of train must be a number above 0, got 0"),
    ("class: a\nsplits: {train: yes}", r"the share of train must be a number above 0, got True"),
    (
        "class: a\nsplits: {training: 1}",
        r"unknown key 'training' in splits \(did you mean 'train'\?\); known: train, val",
    ),
    ("class: a\npatient: '('", r"patient must be a regular expression, got '\('"),
    ("class: a\nparity: 'yes'", r"parity must be true or false, got 'yes' \(str\)"),
    ("class: a\nmetadata: 3", r"metadata must be a text, got 3 \(int\)"),
    ("- class: a", r"the recipe must be a table with keys among class.*\(list\)"),
    ("", r"the recipe must be a table.*got None"),
    ("class: [", "expected YAML in UTF-8, found"),
]


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_short_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "\ufeffclass: Läsion"))
    assert recipe.structures == {"": {"class": "Läsion"}}
    assert recipe.template == TEMPLATES["photo"]
    assert recipe.splits == {"train": 0.8, "val": 0.1, "test": 0.1}
    assert (recipe.patient, recipe.metadata, recipe.parity) == (None, None, False)


def test_every_key(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, SEVERAL))
    assert recipe.structures == {
        "left": {"class": "left lung", "description": ["a", "b"]},
        "right lung": {"class": "right lung", "classes": "lungs"},
    }
    assert list(recipe.template.styles) == ["p1", "p2", "p3", "p4", "p5", "p6", "p8"]
    assert recipe.template.styles["p2"] == ("the {class} in the {view} view",)
    assert recipe.template.styles["p1"] == TEMPLATES["chest_xray"].styles["p1"]
    assert recipe.splits == {"train": 0.75, "test": 0.25}
    assert recipe.patient is not None
    assert recipe.patient.search("12_x.png")[1] == "12"  # type: ignore[index]
    assert (recipe.metadata, recipe.parity) == (tmp_path / "facts.csv", True)


def test_own_sentences_alone(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "class: clip\nsentences: {p1: 'the {class}'}"))
    assert compose(recipe.template, recipe.structures[""]) == {"p0": "", "p1": "the clip"}


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text[:40] for text, _ in WRONG])
def test_wrong_recipe(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        load_recipe(write(tmp_path, text))
    assert str(error.value).startswith(str(tmp_path / "recipe.yaml"))
    assert isinstance(error.value, UserError)


def test_other_coding(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes("class: Läsion".encode("latin-1"))
    with pytest.raises(RecipeError, match="expected YAML in UTF-8"):
        load_recipe(tmp_path / "recipe.yaml")


def test_no_such_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"x\.yaml.* breast_tumor, foot_ulcer"):
        load_recipe(tmp_path / "x.yaml")


@pytest.mark.parametrize("name", ["breast_tumor", "foot_ulcer", "polyp", "skin_melanoma"])
def test_built_in(name: str) -> None:
    assert name in built_in_recipes()
    recipe = load_recipe(name)
    table = compose(recipe.template, {**recipe.structures[""], "number": "zero"})
    assert table["p1"]
    assert "photo" not in name and len(table) == (7 if name == "breast_tumor" else 10)
