# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The model card of some adapters: what is known of them, in plain words, and what is not known."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from monai_vlsm.backbones import MINI, load_architecture
from monai_vlsm.data.catalogue import DatasetCard, dataset_card, known_datasets
from monai_vlsm.hub.evaluation import Evaluation, model_index
from monai_vlsm.hub.files import AdapterFile, is_shared_backbone, public_settings
from monai_vlsm.prompts import CLASS, MASK_DERIVED, METADATA
from monai_vlsm.report import words
from monai_vlsm.report.blocks import Table
from monai_vlsm.report.columns import clean
from monai_vlsm.report.markdown import escaped, table_text

__all__ = ["CardFacts", "make_card"]

_TEMPLATE = Path(__file__).parent / "card_template.md"
_SHOWN = {CLASS: 12, METADATA: 3, MASK_DERIVED: 3}  # prompts of a tag; sentences beyond these only repeat
_GIVES = {
    CLASS: "nothing: it only names what to look for",
    METADATA: "facts from the patient's file or the scan",
    MASK_DERIVED: "part of the answer: words taken from the true mask, such as size or place",
}
_BUNDLES = {"DenseAdaptation": "vlsm_dense", "ShallowAdaptation": "vlsm_shallow", "FineTuning": "clipseg"}
_PAPERS = {
    "adapters": "Dhakal, Adhikari, Thapaliya, Khanal: VLSM-Adapter: Finetuning Vision-Language Segmentation "
    "Efficiently with Lightweight Blocks. MICCAI 2024.",
    "CLIPSegNet": "Lüddecke, Ecker: Image Segmentation Using Text and Image Prompts. CVPR 2022.",
    "SANNet": "Xu, Zhang, Wei, Hu, Bai: Side Adapter Network for Open-Vocabulary Semantic Segmentation. CVPR 2023.",
}


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of.

    Args:
        repo_id: where the adapters will be.
        adapters: what the file holds.
        evaluation: what an evaluation of it found, if there is one.
        datasets: what it was trained on, names of the catalogue or others; empty if not known.
        license: of the adapters, as the Hub spells it; None if not stated.
        data_license: of the data that it was trained on, in words; None if not stated.
        picture: whether the picture of ``evaluation.case`` goes with the card.
    """

    repo_id: str
    adapters: AdapterFile
    evaluation: Evaluation | None = None
    datasets: Sequence[str] = ()
    license: str | None = None
    data_license: str | None = None
    picture: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the adapters, without what is only true on this machine."""
        return public_settings(self.adapters.settings)

    @property
    def base_id(self) -> str | None:
        """Name of the base on the Hub; None for one that ships with the package or is a local folder."""
        backbone = self.settings["backbone"]
        if not is_shared_backbone(self.adapters.settings["backbone"]):
            return None
        hub_id = backbone if "/" in backbone else _clip_of(backbone)
        return hub_id if hub_id and "/" in hub_id else None


def _clip_of(backbone: str) -> str | None:
    return None if backbone == MINI else load_architecture(backbone).get("clip")


def make_card(facts: CardFacts) -> str:
    """Write the card, Markdown with a head in YAML that the Hub reads."""
    evaluation, settings = facts.evaluation, facts.settings
    size = sum(tensor.numel() * tensor.element_size() for tensor in facts.adapters.tensors.values())
    name = facts.repo_id.rpartition("/")[2]
    card = ModelCard.from_template(
        _head(facts, name),
        template_path=str(_TEMPLATE),
        head=_head(facts, name).to_yaml(),
        title=escaped(name),
        repo_id=facts.repo_id,
        folder=name,
        base_phrase=_base_phrase(facts),
        parameters=f"{facts.adapters.parameters:,}",
        size=f"{size / 1e6:,.1f} MB",
        case=_caption(evaluation) if evaluation and facts.picture else "",
        segments=_segments(facts),
        data=list(_data(facts)),
        score_notes=list(_score_notes(evaluation, settings)),
        scores=evaluation.scores if evaluation else [],
        few_text=words.FEW_TEXT,
        remarks=evaluation.remarks if evaluation else [],
        settings=_settings_table(facts),
        commands=_commands(facts, name),
        base_note=_base_note(facts),
        limits=list(_limits(facts)),
        licence=_licence(facts),
        citations=list(_citations(facts)),
    )
    return str(card)


def _head(facts: CardFacts, name: str) -> ModelCardData:
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
        model_name=name if results else None,
        eval_results=results or None,
    )


