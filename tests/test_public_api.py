# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Public names: exported, documented, unlike MONAI's, and found by its config parser."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest
from monai.bundle.config_item import ComponentLocator

import monai_vlsm

KINDS = monai_vlsm.__all__
NAMES = [(kind, name) for kind in KINDS for name in importlib.import_module(f"monai_vlsm.{kind}").__all__]


def monai_names() -> set[str]:
    """Classes and functions of MONAI itself that bundles can name without a path."""
    table = ComponentLocator()._find_classes_or_functions(ComponentLocator()._find_module_names())
    return {name for name, modules in table.items() if any(module.split(".")[0] == "monai" for module in modules)}


def test_kinds_and_enough_names() -> None:
    assert len(KINDS) >= 13
    assert len(NAMES) > 50


@pytest.mark.parametrize("kind", KINDS)
def test_all_is_sorted_and_complete(kind: str) -> None:
    module = importlib.import_module(f"monai_vlsm.{kind}")
    assert len(set(module.__all__)) == len(module.__all__)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_documented(kind: str, name: str) -> None:
    value = getattr(importlib.import_module(f"monai_vlsm.{kind}"), name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__module__.startswith("monai_vlsm.")
        assert inspect.getdoc(value)


def test_no_name_is_monais() -> None:
    taken = monai_names()
    assert "DiceLoss" in taken
    assert "UNet" in taken
    assert not {name for _, name in NAMES} & taken


def test_short_names_work_after_the_import() -> None:
    names = ["CLIPSegNet", "TokenizePromptd", "PromptInferer", "TrainingState"]
    code = (
        "import monai_vlsm\nfrom monai.bundle import ConfigParser\n"
        f"for name in {names}:\n"
        "    found = ConfigParser({'x': {'_target_': name, '_mode_': 'callable'}}).get_parsed_content('x')\n"
        "    print(getattr(found, 'func', found))\n"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    lines = result.stdout.strip().splitlines()[-len(names) :]
    assert all("monai_vlsm." in line and name in line for name, line in zip(names, lines, strict=True))
