# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The model card of some adapters."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from monai_vlsm.adapters import inner_settings
from monai_vlsm.checkpoints import tensors_of
from monai_vlsm.data.catalogue import known_datasets
from monai_vlsm.data.volumes import parse_window
from monai_vlsm.hub import card_texts
from monai_vlsm.hub.evaluation import model_index
from monai_vlsm.hub.facts import CardFacts
from monai_vlsm.prompts import CLASS
from monai_vlsm.statistics import words
from monai_vlsm.statistics.cases import Case
from monai_vlsm.statistics.columns import clean
from monai_vlsm.tables import escaped, markdown_table

__all__ = ["make_card"]

_TEMPLATE = Path(__file__).parent / "card_template.md"
_BUNDLES = {"DenseAdaptation": "vlsm_dense", "ShallowAdaptation": "vlsm_shallow", "FineTuning": "clipseg"}


def make_card(facts: CardFacts) -> str:
    """Write the card: Markdown with a head in YAML that the Hub reads."""
    texts = {**_about_adapters(facts), **_about_data(facts)}
    return str(ModelCard.from_template(_head(facts), template_path=str(_TEMPLATE), **texts))


def _about_adapters(facts: CardFacts) -> dict[str, Any]:
    tensors = tensors_of(facts.adapters).values()
    return {
        "title": escaped(facts.name),
        "repo_id": facts.repo_id,
        "folder": facts.name,
        "base_phrase": _base_phrase(facts),
        "parameters": f"{sum(tensor.numel() for tensor in tensors):,}",
        "size": f"{sum(tensor.nbytes for tensor in tensors) / 1e6:,.1f} MB",
        "settings": _settings_table(facts.settings),
        "commands": _commands(facts),
        "base_note": _base_note(facts),
    }


def _about_data(facts: CardFacts) -> dict[str, Any]:
    evaluation = facts.evaluation
    return {
        "case": _caption(evaluation.case) if evaluation and evaluation.case and facts.overlay else "",
        "segments": card_texts.segments(facts),
        "data": list(card_texts.data_texts(facts)),
        "score_notes": list(card_texts.score_notes(evaluation, facts.settings)),
        "scores": evaluation.scores if evaluation else [],
        "few_text": words.FEW_TEXT,
        "remarks": evaluation.remarks if evaluation else [],
        "limits": list(card_texts.limits(facts)),
        "licence": card_texts.licence(facts),
        "citations": list(card_texts.citations(facts)),
    }


def _head(facts: CardFacts) -> ModelCardData:
    results = model_index(facts.evaluation) if facts.evaluation else []
    datasets = [name for name in facts.datasets if name in known_datasets() or re.fullmatch(r"[\w.-]+/[\w.-]+", name)]
    return ModelCardData(
        library_name="monai",
        pipeline_tag="image-segmentation",
        license=facts.license,
        tags=["monai", "monai_vlsm", "medical", "adapters", "text-prompted-segmentation"],
        base_model=facts.base_id,
        base_model_relation="adapter" if facts.base_id else None,
        datasets=datasets or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=facts.name if results else None,
        eval_results=results or None,
    )


def _base_phrase(facts: CardFacts) -> str:
    network = facts.settings["network"].removesuffix("Net")
    backbone = escaped(clean(facts.settings["backbone"]))
    if facts.base_id:
        return f"{network} ([{facts.base_id}](https://huggingface.co/{facts.base_id}))"
    if facts.is_local:
        return f"{network} (a base that is not known by a name on the Hub; the author's folder is called {backbone})"
    return f"{network} ({backbone}, a toy base that ships with monai_vlsm)"


def _caption(case: Case) -> str:
    which = (
        "of those with an overlay, one from the middle of the Dice scores" if case.kind == "median" else "one of them"
    )
    return f"Evaluated images: {which}. Prompt “{escaped(case.prompt)}”, Dice {words.decimals(case.dice)}."


