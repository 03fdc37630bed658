# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a run says of itself on the console: facts at its start, and where its results are at its end."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from torch import nn

from monai_vlsm.counts import counted, few_images

__all__ = ["RunSummary"]

logger = logging.getLogger(__name__)

Records = Sequence[Mapping[str, Any]]


class RunSummary:
    """Logs device, data, network and results: four lines when a run starts, one when it ends; process 0 alone does.

    A list of fewer than `monai_vlsm.counts.FEWEST` images that gives scores gets one line more, a warning. Slices of
    volumes count by their patients, and where not all have one, by their volumes.

    Args:
        device: on which the network runs.
        network: one of `monai_vlsm.networks`, or its DistributedDataParallel wrapper.
        records: what they are for, such as ``"to train"``, to records with ``image`` and, if there are any, ``label``.
        results: what to where, such as ``{"model": "models/model.pt", "scores": "eval"}``.
        scored: the records that scores are taken from, if there are any.
        split: what their list is called.
        model_file: what was loaded into the network, if it was.
    """

    def __init__(
        self,
        device: torch.device,
        network: nn.Module,
        records: Mapping[str, Records],
        results: Mapping[str, str],
        scored: Records | None = None,
        split: str = "the data",
        model_file: str | None = None,
    ) -> None:
        self.device, self.network, self.model_file = torch.device(device), network, model_file
        self.records, self.results = dict(records), dict(results)
        self.scored, self.split = scored, split

    def start(self) -> None:
        """Log what is about to be done."""
        if idist.get_rank() != 0:
            return
        logger.info("device: %s", _device(self.device))
        logger.info("data: %s", ", ".join(f"{_amount(rows)} {what}" for what, rows in self.records.items()))
        logger.info("network: %s", _network(self.network) + (f", from {self.model_file}" if self.model_file else ""))
        logger.info("results: %s", self._places())
        if self.scored is not None and (warning := _few(self.split, self.scored)):
            logger.warning(warning)

    def end(self) -> None:
        """Log where everything is."""
        if idist.get_rank() == 0:
            logger.info("done: %s", self._places())

    def _places(self) -> str:
        return ", ".join(f"{what} in {place}" for what, place in self.results.items())


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        text = f"{device}, {torch.cuda.get_device_name(device)}"
    else:
        text = f"{device}, {counted(torch.get_num_threads(), 'thread')}"
    return text + (f", {counted(idist.get_world_size(), 'process')}" if idist.get_world_size() > 1 else "")


def _images(records: Records) -> int:
    return len({str(record["image"]) for record in records})


def _few(name: str, records: Records) -> str:
    """The warning on a list that is too small to take scores from; empty for others."""
    slices = [record for record in records if record.get("case")]
    if not slices:
        return few_images({name: _images(records)})
    key = "patient" if all(record.get("patient") for record in slices) else "case"
    units = {(record.get("dataset"), record[key]) for record in slices}
    images = [record for record in records if not record.get("case")]
    return few_images({name: len(units) + _images(images)}, "patient" if key == "patient" else "volume")


def _amount(records: Records) -> str:
    """Images, and the masks that belong to them."""
    labels = [record["label"] for record in records if "label" in record]
    masks = sum(1 if isinstance(label, str) else len(label) for label in labels)
    return counted(_images(records), "image") + (f" ({counted(masks, 'mask')})" if masks else "")


def _network(network: nn.Module) -> str:
    inner: Any = getattr(network, "module", network)
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in inner.parameters()]
    trained, total = sum(size for size, trains in sizes if trains), sum(size for size, _ in sizes)
    return f"{type(inner).__name__}, backbone {inner.backbone}, {trained:,} of {total:,} parameters are trainable"
