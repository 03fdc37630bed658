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
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from monai_vlsm.data import IMAGE_ROWS, TOKEN_KEYS
from monai_vlsm.data.by_image import collate_by_image
from monai_vlsm.engines import PromptBatch
from monai_vlsm.handlers import deferred, nan_guard
from monai_vlsm.handlers.contrast import present_rows
from monai_vlsm.inferers import PromptInferer, asked_prompts
from monai_vlsm.losses import PromptedSegmentationLoss, SoftContrastiveLoss
from monai_vlsm.networks import prompt_rows
from tests.bundles.dataset import write_dataset
from tests.bundles.test_vlsm_dense import TRAIN, run
from tests.test_engines import Bright

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


SWITCHES: dict[str, tuple[dict[str, Any], int]] = {
    "plain": ({}, 3),
    "by_image": ({"by_image": True}, 3),
    "multi_prompt": ({"multi_prompt": True}, 2),
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_no_step_waits(switch: str, backbone: Path, tmp_path: Path, counted: tuple[HostReads, list[int]]) -> None:
    reads, steps = counted
    more, of_epoch = SWITCHES[switch]
    settings = {"dataset_dir": str(write_dataset(tmp_path / "data", grow=0)), "backbone": str(backbone), **more}
    device = {"device": torch.device("cpu"), "num_workers": 0, "amp": False, "adapter_width": 4}
    epochs = 2 if switch == "plain" else 1
    run([TRAIN], tmp_path / "run", **settings, **device, epochs=epochs, batch_size=4, overlays=0)
    assert steps == list(range(1, of_epoch * epochs + 1))
    assert reads.found == []
    losses = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["objects"]["curves"]["train_loss"]
    assert len(losses) == epochs and all(loss > 0 for _, loss in losses)


@pytest.mark.parametrize("by_image", [False, True])
def test_what_repeats_and_what_fills_up_is_known_on_the_host(by_image: bool) -> None:
    """Images that come twice, and images with fewer prompts, through inferer, loss and contrastive term."""
    images = torch.rand(2, 3, 4, 4).repeat_interleave(2, dim=0)
    items = [
        {
            "image": image,
            "label": torch.ones(count, 4, 4),
            "prompt": ["a"] * count,
            "input_ids": torch.ones(count, 5, dtype=torch.int64),
            "attention_mask": torch.ones(count, 5, dtype=torch.int64),
        }
        for image, count in zip(images, (1, 3, 2, 3), strict=True)
    ]
    batch, network, rows = collate_by_image(items), Bright(), torch.rand(9, 8)
    with HostReads() as reads:
        reads.note(batch)
        inferer = PromptInferer(False, by_image=by_image)
        image, label, _, more = PromptBatch(False, inferer)(batch, torch.device("cpu"), non_blocking=True)
        assert image is not None and label is not None
        logits = inferer(image.requires_grad_(), network, **more)
        loss = PromptedSegmentationLoss()(logits, label)
        present = present_rows(label, asked_prompts({key: batch[key] for key in TOKEN_KEYS}, 4))
        (loss + SoftContrastiveLoss()(rows, rows, present)).backward()
    assert network.batches == [2 if by_image else 4]
    assert reads.found == []


@pytest.mark.parametrize(("other", "asks"), [(None, True), ("inferer", False), ("train#trainer#inferer", False)])
def test_another_inferer_gets_nothing_that_it_does_not_know(other: str | None, asks: bool) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(TRAIN))
    parser["by_image"], parser["amp"], parser["inferer"]["prompts"] = True, False, None
    if other is not None:
        parser[other] = {"_target_": "monai.inferers.SimpleInferer"}
    batch = {"image": torch.rand(2, 3, 4, 4), IMAGE_ROWS: torch.tensor([0, 0])}
    more = parser.get_parsed_content("train#trainer#prepare_batch")(batch)[3]
    assert (IMAGE_ROWS in more) == asks
