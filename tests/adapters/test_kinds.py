# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adaptations are known by their names; those of others where their module is imported."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from monai_vlsm.adapters import (
    Adaptation,
    AdaptationError,
    AdaptationNotImportedError,
    Combination,
    DenseAdaptation,
    FineTuning,
    LoRAAdaptation,
    ModuleImportError,
    ShallowAdaptation,
    SliceContextAdaptation,
    SSFAdaptation,
    adaptation_kinds,
    build_adaptation,
    import_modules,
    resumed_adaptation,
)
from monai_vlsm.adapters.adaptation import KINDS

MODULE = """
from dataclasses import dataclass
from monai_vlsm.adapters import Adaptation

@dataclass(frozen=True)
class Mine(Adaptation):
    width: int = 3
"""


@dataclass(frozen=True)
class Known(Adaptation):
    """One that a user wrote; here, in a module of the tests."""

    width: int = 2


@dataclass(frozen=True)
class Demanding(Adaptation):
    """One without a default."""

    depth: int


def test_a_subclass_is_known_where_it_is_defined() -> None:
    assert Known(5).settings() == {"type": f"{__name__}:Known", "width": 5}
    assert build_adaptation(Known(5).settings()) == Known(5)
    assert DenseAdaptation.kind() == "DenseAdaptation"


def test_a_class_of_a_user_does_not_take_a_name_of_the_package() -> None:
    @dataclass(frozen=True)
    class DenseAdaptation(Adaptation):
        pass

    assert type(build_adaptation({"type": "DenseAdaptation"})).__module__ == "monai_vlsm.adapters.dense"
    assert isinstance(build_adaptation(DenseAdaptation().settings()), DenseAdaptation)


def test_a_module_that_is_not_imported_is_named_and_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_later.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    settings = {"type": "mine_later:Mine", "width": 4}
    with pytest.raises(AdaptationNotImportedError, match=r"Mine is of the module mine_later.*--import mine_later"):
        build_adaptation(settings)
    assert "mine_later" not in sys.modules
    import_modules(["mine_later"])
    assert build_adaptation(settings).settings() == settings
    with pytest.raises(AdaptationNotImportedError, match="mine_later is imported and has no adaptation Other"):
        build_adaptation({"type": "mine_later:Other"})


@pytest.mark.parametrize("kind", ["LoRA", "a b:c", "x:y;z", ":", "", None, 3, ["a:b"]])
def test_unknown(kind: object) -> None:
    with pytest.raises(ValueError, match=r"unknown adaptation .*; known: AdaptFormerAdaptation, Adaptation, BitFit"):
        build_adaptation({"type": kind})


def test_wrong_settings() -> None:
    with pytest.raises(ValueError, match="has other settings"):
        build_adaptation({"type": f"{__name__}:Known", "depth": 3})


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("import what_nobody_has")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleImportError, match=r"broken_module cannot be imported: ModuleNotFoundError.*nobody_has"):
        import_modules(["broken_module"])


@pytest.mark.parametrize(
    ("saved", "typed", "expected"),
    [
        ({}, DenseAdaptation("v", 4), DenseAdaptation("v", 4)),
        (DenseAdaptation().settings(), DenseAdaptation("v"), DenseAdaptation("v")),  # told when the file is loaded
        (LoRAAdaptation("v", rank=4).settings(), DenseAdaptation("v"), LoRAAdaptation("v", rank=4)),
        (ShallowAdaptation(width=8).settings(), DenseAdaptation(width=8), ShallowAdaptation(width=8)),
        (
            Combination([FineTuning(), SSFAdaptation()]).settings(),
            FineTuning(),
            Combination([FineTuning(), SSFAdaptation()]),
        ),
        (
            SliceContextAdaptation(DenseAdaptation("v"), width=8).settings(),
            DenseAdaptation("vl"),
            SliceContextAdaptation(DenseAdaptation("vl"), width=8),
        ),
        (
            SliceContextAdaptation(LoRAAdaptation("v"), 2, 8).settings(),
            DenseAdaptation("v"),
            SliceContextAdaptation(LoRAAdaptation("v"), 2, 8),
        ),
    ],
)
def test_a_training_goes_on_with_what_its_file_has(
    saved: dict[str, Any], typed: Adaptation, expected: Adaptation
) -> None:
    assert resumed_adaptation(saved, typed) == expected


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            DenseAdaptation("vl"),
            r"encoders is 'vl' here, and the file .* has LoRAAdaptation\(encoders='v'.*leave it out",
        ),
        (DenseAdaptation("v", width=32), "width is 32 here"),
        (FineTuning("full"), "trainable is 'full' here"),
        (Combination([DenseAdaptation("v"), SSFAdaptation("v")]), "parts is .* here, and the file .*LoRAAdaptation"),
        (Demanding(3), "depth is 3 here"),
    ],
)
def test_settings_that_the_file_has_not(typed: Adaptation, message: str) -> None:
    with pytest.raises(AdaptationError, match=message):
        resumed_adaptation(LoRAAdaptation("v").settings(), typed)


def test_kinds_within() -> None:
    inner = Combination([Known(3), LoRAAdaptation()])
    kinds = ["SliceContextAdaptation", "Combination", Known.kind(), "LoRAAdaptation"]
    assert list(adaptation_kinds(SliceContextAdaptation(inner).settings())) == kinds
    assert list(adaptation_kinds({})) == [""]


@pytest.mark.parametrize(
    ("spec", "file", "module"),
    [(None, "/here/train.py", "train"), (ModuleSpec("mine.train", None), "/here/x.py", "mine.train"), (None, None, "")],
)
def test_the_program_that_runs_is_named_as_others_import_it(
    spec: ModuleSpec | None, file: str | None, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = ModuleType("__main__")
    program.__spec__, program.__file__ = spec, file
    monkeypatch.setitem(sys.modules, "__main__", program)
    settings = type("Mine", (Adaptation,), {"__module__": "__main__"})().settings()
    assert settings == {"type": f"{module or '__main__'}:Mine"}
    monkeypatch.delitem(KINDS, settings["type"])
    with pytest.raises(AdaptationNotImportedError, match=f"module {module}," if module else "in a notebook"):
        build_adaptation(settings)


@pytest.mark.parametrize("settings", ["DenseAdaptation", None, 3, ["type", "DenseAdaptation"], [("type", "LoRA")]])
def test_settings_that_are_no_table(settings: Any) -> None:
    with pytest.raises(AdaptationError, match="must be a table with a type, got"):
        build_adaptation(settings)
