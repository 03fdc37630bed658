# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What docs/prompts.md says is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from monai_vlsm.prompts import FIELDS, TEMPLATES, built_in_recipes, load_recipe, style_tags
from monai_vlsm.prompts.recipe import KEYS

TEXT = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text(encoding="utf-8")


def test_python_example(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"print\(.*?\)  # (.*)", code)


def test_recipes(tmp_path: Path) -> None:
    short, full = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
    assert set(full) == set(KEYS)
    for index, values in enumerate([short, {k: v for k, v in full.items() if k not in short}]):
        path = tmp_path / f"{index}.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in values.items() if k != "plural"}))
        assert load_recipe(path).structures
    assert all(f"`{name}`" in TEXT or f"--recipe {name}`" in TEXT for name in built_in_recipes())


def test_tags_of_the_photos() -> None:
    rows = dict(re.findall(r"^\| (p\d) \| .* \| ([\w-]+) \|$", TEXT.split("Breast ultrasound")[0], re.MULTILINE))
    assert rows == style_tags(TEMPLATES["photo"].styles)


def test_every_word_has_a_source() -> None:
    (table,) = re.findall(r"\| word \| source \| rule \|\n(.*?)\n\n", TEXT, re.DOTALL)
    words = {word for row in table.splitlines()[1:] for word in row.split("|")[1].strip().split(", ")}
    assert words == set(FIELDS) - {"classes"}  # the plural of class
