# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What must not change within a run: its data and all that learning goes by, as plain values to compare."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from monai.engines import Workflow
from torch import nn

__all__ = ["differences", "records_digest", "run_facts"]

# what says how, not what, an optimizer computes; others are called as the setting of the bundles
_FREE = {"foreach", "fused", "capturable", "differentiable"}
_NAMES = {
    "lr": "learning_rate",
    "adaptation width": "adapter_width",
    "adaptation encoders": "encoders",
    "adaptation condition_width": "condition_width",
    "adaptation trainable": "trainable",
}
# of a model: set when training has ended, and in which type it calculated, which follows the device as well
_SETTINGS_FREE = {"format", "existence_threshold", "temperature", "amp", "amp_dtype"}
_BLOCK = 4096  # bytes of a file that are read at its start, middle and end

Facts = dict[str, Any]


def run_facts(
    engine: Workflow, objects: Mapping[str, Any], settings: Mapping[str, Any], records: Mapping[str, Sequence[Any]]
) -> Facts:
    """Name to a number, a text, True, False or None for all that a resumed run must share with the run before.

    Taken from the objects themselves where that can be, so that it does not matter by which setting one was changed.

    Args:
        engine: the trainer, with its loader and loss.
        objects: those whose state is kept; optimizers, learning rate schedules and models (anything with a method
            ``settings()``) are described.
        settings: further names and values, such as the seed.
        records: lists of records by what they are for, such as ``training``; they count by `records_digest`.
    """
    facts = {name: _plain(value) for name, value in settings.items()}
    batch = getattr(engine.data_loader, "batch_size", None)
    facts["batch_size"] = batch and batch * idist.get_world_size()  # several processes compute what one does with it
    for obj in objects.values():
        facts |= _facts_of(obj)
    loss = getattr(engine, "loss_function", None)
    facts |= _described(getattr(loss, "single", loss), "loss")  # `monai_vlsm.losses.RankMeanLoss` has that of one
    return facts | {f"{name} data": f"{len(rows)} records ({records_digest(rows)})" for name, rows in records.items()}


def differences(here: Facts, before: Facts) -> list[str]:
    """``"learning_rate is 1e-05 here and 0.001 in the run"`` for each fact that is known of both and not equal."""
    return [
        f"{name} is {value} here and {before[name]} in the run"
        for name, value in here.items()
        if name in before and before[name] != value
    ]


def _facts_of(obj: Any) -> Facts:
    if isinstance(obj, torch.optim.Optimizer):
        values = {_NAMES.get(name, name): value for name, value in obj.defaults.items() if name not in _FREE}
        return {"optimizer": type(obj).__name__, **_kept(values)}
    if isinstance(obj, torch.optim.lr_scheduler.LRScheduler):
        names = set(inspect.signature(type(obj)).parameters) - {"optimizer", "last_epoch"}
        found = {f"lr_scheduler {name}": value for name, value in sorted(vars(obj).items()) if name in names}
        return {"lr_scheduler": type(obj).__name__, **_kept(found)}
    if callable(getattr(obj, "settings", None)):
        return dict(_flat({name: value for name, value in obj.settings().items() if name not in _SETTINGS_FREE}))
    return {}


def _flat(values: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{start}{name} ")
        else:
            yield _NAMES.get(f"{start}{name}", f"{start}{name}"), _plain(value)


def _described(obj: Any, name: str) -> Facts:
    """Kind and plain attributes of a loss and of what it is made of."""
    attributes = vars(obj).items() if hasattr(obj, "__dict__") else ()
    public = {f"{name} {key}": value for key, value in attributes if key[0] != "_" and key != "training"}
    facts = {name: getattr(obj, "__name__", type(obj).__name__), **_kept(public)}
    for key, child in obj.named_children() if isinstance(obj, nn.Module) else ():
        facts |= _described(child, f"{name} {key}")
    return facts


def _kept(values: Mapping[str, Any]) -> Facts:
    """Those that can be compared and said."""
    found = {name: _plain(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not NotImplemented}


def _plain(value: Any) -> Any:
    """The value itself if it is plain, the text of a list or table of such values, else NotImplemented."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) and np.size(value) < 100:
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)) and all(_plain(item) is not NotImplemented for item in value):
        return str([_plain(item) for item in value])
    if isinstance(value, Mapping) and all(_plain(item) is not NotImplemented for item in value.values()):
        return str({str(key): _plain(item) for key, item in value.items()})
    return NotImplemented


def records_digest(records: Sequence[Any]) -> str:
    """Twelve digits that differ for other records, another order, or other files under the same names.

    The place of a file does not count, so that data may move to another disk: its name, size, and what is at its start,
    in its middle and at its end do.
    """
    digest = hashlib.sha256()
    seen: dict[str, bytes] = {}
    shared: dict[int, tuple[Any, bytes]] = {}  # tables that many records have in common, kept so that no id comes again
    for record in records:
        for key in sorted(record, key=str) if isinstance(record, Mapping) else ():
            digest.update(str(key).encode() + b"\0" + _joined(record[key], seen, shared))
        if not isinstance(record, Mapping):
            digest.update(_joined(record, seen, shared))
    return digest.hexdigest()[:12]


def _joined(value: Any, seen: dict[str, bytes], shared: dict[int, tuple[Any, bytes]]) -> bytes:
    """The parts of a value of a record behind one another; those of a table or list once, however many share it."""
    if id(value) in shared:
        return shared[id(value)][1]
    whole = b"".join(part + b"\0" for part in _parts(value, seen))
    if isinstance(value, (Mapping, list, tuple)):
        shared[id(value)] = value, whole
    return whole


def _parts(value: Any, seen: dict[str, bytes]) -> Iterator[bytes]:
    """What is in a record, in a fixed order; ``seen`` has what was read of a file, which many records may share."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _parts(value[key], seen)
    elif isinstance(value, (list, tuple)):
        yield str(len(value)).encode()
        for item in value:
            yield from _parts(item, seen)
    elif isinstance(value, (torch.Tensor, np.ndarray)):
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, (str, os.PathLike)):
        file, slices, part = os.fspath(value).partition("::")  # an address names a part of a file
        if file not in seen:
            seen[file] = _file_parts(Path(file)) if _is_file(file) else file.encode("utf-8", "surrogatepass")
        yield seen[file] + (slices + part).encode("utf-8", "surrogatepass")
    else:
        yield repr(value).encode()


def _is_file(text: str) -> bool:
    return "\0" not in text and Path(text).is_absolute() and Path(text).is_file()


def _file_parts(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        parts = []
        for place in sorted({0, max(0, (size - _BLOCK) // 2), max(0, size - _BLOCK)}):
            file.seek(place)
            parts.append(file.read(_BLOCK))
    return b"".join([path.name.encode("utf-8", "surrogateescape"), str(size).encode(), *parts])