def _base_phrase(facts: CardFacts) -> str:
    network = facts.settings["network"].removesuffix("Net")
    backbone = escaped(clean(facts.settings["backbone"]))
    if facts.base_id:
        return f"{network} ([{facts.base_id}](https://huggingface.co/{facts.base_id}))"
    if facts.settings["backbone"] == MINI and is_shared_backbone(facts.adapters.settings["backbone"]):
        return f"{network} ({backbone}, a toy backbone that ships with monai_vlsm)"
    return f"{network} (a backbone that is not on the Hub, called {backbone} by the author)"


def _caption(evaluation: Evaluation) -> str:
    if evaluation.case is None:
        return ""
    case = evaluation.case
    return (
        f"One of the evaluated images, from the middle of the Dice scores: prompt “{escaped(case.prompt)}”, "
        f"Dice {words.decimals(case.dice)}. Neither the best nor the worst."
    )


def _segments(facts: CardFacts) -> str:
    default = facts.settings.get("default_prompt") or ""
    lines = [f"Without a prompt it looks for “{escaped(clean(default))}”."] if default else []
    if facts.evaluation is None:
        lines.append("Which prompts it was trained and evaluated with is not stated.")
        return " ".join(lines)
    rows = [(tag, _GIVES[tag], _quoted(tag, prompts)) for tag, prompts in facts.evaluation.prompts.items()]
    table = table_text(Table(("prompts", "what they give away", "as in the evaluation"), rows))
    return "\n\n".join(["It was evaluated with these prompts:", table, *lines])


def _quoted(tag: str, prompts: Sequence[str]) -> str:
    shown = [f"“{prompt}”" if prompt.strip() else "(no prompt)" for prompt in prompts[: _SHOWN[tag]]]
    more = len(prompts) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _data(facts: CardFacts) -> Iterator[str]:
    if facts.datasets:
        names = ", ".join(_title(name) for name in facts.datasets)
        yield f"**Trained on:** {names}."
    else:
        yield "**Trained on:** not stated."
    yield f"**Licence of the training data:** {_data_licence(facts)}"
    evaluation = facts.evaluation
    if evaluation is not None:
        names = ", ".join(_title(name) if name else "a dataset without a name" for name in evaluation.datasets)
        split = f", list “{escaped(clean(evaluation.split))}”" if evaluation.split else ""
        yield f"**Evaluated on:** {names}{split}."
    for card in _known(facts):
        yield _dataset_text(card)


def _title(name: str) -> str:
    title = dataset_card(name).title if name in known_datasets() else clean(name)
    return escaped(title)


def _data_licence(facts: CardFacts) -> str:
    if facts.data_license:
        return f"{escaped(clean(facts.data_license)).rstrip('.')}."
    known = [name for name in facts.datasets if name in known_datasets()]
    said = [f"{_title(name)}: {escaped(dataset_card(name).licence)}" for name in known]
    unknown = [name for name in facts.datasets if name not in known]
    said += [f"{_title(name)}: not stated." for name in unknown]
    return " ".join(said) or "not stated."


def _known(facts: CardFacts) -> list[DatasetCard]:
    evaluated = facts.evaluation.datasets if facts.evaluation else ()
    names = dict.fromkeys((*facts.datasets, *evaluated))
    return [dataset_card(name) for name in names if name in known_datasets()]


def _dataset_text(card: DatasetCard) -> str:
    parts = [
        f"{card.title}: {card.modality}, with masks of: {', '.join(card.targets)}.",
        f"Images: <{card.images_from}>.",
        f"Licence: {card.licence}",
        f"Conditions: {card.conditions}",
    ]
    return " ".join(part if part.startswith("Images: <") else escaped(part) for part in parts)


def _score_notes(evaluation: Evaluation | None, settings: Mapping[str, Any]) -> Iterator[str]:
    if evaluation is None:
        yield "Not stated: no evaluation was given when these adapters were shared."
        return
    date = f" on {evaluation.date}" if evaluation.date else ""
    intervals = words.INTERVALS.replace("Below each mean stands", "In brackets stands")
    yield f"Computed{date} with monai_vlsm at the original size of each mask. {escaped(intervals)}"
    yield escaped(words.EMPTY_RULE)
    if not evaluation.known_model:
        yield "The evaluation does not record which model it was made with: that it was this one is the author's word."
    if evaluation.threshold is not None and evaluation.threshold != settings.get("existence_threshold", 0.0):
        yield (
            f"These scores were computed with the existence threshold {evaluation.threshold:.3g}, "
            f"which is not the one of the file ({settings.get('existence_threshold', 0.0):.3g})."
        )
    if CLASS not in evaluation.prompts:
        yield "There are no scores with class prompts, so none of these is a score that a clinic could have."


