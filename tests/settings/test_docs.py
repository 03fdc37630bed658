# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The tables of the docs name settings, and values of settings, that there are; tests/docs looks at their commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.settings import SETTINGS, SettingError, checked

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("bundles/*/docs/README.md")]
ROW = re.compile(r"^\| `(\w+)` \|((?: ?`[^`]+`,?)+) \|", re.MULTILINE)  # a name, and a cell of values alone


def said() -> Iterator[tuple[str, str, str]]:
    """Page, setting and value, as a person would type it: those of tables."""
    for page in PAGES:
        for setting, cell in ROW.findall(page.read_text(encoding="utf-8")):
            for value in re.findall(r"`([^`]+)`", cell):
                yield page.relative_to(ROOT).as_posix(), setting, value


def typed(value: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


SAID = sorted({one for one in said() if one[1] in SETTINGS and one[1] != "device"})


def test_docs_name_settings() -> None:
    assert len(SAID) > 8


@pytest.mark.parametrize(("page", "setting", "value"), SAID)
def test_values_are_taken(page: str, setting: str, value: str) -> None:
    try:
        checked(setting, typed(value))
    except SettingError as error:
        pytest.fail(f"{page}: {error}")
