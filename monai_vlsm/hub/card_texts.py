# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a card says of prompts, data, scores, limits and licences, as Markdown; what is not known is said to be so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from monai_vlsm.adapters import build_adaptation
from monai_vlsm.backbones.catalogue import BIOMEDCLIP, PUBMEDCLIP
from monai_vlsm.data.catalogue import DatasetCard, dataset_card, known_datasets
from monai_vlsm.hub.evaluation import Evaluation
from monai_vlsm.hub.facts import CardFacts
from monai_vlsm.prompts import CLASS, MASK_DERIVED, METADATA
from monai_vlsm.statistics import words
from monai_vlsm.statistics.columns import clean
from monai_vlsm.tables import Table, escaped

__all__ = ["citations", "data_texts", "licence", "limits", "score_notes", "segments"]

_SHOWN = {CLASS: 12, METADATA: 3, MASK_DERIVED: 3}  # prompts of a tag; sentences beyond these only repeat
_GIVES = {
    CLASS: "nothing: it only names what to look for",
    METADATA: "facts from the patient's file or the scan",
    MASK_DERIVED: "part of the answer: words taken from the true mask, such as size or place",
}
_PAPERS = {
    "CLIPSegNet": "Lüddecke, Ecker: Image Segmentation Using Text and Image Prompts. CVPR 2022.",
    BIOMEDCLIP: "Zhang et al.: BiomedCLIP: a multimodal biomedical foundation model pretrained from fifteen million "
    "scientific image-text pairs. arXiv:2303.00915, 2023.",
    PUBMEDCLIP: "Eslami, Meinel, de Melo: PubMedCLIP: How Much Does CLIP Benefit Visual Question Answering in the "
    "Medical Domain? Findings of EACL 2023.",
    "SANNet": "Xu, Zhang, Wei, Hu, Bai: Side Adapter Network for Open-Vocabulary Semantic Segmentation. CVPR 2023.",
}


def segments(facts: CardFacts) -> str:
    """Prompts by tag, and what each tag gives away."""
    default = facts.settings.get("default_prompt") or ""
    lines = [f"Without a prompt it looks for “{escaped(clean(default))}”."] if default else []
    if facts.evaluation is None:
        lines.append("Which prompts it was trained and evaluated with is not stated.")
        return " ".join(lines)
    rows = [(tag, _GIVES[tag], _quoted(tag, prompts)) for tag, prompts in facts.evaluation.prompts.items()]
    table = Table(("prompts", "what they give away", "as in the evaluation"), rows).markdown
    return "\n\n".join(["It was evaluated with these prompts:", table, *lines])


def _quoted(tag: str, prompts: Sequence[str]) -> str:
    shown = [f"“{prompt}”" if prompt.strip() else "(no prompt)" for prompt in prompts[: _SHOWN[tag]]]
    more = len(prompts) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def data_texts(facts: CardFacts) -> Iterator[str]:
    """What it was trained and evaluated on, and the licence of that; one paragraph at a time."""
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
    for card in facts.known_datasets:
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


def _dataset_text(card: DatasetCard) -> str:
    parts = [
        f"{card.title}: {card.modality}, with masks of: {', '.join(card.targets)}.",
        f"Images: <{card.images_from}>.",
        f"Licence: {card.licence}",
        f"Conditions: {card.conditions}",
    ]
    return " ".join(part if part.startswith("Images: <") else escaped(part) for part in parts)


def score_notes(evaluation: Evaluation | None, settings: Mapping[str, Any]) -> Iterator[str]:
    """How the scores were computed, and what about them should make readers careful."""
    if evaluation is None:
        yield "Not stated: no evaluation was given when these adapters were shared."
        return
    date = f" on {evaluation.date}" if evaluation.date else ""
    intervals = words.INTERVALS.replace("Below each mean stands", "In brackets behind each mean stands")
    yield f"Computed{date} with monai_vlsm at the original size of each mask. {escaped(intervals)}"
    yield escaped(words.EMPTY_RULE)
    if evaluation.tolerances:
        rule = f"{words.VOLUME_RULE} {words.surface_rule(evaluation.tolerances)}"
        yield f"**Whole volumes:** {escaped(rule)}"
    if evaluation.split == "val":
        yield "In training, the list “val” chooses the epoch that is kept, so scores on it are a little too good."
    if evaluation.threshold is not None and evaluation.threshold != settings.get("existence_threshold", 0.0):
        yield (
            f"These scores were computed with the existence threshold {evaluation.threshold:.3g}, "
            f"which is not the one of the file ({settings.get('existence_threshold', 0.0):.3g})."
        )
    if CLASS not in evaluation.prompts:
        yield "There are no scores with class prompts, so none of these is a score that a clinic could have."


def limits(facts: CardFacts) -> Iterator[str]:
    """What it cannot do."""
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
    if facts.base_id is None and not facts.is_local:
        yield "Its base is a toy, made to try things out: the masks show how things work, no more."
    for card in facts.known_datasets:
        for defect in card.defects:
            yield f"{escaped(card.title)}: {escaped(defect)}"


def licence(facts: CardFacts) -> str:
    """Licences of adapters and base."""
    own = (
        f"The adapters: {escaped(facts.license)}, as stated by who shared them."
        if facts.license
        else "The adapters: not stated by who shared them; ask before you use them in work of your own."
    )
    return f"{own} The base has a licence of its own and is not part of this repository. Data: see [Data](#data)."


def citations(facts: CardFacts) -> Iterator[str]:
    """Papers on the method, the network and the datasets."""
    if "adaptation" in facts.settings and facts.module is None:
        yield from map(escaped, build_adaptation(facts.settings["adaptation"]).citations)
    yield _PAPERS[facts.settings["network"]]
    if facts.base_id in _PAPERS:
        yield _PAPERS[facts.base_id]
    for card in facts.known_datasets:
        yield escaped(card.citation)
