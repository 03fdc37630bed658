# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import ValidationHandler

from monai_vlsm.errors import UserError
from monai_vlsm.handlers import EarlyStop, ResumeError, TrainingState
from monai_vlsm.handlers.engine_state import EpochLoss, mean_loss
from monai_vlsm.handlers.random_state import get_random_state, set_random_state
from tests.folders import visible
from tests.handlers import toy

pytestmark = pytest.mark.usefixtures("blank_curves")


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


@pytest.mark.parametrize(("stop", "workers"), [*((stop, 0) for stop in STOPS), ("in epoch 3", 2)])
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
    with pytest.raises(FileNotFoundError, match=r"last\.pt does not exist; start afresh without --resume True") as info:
        toy.trainer(tmp_path, resume=True).run()
    assert isinstance(info.value, UserError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["objects"].pop("best"), r"expected \['best', 'curves', 'early_stop'"),
        (lambda content: content.update(epoch_length=5), "with 5 iterations per epoch, this run has 3"),
        (lambda content: content.clear(), "a file of another kind, not a training state"),
        (lambda content: content["facts"].update(learning_rate=1.0), "learning_rate is 0.02 here and 1.0 in the run"),
        (lambda content: content["objects"]["model"].popitem(), "does not fit this run"),
        (lambda content: content["objects"].update(optimizer=3), "does not fit this run"),
        (lambda content: content.update(epoch="two"), "does not fit this run"),
    ],
)
def test_a_file_of_another_run(tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    _stopped(tmp_path)
    content = _load(tmp_path / "last.pt")
    change(content)
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ResumeError, match=message):
        toy.trainer(tmp_path, resume=True).run()


def test_a_file_of_an_earlier_version_is_taken_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _stopped(tmp_path)
    content = _load(tmp_path / "last.pt")
    del content["facts"], content["stopped_early"]
    torch.save(content, tmp_path / "last.pt")
    toy.trainer(tmp_path, epochs=3, resume=True).run()
    assert "of an earlier version" in caplog.text
    assert _load(tmp_path / "last.pt")["epoch"] == 3


def _damaged(path: Path) -> dict[str, bytes]:
    """Content of a file of which half is missing, or one bit of its largest tensor is another."""
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        largest = archive.read(max(archive.infolist(), key=lambda entry: entry.file_size))
    flipped = bytearray(whole)
    flipped[whole.index(largest) + len(largest) // 2] ^= 16
    return {"cut": whole[: len(whole) // 2], "flipped": bytes(flipped)}


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_cut_or_flipped_file_says_what_can_still_be_done(tmp_path: Path, damage: str) -> None:
    _stopped(tmp_path)
    content = _damaged(tmp_path / "last.pt")[damage]
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(ResumeError, match=rf"last\.pt is damaged .* --start_from {tmp_path / 'model.pt'}"):
        toy.trainer(tmp_path, resume=True).run()
    assert (tmp_path / "last.pt").read_bytes() == content


@pytest.mark.parametrize("content", [[1, 2], {"weight": torch.zeros(2)}, torch.zeros(3)])
def test_a_file_of_another_kind(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ResumeError, match="a file of another kind, not a training state; start afresh"):
        toy.trainer(tmp_path, resume=True).run()


def _patience(engine: Any, patience: int | None) -> Any:
    """The engine with another early stop; nothing ever counts as better."""
    state = next(obj for obj in _handlers(engine) if isinstance(obj, TrainingState))
    old = state.save_dict["early_stop"]
    new = EarlyStop(old.evaluator, "val_dice", patience, min_delta=2.0)
    engine.remove_event_handler(old, Events.EPOCH_COMPLETED)
    new.attach(engine)
    # before the state is written, as in the bundles
    engine._event_handlers[Events.EPOCH_COMPLETED].insert(0, engine._event_handlers[Events.EPOCH_COMPLETED].pop())
    validation = next(
        entry for entry in engine._event_handlers[Events.EPOCH_COMPLETED] if isinstance(entry[0], ValidationHandler)
    )
    engine._event_handlers[Events.EPOCH_COMPLETED].remove(validation)
    engine._event_handlers[Events.EPOCH_COMPLETED].insert(0, validation)
    state.save_dict["early_stop"] = new
    return engine


def _handlers(engine: Any) -> list[Any]:
    return [getattr(entry[0], "__self__", entry[0]) for entry in engine._event_handlers[Events.EPOCH_COMPLETED]]


def test_a_run_that_was_stopped_early_says_so_and_goes_on_with_more_patience(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _patience(toy.trainer(tmp_path, epochs=6), 2).run()
    assert [_load(tmp_path / "last.pt")[key] for key in ("epoch", "finished", "stopped_early")] == [3, True, True]
    with caplog.at_level(logging.WARNING):
        _patience(toy.trainer(tmp_path, epochs=9, resume=True), 2).run()
    assert "was stopped early after epoch 3 of 6, after 2 validations without a better score" in caplog.text
    assert "--early_stop above 2" in caplog.text
    assert _load(tmp_path / "last.pt")["epoch"] == 3
    _patience(toy.trainer(tmp_path, epochs=6, resume=True), 4).run()
    assert [_load(tmp_path / "last.pt")[key] for key in ("epoch", "stopped_early")] == [5, True]
    _patience(toy.trainer(tmp_path, epochs=7, resume=True), None).run()
    assert [_load(tmp_path / "last.pt")[key] for key in ("epoch", "stopped_early")] == [7, False]


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


def _mean_as_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)  # a fork has no threads of OpenMP, and would wait for them
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    engine: Any = Engine(lambda _, loss: {"loss": loss})
    loss, each = EpochLoss(), []
    loss.attach(engine)
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: each.append(float(mean_loss(engine.state.output)))
    )
    engine.run([[1.0, 2.0], [6.0, 7.0]][rank], max_epochs=2)
    (folder / f"{rank}").write_text(f"{loss.mean} {each}")
    torch.distributed.destroy_process_group()


def test_the_loss_is_the_mean_over_processes(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(_mean_as_rank, args=(tmp_path,), nprocs=2, start_method="fork")
    assert [(tmp_path / name).read_text() for name in "01"] == ["4.0 [3.5, 4.5, 3.5, 4.5]"] * 2


def _train_as_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)  # a fork has no threads of OpenMP, and would wait for them
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    toy.trainer(folder / "run", epochs=1).run()
    torch.distributed.barrier()
    toy.trainer(folder / "run", epochs=2, resume=True).run()
    torch.distributed.destroy_process_group()


def test_two_processes_write_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.multiprocessing.start_processes(_train_as_rank, args=(tmp_path,), nprocs=2, start_method="fork")
    assert _load(tmp_path / "run" / "last.pt")["epoch"] == 2
    assert visible(tmp_path / "run") == {"curves.png", "last.pt", "metrics.csv", "metrics.json", "model.pt"}
    assert [line.split("  ")[0] for line in capfd.readouterr().err.splitlines() if line.startswith("epoch")] == [
        "epoch 1/1",
        "epoch 2/2",
    ]
