# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""In an evaluation: a number for each mask that says how doubtful it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Events
from monai.data import MetaTensor
from monai.engines import Workflow
from monai.transforms import Compose
from torch import Tensor

from monai_vlsm.handlers.scores import prompts_of, texts_of
from monai_vlsm.inferers import FEATURES_KEY
from monai_vlsm.networks import PromptedNet
from monai_vlsm.transforms import PromptPostprocessing
from monai_vlsm.uncertainty.entropy import Doubt
from monai_vlsm.uncertainty.members import Members, UncertaintyError, Ways, make_members

__all__ = ["UncertaintyScorer", "all_ways"]


class UncertaintyScorer:
    """Adds ``uncertainty`` to the output of an evaluator: for each mask how doubtful it is (`Doubt`), from 0 to 1.

    The mean of several predictions is taken to the size of the file, and compared there with the mask that is scored.
    `monai_vlsm.handlers.ScoreWriter` writes the numbers, so attach this before it, with decollation.

    Args:
        method: one of `METHODS`.
        network: of the evaluator.
        preprocessing: the transforms that the images go through.
        records: of all images, with the prompts that are asked.
        tables: the same before a prompt was chosen: further texts of the chosen style are ``prompts`` too.
        temperature: of the model.
        rewordings: for ``prompts``: texts with ``{}`` where a prompt goes.
        draws: for ``dropout``: how many.
        seed: of the draws.
        amp: mixed precision.
        amp_dtype: its type on a GPU.

    Raises:
        UncertaintyError: when it is attached: the model or its prompts have no such uncertainty.
    """

    def __init__(
        self,
        method: str,
        network: PromptedNet,
        preprocessing: Compose,
        records: Sequence[Mapping[str, Any]] = (),
        tables: Sequence[Mapping[str, Any]] = (),
        temperature: float = 1.0,
        rewordings: Sequence[str] | str | None = None,
        draws: int = 10,
        seed: int = 0,
        amp: bool = True,
        amp_dtype: str = "bfloat16",
    ) -> None:
        self.method, self.network, self.records = method, network, records
        self._tables = {_key(record): record.get("prompt") for record in tables}
        self._rewordings = _checked([rewordings] if isinstance(rewordings, str) else rewordings or [])
        self._arguments: dict[str, Any] = {"amp": amp, "draws": draws, "seed": seed, "amp_dtype": amp_dtype}
        self._after = PromptPostprocessing(preprocessing, temperature=temperature)
        self._members: Members | None = None

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, a ``SupervisedEvaluator``."""
        self._members = make_members(self.method, self.network, **self._arguments)
        if self.records:
            self._members.require([self._ways(record) for record in self.records])
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._score)

    def _score(self, engine: Workflow) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            output["uncertainty"] = self._numbers(item, output)

    def _numbers(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> list[float]:
        image, masks = item["image"], torch.as_tensor(output["pred"])
        device = next(self.network.parameters()).device
        plain = torch.as_tensor(output["logits"]).to(device).float().sigmoid()[None]
        if self._members is None:
            raise RuntimeError("attach UncertaintyScorer to an evaluator first")
        if self.method in ("flips", "dropout") and FEATURES_KEY in getattr(image, "meta", {}):
            raise UncertaintyError(f"uncertainty from {self.method} needs the images: set cache_features to False")
        pixels = image.as_tensor() if isinstance(image, MetaTensor) else image
        means = self._members(pixels[None].to(device), self._ways(item), plain, str(item.get("name", "")))
        doubt = Doubt(len(masks))
        doubt.add(self._at_file(item, means.probabilities[0]), masks.cpu())
        return doubt.numbers

    def _at_file(self, item: Mapping[str, Any], probabilities: Tensor) -> Tensor:
        logits = MetaTensor(torch.logit(probabilities))
        if isinstance(item["image"], MetaTensor):
            logits = logits.copy_meta_from(item["image"])
        found: Any = self._after({"image": item["image"], "pred": logits})
        return torch.as_tensor(found["pred"]).cpu()

    def _ways(self, record: Mapping[str, Any]) -> Ways:
        prompt = record["prompt"]
        prompts = prompts_of(record, 1 if isinstance(prompt, str) else len(prompt))
        if self.method != "prompts":
            return [[text] for text in prompts]
        styles = texts_of(record, "prompt_style", "", len(prompts))
        table = self._tables.get(_key(record))
        tables = table if isinstance(table, list | tuple) else [table] * len(prompts)
        return [all_ways(*one, self._rewordings) for one in zip(prompts, styles, tables, strict=True)]


def all_ways(prompt: str, style: str, table: Any, rewordings: Sequence[str]) -> list[str]:
    """A prompt, the other texts of its style, and all of them in other words; each once.

    Args:
        prompt: the text that is asked.
        style: its style.
        table: the prompts of the record by style, if it has such a table.
        rewordings: texts with ``{}`` where a prompt goes; an empty prompt has none.
    """
    texts = table.get(style, []) if isinstance(table, Mapping) else []
    named = dict.fromkeys([prompt, *([texts] if isinstance(texts, str) else texts)])
    reworded = [form.replace("{}", text) for form in rewordings for text in named if text.strip()]
    return list(dict.fromkeys([*named, *reworded]))


def _checked(rewordings: Sequence[str]) -> list[str]:
    wrong = [form for form in rewordings if "{}" not in form]
    if wrong:
        raise UncertaintyError(f"rewordings need {{}} where the prompt goes, as in 'a photo of {{}}', got {wrong[0]!r}")
    return list(rewordings)


def _key(record: Mapping[str, Any]) -> tuple[str, str]:
    return str(record.get("dataset", "")), str(record.get("name", ""))
