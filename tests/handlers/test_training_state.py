# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events

from monai_vlsm.handlers import ResumeError
from monai_vlsm.handlers.random_state import get_random_state, set_random_state
from tests.handlers import toy


class _Interrupt:
    """Ctrl-C at one moment of a run."""

    def __init__(self, event: Any) -> None:
        self.event = event

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(self.event, self)

    def __call__(self, engine: Engine) -> None:
        raise KeyboardInterrupt


def _load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def _assert_same(one: Any, two: Any) -> None:
    """Equal to the last bit, whatever is nested in what."""
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            _assert_same(one[key], two[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two)
        for left, right in zip(one, two, strict=True):
            _assert_same(left, right)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    else:
        assert one == two


def _assert_same_run(one: Path, two: Path) -> None:
    for name in ("model.pt", "last.pt"):
        _assert_same(_load(one / name), _load(two / name))
    for name in ("metrics.csv", "metrics.json"):
        assert (one / name).read_text() == (two / name).read_text()


def _stopped(folder: Path, **kwargs: Any) -> None:
    toy.trainer(folder, epochs=2, **kwargs).run()


def _interrupted(event: Any) -> Callable[..., None]:
    def run(folder: Path, **kwargs: Any) -> None:
        engine = toy.trainer(folder, extra=(_Interrupt(event),), **kwargs)
        with pytest.raises(SystemExit) as info:
            engine.run()
        assert info.value.code == 130

    return run


STOPS = {
    "after epoch 2": _stopped,
    "in epoch 1": _interrupted(Events.ITERATION_COMPLETED(once=1)),
    "in epoch 3": _interrupted(Events.ITERATION_COMPLETED(once=8)),
    "after the best model of epoch 3": _interrupted(Events.EPOCH_COMPLETED(once=3)),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folder of an uninterrupted run of 4 epochs, made once for each set of arguments."""
    folders: dict[str, Path] = {}

    def run(**kwargs: Any) -> Path:
        key = str(sorted(kwargs.items()))
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("whole")
            toy.trainer(folders[key], **kwargs).run()
        return folders[key]

    return run


@pytest.mark.parametrize(("stop", "workers"), [*((stop, 0) for stop in STOPS), ("in epoch 3", 2), ("after epoch 2", 2)])
def test_a_resumed_run_ends_like_an_uninterrupted_one(
    tmp_path: Path, whole: Callable[..., Path], stop: str, workers: int
) -> None:
    STOPS[stop](tmp_path, workers=workers)
    toy.trainer(tmp_path, resume=True, workers=workers).run()
    _assert_same_run(tmp_path, whole(workers=workers))


def test_with_validation_every_third_epoch(tmp_path: Path, whole: Callable[..., Path]) -> None:
    _interrupted(Events.ITERATION_COMPLETED(once=8))(tmp_path, interval=3)
    toy.trainer(tmp_path, resume=True, interval=3).run()
    _assert_same_run(tmp_path, whole(interval=3))


def test_the_run_that_is_compared_exercises_what_it_should(whole: Callable[..., Path]) -> None:
    content = _load(whole(workers=0) / "last.pt")
    assert content["objects"]["lr_scheduler"]["_last_lr"][0] < 0.02
    assert content["objects"]["best"]["best_metric_epoch"] > 2
    assert len(content["objects"]["curves"]["val_dice"]) == 4
    start = toy.trainer(whole(workers=0).with_name("unused")).network.state_dict()
    assert not torch.equal(content["objects"]["model"]["0.weight"], start["0.weight"])


def test_best_score_and_patience_survive(tmp_path: Path) -> None:
    """The run before had a better epoch, and had lost all but one of its 20 epochs of patience since."""
    _stopped(tmp_path)
    content = _load(tmp_path / "last.pt")
    content["objects"]["best"].update(best_metric=2.0, best_metric_epoch=1)
    content["objects"]["early_stop"].update(best_score=2.0, counter=19)
    torch.save(content, tmp_path / "last.pt")
    kept = {name: (tmp_path / name).read_bytes() for name in ("model.pt", "metrics.csv", "metrics.json")}
    toy.trainer(tmp_path, resume=True).run()
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept
    content = _load(tmp_path / "last.pt")
    assert (content["epoch"], content["finished"]) == (3, True)


def test_the_file_after_each_epoch(tmp_path: Path) -> None:
    seen: list[tuple[int, int, bool]] = []
    engine = toy.trainer(tmp_path, epochs=2)

    def look(_: Engine) -> None:
        content = _load(tmp_path / "last.pt")
        seen.append((content["epoch"], content["iteration"], content["finished"]))

    for event in (Events.EPOCH_STARTED, Events.COMPLETED):
        engine.add_event_handler(event, look)
    engine.run()
    assert seen == [(0, 0, False), (1, 3, False), (2, 6, True)]


@pytest.mark.parametrize("early", [False, True])
def test_a_finished_run_does_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture, early: bool) -> None:
    stop = _Stop() if early else None
    toy.trainer(tmp_path, epochs=3, extra=(stop,) if stop else ()).run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    engine = toy.trainer(tmp_path, epochs=3, resume=True)
    engine.add_event_handler(Events.EPOCH_STARTED, lambda _: pytest.fail("an epoch was run"))
    with caplog.at_level(logging.WARNING):
        engine.run()
    assert f"last.pt is finished, after epoch {2 if early else 3}" in caplog.text
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


class _Stop:
    """Terminates at the end of the second epoch, as an early stop does."""

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), lambda engine: engine.terminate())


def test_a_second_run_of_the_same_engine_does_not_load_again(tmp_path: Path) -> None:
    _stopped(tmp_path)
    engine = toy.trainer(tmp_path, epochs=3, resume=True)
    engine.run()
    (tmp_path / "last.pt").unlink()
    engine.state.max_epochs = 4
    engine.run()
    assert _load(tmp_path / "last.pt")["epoch"] == 4


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"last\.pt does not exist; start afresh without --resume True"):
        toy.trainer(tmp_path, resume=True).run()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["objects"].pop("best"), r"expected \['best', 'curves', 'early_stop'"),
        (lambda content: content.update(epoch_length=5), "with 5 iterations per epoch, this run has 3"),
        (lambda content: content.clear(), r"holds \[\]"),
    ],
)
def test_a_file_of_another_run(tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    _stopped(tmp_path)
    content = _load(tmp_path / "last.pt")
    change(content)
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ResumeError, match=message):
        toy.trainer(tmp_path, resume=True).run()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a file"])
def test_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(ResumeError, match=r"last\.pt is damaged or not a training state .*; start afresh"):
        toy.trainer(tmp_path, resume=True).run()


def test_scaler_state_is_restored(tmp_path: Path) -> None:
    scales: list[float] = []
    for resume, scale in ((False, 32.0), (True, 8.0)):
        engine = toy.trainer(tmp_path, epochs=2 if resume else 1, resume=resume)
        engine.amp, engine.scaler = True, torch.amp.GradScaler("cpu", init_scale=scale)
        engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: scales.append(engine.scaler.get_scale()))
        Engine.run(engine, engine.data_loader, max_epochs=engine.state.max_epochs)
    assert scales == [32.0, 32.0]


def test_random_state_round_trip(tmp_path: Path) -> None:
    import random

    def draws() -> list[float]:
        return [random.random(), np.random.rand(), np.random.randn(), float(torch.rand(1))]

    np.random.randn()  # leaves half a pair of normal numbers in the state
    torch.save(get_random_state(), tmp_path / "rng.pt")
    expected = draws()
    set_random_state(_load(tmp_path / "rng.pt"))
    assert draws() == expected


def _train_as_rank(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    toy.trainer(folder / "run", epochs=1).run()
    torch.distributed.barrier()
    toy.trainer(folder / "run", epochs=2, resume=True).run()
    torch.distributed.destroy_process_group()


def test_two_processes_write_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.multiprocessing.start_processes(_train_as_rank, args=(tmp_path,), nprocs=2, start_method="fork")
    assert _load(tmp_path / "run" / "last.pt")["epoch"] == 2
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "curves.png",
        "last.pt",
        "metrics.csv",
        "metrics.json",
        "model.pt",
    ]
    assert [line.split("  ")[0] for line in capfd.readouterr().err.splitlines() if line.startswith("epoch")] == [
        "epoch 1/1",
        "epoch 2/2",
    ]
