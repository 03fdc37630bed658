# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs of MLflow end with what they track; a store in memory stands for MLflow."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ignite.engine import Engine, Events
from monai.handlers import mlflow_handler

from monai_vlsm.handlers.tracked_run import TrackedRun


class Store:
    """What the handler asks of ``MlflowClient``."""

    def __init__(self) -> None:
        self.runs: list[Any] = []

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id=name, lifecycle_stage="active")

    def search_runs(self, experiment: str) -> list[Any]:
        return list(self.runs)

    def create_run(self, experiment_id: str, run_name: str) -> Any:
        info = SimpleNamespace(run_id=str(len(self.runs)), run_name=run_name, status="RUNNING")
        self.runs.append(SimpleNamespace(info=info, data=SimpleNamespace(params={})))
        return self.runs[-1]

    def get_run(self, run_id: str) -> Any:
        return self.runs[int(run_id)]

    def log_batch(self, **values: Any) -> None:
        assert self.get_run(values["run_id"]).info.status != "FINISHED"

    def update_run(self, run_id: str, status: str) -> None:
        self.get_run(run_id).info.status = status

    def set_terminated(self, run_id: str, status: str) -> None:
        self.get_run(run_id).info.status = status

    def statuses(self) -> list[str]:
        return [run.info.status for run in self.runs]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    status = SimpleNamespace(FINISHED=3, to_string=lambda _: "FINISHED")
    kind: Callable[..., Any] = lambda *values: values  # noqa: E731
    entities = SimpleNamespace(
        RunStatus=status, LifecycleStage=SimpleNamespace(ACTIVE="active"), Param=kind, Metric=kind
    )
    module = SimpleNamespace(MlflowClient=lambda **_: made, entities=entities)
    monkeypatch.setattr(mlflow_handler, "mlflow", module)
    return made


def tracked(work: Callable[[], Any], *later: Callable[[Engine], None], name: str | None = "one") -> Engine:
    """An engine as MONAI tracks an evaluator, and what other handlers attach behind."""
    engine = Engine(lambda engine, batch: work())
    handler = TrackedRun("sqlite:///all.db", run_name=name, iteration_log=False)
    handler.attach(engine)
    for attach in later:
        attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: engine.state.metrics.update(dice=0.5))
    return engine


def test_an_evaluation_ends_its_run(store: Store) -> None:
    engine = tracked(lambda: None)
    engine.run([0, 1], max_epochs=1)
    assert store.statuses() == ["FINISHED"]
    engine.run([0], max_epochs=1)  # a run of its own
    assert store.statuses() == ["FINISHED", "FINISHED"]


def _plainly(engine: Engine) -> None:
    """As the handlers that end a program in one line."""

    def end(engine: Engine, error: BaseException) -> None:
        raise SystemExit(str(error)) from error

    engine.add_event_handler(Events.EXCEPTION_RAISED, end)


@pytest.mark.parametrize("error", [ValueError("no image"), KeyboardInterrupt()], ids=str)
def test_a_run_that_failed_says_so(error: BaseException, store: Store) -> None:
    seen: list[str] = []

    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        tracked(fail).run([0], max_epochs=1)
    assert store.statuses() == ["FAILED"]
    with pytest.raises(SystemExit):
        tracked(fail, _plainly).run([0], max_epochs=1)
    assert store.statuses() == ["FAILED"]
    tracked(lambda: seen.extend(store.statuses())).run([0], max_epochs=1)  # goes on with it
    assert seen == ["RUNNING"] and store.statuses() == ["FINISHED"]


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_name_each_has_a_run_of_its_own(name: str | None, store: Store) -> None:
    """Not that of another process, nor one of this process that failed."""
    store.create_run("e", "run_20260101_000000")
    store.set_terminated("0", "FAILED")
    store.create_run("e", "run_20260101_000001")  # going on elsewhere

    def fail() -> None:
        raise ValueError("no image")

    with pytest.raises(ValueError, match="no image"):
        tracked(fail, name=name).run([0], max_epochs=1)
    tracked(lambda: None, name=name).run([0], max_epochs=1)
    assert store.statuses() == ["FAILED", "RUNNING", "FAILED", "FINISHED"]
    assert len({run.info.run_name for run in store.runs}) == 4


@pytest.mark.parametrize(
    "problem", [ConnectionError("the server is gone\nand more"), KeyboardInterrupt()], ids=["gone", "ctrl-c"]
)
def test_an_error_is_told_also_where_the_server_is_gone(
    problem: BaseException, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: Any) -> None:
        raise problem

    def fail() -> None:
        raise ValueError("no image")

    monkeypatch.setattr(store, "set_terminated", gone)
    with pytest.raises(SystemExit, match="no image"):
        tracked(fail, _plainly).run([0], max_epochs=1)
    said = [one.getMessage() for one in caplog.records if one.name.startswith("monai_vlsm")]
    why = "the server is gone" if isinstance(problem, ConnectionError) else "KeyboardInterrupt"
    assert said == [f"the run one of MLflow could not be marked as FAILED: {why}"]


@pytest.mark.parametrize("call", ["search_runs", "log_batch"])
def test_an_error_of_the_start_is_not_dropped(call: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(store, call, gone)
    with pytest.raises(ConnectionError, match="the server is gone"):
        tracked(lambda: None).run([0], max_epochs=1)
    assert store.statuses() == {"search_runs": [], "log_batch": ["FAILED"]}[call]


@pytest.mark.parametrize("name", [None, "one"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_validation_leaves_the_run_to_its_training(fails: bool, name: str | None, store: Store) -> None:
    seen: list[list[str]] = []

    def validate() -> None:
        seen.append(store.statuses())
        if fails and len(seen) == 2:
            raise ValueError("no mask")

    evaluator, trainer = tracked(validate, name=name), tracked(lambda: None, name=name)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: evaluator.run([0], max_epochs=1))
    if fails:
        with pytest.raises(ValueError, match="no mask"):
            trainer.run([0], max_epochs=2)
    else:
        trainer.run([0], max_epochs=2)
    assert seen == [["RUNNING"], ["RUNNING"]]
    assert store.statuses() == ["FAILED" if fails else "FINISHED"]


def test_a_second_training_has_a_second_run(store: Store) -> None:
    """With the same engines, also where the evaluator had a run before."""
    evaluator, trainer = (tracked(lambda: None, name=None) for _ in range(2))
    seen: list[list[str]] = []

    def validate(engine: Engine) -> None:
        evaluator.run([0], max_epochs=1)
        seen.append(store.statuses())

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    evaluator.run([0], max_epochs=1)
    for _ in range(2):
        trainer.run([0], max_epochs=1)
    assert seen == [["FINISHED", "RUNNING"], ["FINISHED", "FINISHED", "RUNNING"]]
    assert store.statuses() == ["FINISHED"] * 3
