# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Between two steps of a training nothing that was computed is read: on a GPU the CPU would wait for it.

Runs on a CPU, where each such read is counted: what a batch brings is there already, and what was sent to the device,
and all that follows from it, is not.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from monai_vlsm.handlers import deferred, nan_guard
from monai_vlsm.networks import prompt_rows
from tests.bundles.dataset import write_dataset
from tests.bundles.test_vlsm_dense import TRAIN, run

READS = {"item", "tolist", "cpu", "numpy", "__array__", "__bool__", "__int__", "__float__", "__index__", "__repr__"}
READS |= {"__format__", "__contains__", "is_nonzero", "equal", "allclose"}
COUNTS = {
    "nonzero",
    "argwhere",
    "unique",
    "_unique2",
    "unique_consecutive",
    "masked_select",
    "bincount",
}  # sizes are read
INDEXING = {"__getitem__", "__setitem__", "index_put", "index_put_"}  # likewise, with a mask


class HostReads(TorchFunctionMode):
    """Counts what brings values of the device to the host.

    Tensors that were noted or made of nothing, and what follows from them alone, are on the host until they are sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._host: dict[int, Any] = {}  # kept, so that no address comes again

    def note(self, value: Any) -> None:
        for one in (one for one in tree_leaves(value) if isinstance(one, Tensor)):
            self._host[one.untyped_storage().data_ptr()] = one.untyped_storage()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        host = all(one.untyped_storage().data_ptr() in self._host for one in tensors) and kwargs.get("device") is None
        name = getattr(func, "__name__", "")
        if tensors and not host and _reads(name, args, kwargs):
            self.found.append(f"{name} at {traceback.extract_stack(limit=3)[-2]}")
        result = func(*args, **kwargs)
        if host and isinstance(result, Tensor):
            if name == "to":
                return result.clone()
            self.note(result)
        return result


def _reads(name: str, args: Any, kwargs: Any) -> bool:
    if name in INDEXING:
        return any(isinstance(one, Tensor) and one.dtype == torch.bool for one in tree_leaves(args[1]))
    if name == "to":
        return any(isinstance(one, str) and one == "cpu" for one in (*args[1:], *kwargs.values()))
    return name in READS or name in COUNTS


KINDS: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda value: value.sum().item(),
    "bool": lambda value: bool(value.isfinite().all()),
    "float": lambda value: float(value[0]),
    "int": lambda value: int(value[0]),
    "if": lambda value: 1 if value[0] > 0 else 0,
    "list": lambda value: value.tolist(),
    "cpu": lambda value: value.cpu(),
    "to cpu": lambda value: value.to("cpu"),
    "numpy": lambda value: value.numpy(),
    "array": lambda value: np.asarray(value),
    "nonzero": lambda value: value.nonzero(),
    "unique": lambda value: torch.unique(value),
    "mask": lambda value: value[value > 0],
    "equal": lambda value: torch.equal(value, value),
}


@pytest.mark.parametrize("kind", KINDS)
def test_reads_are_counted(kind: str) -> None:
    value = torch.tensor([1.0, 2.0])
    with HostReads() as reads:
        KINDS[kind](value)
    assert reads.found
    with HostReads() as reads:
        reads.note(value)
        KINDS[kind](value)
        KINDS[kind](value + 1)
    assert not reads.found
    with HostReads() as reads:
        reads.note(value)
        KINDS[kind](value.to(torch.device("cpu")) + 1)
    assert reads.found


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[HostReads, list[int]]]:
    """Reads during the iterations of the trainer, and the number of these."""
    for module in (deferred, nan_guard, prompt_rows):
        monkeypatch.setattr(module, "on_host", lambda _: False)
    reads, steps, entered = HostReads(), [], ExitStack()
    register = SupervisedTrainer._register_handlers

    def begin(engine: Any) -> None:
        reads.note(engine.state.batch)
        entered.enter_context(reads)

    def end(engine: Any) -> None:
        entered.close()
        steps.append(engine.state.iteration)

    def register_between(engine: Any, handlers: Any) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, begin)
        register(engine, handlers)
        engine.add_event_handler(Events.ITERATION_COMPLETED, end)

    monkeypatch.setattr(SupervisedTrainer, "_register_handlers", register_between)
    yield reads, steps
    entered.close()


def test_no_step_waits(backbone: Path, tmp_path: Path, counted: tuple[HostReads, list[int]]) -> None:
    reads, steps = counted
    settings = {"dataset_dir": str(write_dataset(tmp_path / "data")), "backbone": str(backbone), "adapter_width": 4}
    device = {"device": torch.device("cpu"), "num_workers": 0, "amp": False}
    run([TRAIN], tmp_path / "run", **settings, **device, epochs=2, batch_size=4, overlays=0)
    assert steps == [1, 2, 3, 4, 5, 6]
    assert reads.found == []
    losses = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["objects"]["curves"]["train_loss"]
    assert len(losses) == 2 and all(loss > 0 for _, loss in losses)
