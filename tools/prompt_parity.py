#!/usr/bin/env python
# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Compare our prompts with those that the VLSM-Adapter authors published.

``python tools/prompt_parity.py ANNOTATIONS`` takes the words out of each published record and composes its sentences
again, with ``monai_vlsm.prompts``; it prints which share comes out the same. ANNOTATIONS holds a folder for each
dataset, with its lists (``busi/train.json`` or ``busi/anns/train.json``).

``--masks busi=FOLDER`` also computes number, size and location from masks, by the authors' rules and by ours, and the
shape by ours, and prints how often they are the published ones.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_vlsm.prompts import DATASETS, TEMPLATES, Template, compose, mask_words, says_absent, shape_word

Record = Mapping[str, Any]
Words = dict[str, str | list[str]]
SHAPES = {
    "circle": "round",
    "circular": "round",
    "square": "square",
    "rectangle": "rectangular",
    "triangle": "triangular",
}


def records_of(folder: Path, limit: int | None = None) -> Iterator[Record]:
    """The records of all lists of a dataset, at most ``limit`` of each."""
    for file in sorted([*folder.glob("*.json"), *folder.glob("anns/*.json")]):
        yield from json.loads(file.read_text(encoding="utf-8"))[:limit]


def texts_of(prompt: str | list[str]) -> list[str]:
    return [prompt] if isinstance(prompt, str) else prompt


def words_of(template: Template, prompts: Mapping[str, str | list[str]]) -> Words:
    """The words in published sentences: each style adds words to those that earlier styles gave.

    Raises:
        ValueError: a sentence that is not of the template.
    """
    words: Words = {}
    if says_absent(prompts["p1"]):
        match(template.absent, texts_of(prompts["p1"])[0], words, template.capital)
        return {**words, "number": "zero"}
    for style, sentences in template.styles.items():
        found = texts_of(prompts[style])
        if "{description}" in sentences[0] and "description" not in words:
            words["description"] = [str(match(sentences[0], text, dict(words), False)["description"]) for text in found]
        elif "{description}" not in sentences[0]:
            for sentence, text in zip(sentences, found, strict=True):
                words |= match(sentence, text, words, template.capital)
    return words


def match(sentence: str, text: str, words: Words, capital: bool) -> Words:
    """Add the words that ``text`` has in the unknown fields of ``sentence``."""
    pattern = ""
    for part in re.split(r"({\w+})", sentence):
        name = part.strip("{}")
        if part == name:
            pattern += re.escape(part)
        elif name == "classes":
            pattern += re.escape(str(words["class"])) + "s?"
        else:
            pattern += re.escape(str(words[name])) if name in words else f"(?P<{name}>.+)"
    found = re.fullmatch(pattern, text[:1].lower() + text[1:] if capital else text)
    if found is None:
        raise ValueError(f"{text!r} is not of the form {sentence!r}")
    words |= found.groupdict()
    return words


def compare(template: Template, record: Record) -> Counter[str]:
    """How many sentences of a record there are, and how many come out the same."""
    published = record["prompts"]
    composed = compose(template, words_of(template, published), parity=True)
    result: Counter[str] = Counter(records=1)
    for style, prompt in published.items():
        ours = texts_of(composed.get(style, []))
        result["sentences"] += len(texts_of(prompt))
        result["same"] += sum(a == b for a, b in zip(texts_of(prompt), ours, strict=False))
    result["records_same"] += result["sentences"] == result["same"]
    return result


def compare_masks(template: Template, record: Record, masks: Path) -> Counter[str]:
    """How often the words from a mask are those of the record; empty masks are left out."""
    words = words_of(template, record["prompts"])
    if words["number"] == "zero":
        return Counter()
    mask = np.asarray(Image.open(masks / record["mask_name"]).convert("L"))
    result: Counter[str] = Counter(masks=1)
    for mode, parity in (("authors' rules", True), ("our rules", False)):
        ours = mask_words(mask, parity)
        for name in ("number", "size", "location"):
            result[f"{name}, {mode}"] += ours[name] == words[name]
    result["shape, our rules"] += shape_word(mask) == SHAPES.get(str(words["shape"]), words["shape"])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--masks", action="append", default=[], metavar="DATASET=FOLDER")
    args = parser.parse_args()
    masks = dict(pair.split("=", 1) for pair in args.masks)
    print(f"{'dataset':<16}{'records':>9}{'same':>9}{'sentences':>11}{'same':>9}{'share':>9}")
    for dataset, family in DATASETS.items():
        records = list(records_of(args.annotations / dataset))
        if not records:
            continue
        total = sum((compare(TEMPLATES[family], record) for record in records), Counter())
        counts = [total[key] for key in ("records", "records_same", "sentences", "same")]
        print(f"{dataset:<16}{counts[0]:>9}{counts[1]:>9}{counts[2]:>11}{counts[3]:>9}{counts[3] / counts[2]:>9.2%}")
        if dataset in masks:
            found = sum((compare_masks(TEMPLATES[family], r, Path(masks[dataset])) for r in records), Counter())
            for name, count in found.items():
                share = "" if name == "masks" else f"{count / found['masks']:>9.2%}"
                print(f"  {name:<28}{count:>6}{share}")


if __name__ == "__main__":
    main()
