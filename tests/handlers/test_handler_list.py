# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Several handlers as one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from monai.handlers import ValidationHandler

from monai_vlsm.handlers import CurvePlot, EarlyStop, HandlerList, ModelSaver, ProgressBar, RateSchedule


class Noted:
    """Says to which engine it was attached, and with which evaluator."""

    def __init__(self, log: list[Any], **attributes: Any) -> None:
        self.log = log
        self.__dict__.update(attributes)

    def attach(self, engine: Any) -> None:
        self.log.append((engine, getattr(self, "evaluator", "no attribute")))


def test_all_are_attached_in_their_order_and_know_the_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[Any] = []
    validator, other, engine = (SimpleNamespace(name=name) for name in "abc")
    monkeypatch.setattr(ValidationHandler, "attach", lambda *_: log.append("validation"))
    validation: Any = ValidationHandler.__new__(ValidationHandler)
    validation.validator = validator
    HandlerList([Noted(log), Noted(log, evaluator=None), validation, Noted(log, evaluator=other)]).attach(engine)  # type: ignore[arg-type]
    assert log == [(engine, "no attribute"), (engine, validator), "validation", (engine, other)]


def test_without_validation_there_is_no_evaluator() -> None:
    log: list[Any] = []
    engine: Any = SimpleNamespace()
    HandlerList([Noted(log, evaluator=None)]).attach(engine)
    assert log == [(engine, None)]


@pytest.mark.parametrize("kind", [CurvePlot, EarlyStop, ModelSaver, RateSchedule, ProgressBar])
def test_those_of_the_package_can_be_told_later(kind: Any) -> None:
    arguments = {CurvePlot: ("x.png",), ModelSaver: (None, "model.pt"), RateSchedule: (SimpleNamespace(),)}
    assert kind(*arguments.get(kind, ())).evaluator is None