def _settings_table(settings: Mapping[str, Any]) -> str:
    rows = [
        ("network", escaped(settings["network"])),
        ("base", escaped(clean(settings["backbone"]))),
        ("fingerprint of the base (SHA-256 of its weights)", f"`{settings['base']}`"),
        *_adaptation_rows(settings),
        ("image size", f"{settings['image_size']} px"),
        ("prompt where none is given", escaped(clean(settings.get("default_prompt") or "none"))),
        ("existence threshold", _threshold(settings)),
        *_slice_rows(settings),
    ]
    return markdown_table(("setting", "value"), rows, str)


def _adaptation_rows(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "adaptation" in settings:
        values = dict(settings["adaptation"])
        kind = values.pop("type")
        told = [f"{name.replace('_', ' ')} {_told(value)}" for name, value in values.items() if _is_told(value)]
        yield "adapters", escaped(", ".join([kind, *told]))
        for one in inner_settings(values):
            yield from _adaptation_rows({"adaptation": one})
    if "fusion" in settings:
        yield "fusion", escaped(str(settings["fusion"]))


def _is_told(value: Any) -> bool:
    """Whether a setting is said in words: it is set, and no adaptation."""
    return value is not None and not inner_settings({"value": value})


def _told(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _slice_rows(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How volumes are shown to it, where the file says so."""
    windows = parse_window(settings.get("window"))
    if windows:
        ends = [f"{one} ({one.ends[0]:g} to {one.ends[1]:g})" if one.ends else str(one) for one in windows]
        yield "black and white", escaped(", ".join(ends))
    if settings.get("context"):
        yield "neighbours of a slice", f"{settings['context']} on either side"
    if settings.get("plane"):
        yield "plane of the slices", settings["plane"]
    if settings.get("channel") is not None:
        yield "channel", f"volume {settings['channel']} of 4D files, counted from 0"


def _threshold(settings: Mapping[str, Any]) -> str:
    value = float(settings.get("existence_threshold") or 0.0)
    if not value:
        return "none: no mask is emptied for want of existence"
    return f"{value:.3g}: where the model gives less for “it is there”, the mask is empty"


def _commands(facts: CardFacts) -> str:
    kind = facts.settings.get("adaptation", {}).get("type", "")
    bundle = _BUNDLES.get(kind, "san" if facts.settings["network"] == "SANNet" else "vlsm_dense")
    local = " --backbone /path/to/the/base" if facts.is_local else ""
    pull = f"python -m monai_vlsm pull {facts.repo_id} --output {facts.name}"
    if facts.module:
        return (
            f"{pull} --import {facts.module}\n"
            f"python -m monai_vlsm predict FOLDER_WITH_IMAGES --prompt {shlex.quote(_example_prompt(facts))} "
            f"--adapters {facts.name}/model.pt{local} --import {facts.module} --output masks"
        )
    return (
        f"{pull}\n"
        f"python -m monai.bundle run --config_file bundles/{bundle}/configs/inference.json "
        f"--model_file {facts.name}/model.pt{local} --dataset_dir FOLDER_WITH_IMAGES "
        f"--prompt {shlex.quote(_example_prompt(facts))} --output_dir masks"
    )


def _example_prompt(facts: CardFacts) -> str:
    """A class prompt that passes a shell and MONAI's parser as it is."""
    known = facts.evaluation.prompts.get(CLASS, ()) if facts.evaluation else ()
    prompts = (*known, facts.settings.get("default_prompt") or "")
    plain = [prompt for prompt in prompts if re.fullmatch(r"[A-Za-z][\w .]+", prompt)]
    return plain[0] if plain else "WHAT TO LOOK FOR"


def _base_note(facts: CardFacts) -> str:
    if facts.module:
        return f"It needs the Python module {facts.module}, which defines its adapters. {_about_base(facts)}"
    return _about_base(facts)


def _about_base(facts: CardFacts) -> str:
    licence = facts.base_licence
    if facts.base_id:
        where = f"its weights are under the licence {licence}" if licence else "its licence is on its own page"
        return f"The base, {facts.base_id}, is downloaded on first use; {where}."
    if facts.is_local:
        stated = f" Its weights are under the licence {licence}, as its README says." if licence else ""
        return f"Ask the author for the base.{stated}"
    return "The base ships with monai_vlsm."
