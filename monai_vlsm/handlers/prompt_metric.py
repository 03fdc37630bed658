# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Means over validation masks that never mix prompts of different tags."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.handlers import IgniteMetricHandler
from monai.utils import convert_to_tensor

from monai_vlsm.handlers.engine_state import per_structure
from monai_vlsm.handlers.rows import gather_rows
from monai_vlsm.handlers.scores import texts_of
from monai_vlsm.metrics import Hausdorff95Metric, OverlapMetric
from monai_vlsm.prompts import CLASS, TAGS, worst_tag

__all__ = ["PromptMetric"]

logger = logging.getLogger(__name__)

MASK_METRICS = (Hausdorff95Metric, OverlapMetric)


def mask_bits(output: list[dict[str, Any]]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """``pred`` and ``label`` of each structure as bool ``(1, H, W)``, kept in the output for the next metric."""
    for item in output:
        if "bits" not in item:
            item["bits"] = [convert_to_tensor(item[key], track_meta=False).bool().cpu() for key in ("pred", "label")]
    pred, label = ([mask[None] for item in output for mask in item["bits"][side]] for side in (0, 1))
    return pred, label


class PromptMetric(IgniteMetricHandler):
    """MONAI's ``IgniteMetricHandler``, whose value is a mean over the masks of one tag only.

    A model cannot be chosen, nor a learning rate set, by a mean of what a prompt asked and of what another gave away.
    Where prompts of several tags are in a validation, the value is the mean over those that give away least: ``class``
    before ``metadata`` before ``mask-derived``. In BUSI with style p1 these are the prompts that name the tumour;
    images without one, whose prompt says "No tumor", do not count. With one tag for all it is MONAI's own mean. The
    details in ``engine.state.metric_details`` are of all masks, in the order of `monai_vlsm.handlers.rows.gather_rows`,
    by which several processes put them together.

    Attach to an evaluator with decollation.

    Args:
        metric_fn: a metric of MONAI that scores each mask by itself; it compares ``pred`` and ``label``.
        loss_fn: a loss instead; it compares ``logits`` and ``logits_target``
            (`monai_vlsm.transforms.PromptPostprocessing`).
        output_transform: what to compare instead; each mask must be an item of its own (`per_structure`).
        kwargs: of ``IgniteMetricHandler``.
    """

    _tags: list[str]
    _found: list[torch.Tensor]
    _told = False

    def __init__(
        self,
        metric_fn: Any = None,
        loss_fn: Any = None,
        output_transform: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        compared = per_structure(["logits", "logits_target"])
        if loss_fn is None:  # metrics of ours count bits, which are made of each mask once for all of them
            compared = mask_bits if isinstance(metric_fn, MASK_METRICS) else per_structure(["pred", "label"])
        super().__init__(metric_fn, loss_fn, output_transform or compared, **kwargs)

    def attach(self, engine: Engine, name: str) -> None:  # type: ignore[override]
        """Follow ``engine``; its metric ``name`` is this one."""
        self._key = getattr(engine.state, "key_metric_name", None)
        engine.add_event_handler(Events.EPOCH_STARTED, self._clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        super().attach(engine, name)

    def reset(self) -> None:
        """Forget all scores."""
        super().reset()
        self._found = []

    def update(self, output: Sequence[Any]) -> None:
        """Score the masks of a batch; ``output`` has what was found and the truth."""
        found, truth = output
        self._found.append(torch.as_tensor(self.metric_fn(found, truth)).flatten())

    def compute(self) -> float:
        """The mean over the masks whose prompts give away least; NaN scores do not count.

        Raises:
            ValueError: when the metric does not give one score for each mask.
        """
        own = torch.cat(self._found).tolist()
        if len(own) != len(self._tags):
            raise ValueError(f"metric {self._name!r} has {len(own)} scores for {len(self._tags)} masks")
        found = gather_rows(list(zip(own, self._tags, strict=True)), self._engine)
        scores, tags = torch.tensor([score for score, _ in found]), [tag for _, tag in found]
        if self._engine is not None:
            self._engine.state.metric_details[self._name] = scores  # type: ignore[attr-defined]
        kept = min(tags, key=TAGS.index)
        self._tell(tags, kept)
        return float(scores[torch.tensor([tag == kept for tag in tags])].nanmean())

    def _tell(self, tags: Sequence[str], kept: str) -> None:
        """Say once of the key metric which of several tags count."""
        if self._told or self._name != self._key or len(set(tags)) < 2:
            return
        self._told = True
        found = ", ".join(f"{count} {tag}" for tag, count in Counter(tags).items())
        logger.info("of the validation prompts (%s) only the %s ones count for %s", found, kept, self._name)

    def _clear(self, engine: Engine) -> None:
        self._tags = []

    def _collect(self, engine: Engine) -> None:
        state: Any = engine.state
        for item, output in zip(state.batch, state.output, strict=True):
            self._tags += [worst_tag([tag]) for tag in texts_of(item, "prompt_tag", CLASS, len(output["label"]))]
