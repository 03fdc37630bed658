# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Public names: exported, documented, unlike MONAI's, and found by its config parser."""

from __future__ import annotations

import importlib
import inspect

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


def test_documented() -> None:
    values = {(kind, name): getattr(importlib.import_module(f"monai_vlsm.{kind}"), name) for kind, name in NAMES}
    code = {name: value for name, value in values.items() if inspect.isclass(value) or inspect.isfunction(value)}
    assert len(code) > 50
    assert not [name for name, value in code.items() if not value.__module__.startswith("monai_vlsm.")]
    assert not [name for name, value in code.items() if not inspect.getdoc(value)]


def test_no_name_is_monais() -> None:
    taken = monai_names()
    assert "DiceLoss" in taken
    assert "UNet" in taken
    assert not {name for _, name in NAMES} & taken
