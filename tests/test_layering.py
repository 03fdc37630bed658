# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Imports between the parts of the package point one way."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "monai_vlsm"
EVERYWHERE = {"counts", "host", "progress"}  # a few lines each, and nothing of the package in them
ALLOWED: dict[str, set[str]] = {
    "interrupts": set(),
    "errors": {"interrupts"},
    "names": set(),
    "drawing": set(),
    "outputs": {"errors", "io", "names"},
    "evaluations": {"errors", "io", "outputs"},
    "io": {"errors"},
    "bundle_files": {"copying", "errors"},
    "copying": {"errors", "io"},
    "checked_files": {"io"},
    "adapters": {"errors"},
    "engines": {"data", "inferers"},
    "checkpoints": {"adapters", "data", "errors"},
    "backbones": {"errors"},
    "probing": {"caches", "data", "engines"},
    "processes": {"errors"},
    "prompts": {"errors", "io", "names"},
    "uncertainty": {
        "backbones",
        "caches",
        "checkpoints",
        "errors",
        "handlers",
        "inferers",
        "io",
        "networks",
        "precision",
        "prompts",
        "transforms",
    },
    "data": {"checked_files", "errors", "io", "names", "prompts", "tables"},
    "handlers": {
        "data",
        "drawing",
        "errors",
        "evaluations",
        "inferers",
        "interrupts",
        "io",
        "metrics",
        "names",
        "outputs",
        "prompts",
    },
    "inferers": {"data", "precision"},
    "precision": set(),
    "losses": set(),
    "metrics": set(),
    "tables": set(),
    "statistics": {"errors", "evaluations", "io", "names", "prompts", "tables"},
    "report": {"io", "outputs", "prompts", "statistics", "tables"},
    "samples": set(),
    "studies": {
        "bundle_files",
        "drawing",
        "errors",
        "io",
        "names",
        "outputs",
        "report",
        "samples",
        "statistics",
        "tables",
    },
    "settings": {"adapters", "checkpoints", "data", "errors", "interrupts", "prompts"},
    "transforms": {"backbones", "data", "drawing", "errors", "inferers", "io", "names", "outputs", "prompts"},
    "networks": {"adapters", "backbones", "checkpoints", "data", "errors"},
    "caches": {"checked_files", "data", "errors", "inferers", "io", "networks", "precision", "transforms"},
    "serving": {
        "adapters",
        "backbones",
        "caches",
        "checkpoints",
        "data",
        "drawing",
        "errors",
        "handlers",
        "inferers",
        "interrupts",
        "io",
        "names",
        "networks",
        "outputs",
        "precision",
        "transforms",
        "uncertainty",
    },
    "demo": {
        "checkpoints",
        "data",
        "drawing",
        "errors",
        "io",
        "names",
        "samples",
        "serving",
        "transforms",
    },
    "export": {"backbones", "checkpoints", "data", "errors", "io", "networks", "serving", "transforms"},
    "federated": {"checkpoints", "data", "errors", "io", "statistics", "tables"},
    "hub": {
        "names",
        "adapters",
        "backbones",
        "checkpoints",
        "data",
        "errors",
        "io",
        "networks",
        "outputs",
        "prompts",
        "statistics",
        "tables",
    },
    "apps": {
        "adapters",
        "backbones",
        "checkpoints",
        "copying",
        "data",
        "errors",
        "io",
        "names",
        "networks",
        "prompts",
        "samples",
        "serving",
        "transforms",
    },
}
ALLOWED = {part: allowed | EVERYWHERE for part, allowed in ALLOWED.items()} | {part: set() for part in EVERYWHERE}
ALLOWED |= {"commands": set(ALLOWED), "__main__": {"commands"}}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> list[tuple[int, str]]:
    """Line and part of each import from the package, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found += [(node.lineno, name.split(".")[1]) for name in names if name.startswith("monai_vlsm.")]
    return found


def test_all_parts_are_listed() -> None:
    assert {part_of(path) for path in FILES} == set(ALLOWED)


def test_arrows_form_no_circle() -> None:
    order: list[str] = []
    while len(order) < len(ALLOWED):
        free = [part for part in ALLOWED if part not in order and ALLOWED[part] <= set(order)]
        assert free, f"circle among {set(ALLOWED) - set(order)}"
        order += free


def test_imports() -> None:
    wrong = [
        f"{path}:{line} imports {part}"
        for path in FILES
        for line, part in imported_parts(path)
        if part not in ALLOWED[part_of(path)] | {part_of(path)}
    ]
    assert not wrong, "\n".join(wrong)


def test_size() -> None:
    assert not [path for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 300]