def _settings_table(facts: CardFacts) -> str:
    settings = facts.settings
    rows = [
        ("network", escaped(settings["network"])),
        ("base", escaped(clean(settings["backbone"]))),
        ("fingerprint of the base (SHA-256 of its weights)", f"`{settings['base']}`"),
        *_adaptation_rows(settings),
        ("image size", f"{settings['image_size']} px"),
        ("prompt where none is given", escaped(clean(settings.get("default_prompt") or "none"))),
        ("existence threshold", _threshold(settings)),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _adaptation_rows(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "adaptation" in settings:
        values = dict(settings["adaptation"])
        kind = values.pop("type")
        told = [f"{name.replace('_', ' ')} {value}" for name, value in values.items() if value is not None]
        yield "adapters", escaped(", ".join([kind, *told]))
    if "fusion" in settings:
        yield "fusion", escaped(str(settings["fusion"]))


def _threshold(settings: Mapping[str, Any]) -> str:
    value = float(settings.get("existence_threshold") or 0.0)
    if not value:
        return "none: no mask is emptied for want of existence"
    return f"{value:.3g}: where the model gives less for “it is there”, the mask is empty"


def _commands(facts: CardFacts, name: str) -> str:
    kind = facts.settings.get("adaptation", {}).get("type", "")
    bundle = _BUNDLES.get(kind, "san" if facts.settings["network"] == "SANNet" else "vlsm_dense")
    local = "" if is_shared_backbone(facts.adapters.settings["backbone"]) else " --backbone /path/to/the/base"
    return (
        f"python -m monai_vlsm pull {facts.repo_id} --output {name}\n"
        f"python -m monai.bundle run --config_file bundles/{bundle}/configs/inference.json "
        f"--model_file {name}/model.pt{local} --dataset_dir FOLDER_WITH_IMAGES "
        f"--prompt {shlex.quote(_example_prompt(facts))} --output_dir masks"
    )


def _example_prompt(facts: CardFacts) -> str:
    """A class prompt that passes a shell and MONAI's parser as it is."""
    known = facts.evaluation.prompts.get(CLASS, ()) if facts.evaluation else ()
    plain = [text for text in (*known, facts.settings.get("default_prompt", "")) if re.fullmatch(r"[A-Za-z][\w .]+", text)]
    return plain[0] if plain else "WHAT TO LOOK FOR"


def _base_note(facts: CardFacts) -> str:
    if facts.base_id:
        return f"The base, {facts.base_id}, is downloaded on first use; its licence is a matter of its own page."
    if is_shared_backbone(facts.adapters.settings["backbone"]):
        return "The base ships with monai_vlsm."
    return "The base is not on the Hub under a name that the file knows: ask the author for it."


def _limits(facts: CardFacts) -> Iterator[str]:
    threshold = facts.settings.get("existence_threshold")
    yield "On images of other devices, sites or patients than those it was trained on, it can be much worse."
    yield (
        "It draws a mask for whatever it is asked, and can draw one for something that is not there. "
        + ("Its existence threshold is there to empty such masks, and does not catch all of them." if threshold else "")
    ).strip()
    yield (
        "Prompts that describe the mask itself, such as “large” or “on the left”, give away part of the answer: "
        "scores with them are not scores that a clinic would see."
    )
    yield "How long and with which settings it was trained is not recorded in the file."
    if facts.settings["backbone"] == MINI:
        yield "Its base is a toy, made to try things out: the masks show how things work, no more."
    for card in _known(facts):
        for defect in card.defects:
            yield f"{escaped(card.title)}: {escaped(defect)}"


def _licence(facts: CardFacts) -> str:
    own = (
        f"The adapters: {escaped(facts.license)}, as stated by who shared them."
        if facts.license
        else "The adapters: not stated by who shared them; ask before you use them in work of your own."
    )
    return f"{own} The base has a licence of its own and is not part of this repository. Data: see [Data](#data)."


def _citations(facts: CardFacts) -> Iterator[str]:
    if "adaptation" in facts.settings:
        yield _PAPERS["adapters"]
    yield _PAPERS[facts.settings["network"]]
    for card in _known(facts):
        yield escaped(card.citation)
