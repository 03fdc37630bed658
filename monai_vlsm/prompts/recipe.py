# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The YAML file that says how prompts for one's own images are made; see ``docs/prompts.md``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from monai_vlsm.errors import UserError
from monai_vlsm.names import user_path
from monai_vlsm.prompts.templates import FIELDS, TEMPLATES, Template, fields_of
from monai_vlsm.prompts.words import known_words

__all__ = ["Recipe", "RecipeError", "built_in_recipes", "class_recipe", "load_recipe"]

FOLDER = Path(__file__).with_name("recipes")
STRUCTURE_KEYS = ("class", "plural", "descriptions")
KEYS = (*STRUCTURE_KEYS, "structures", "template", "sentences", "metadata", "patient", "splits", "parity")
SPLITS = ("train", "val", "test")
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
STYLES = tuple(f"p{index}" for index in range(1, 10))
Words = dict[str, str | list[str]]


class RecipeError(UserError, ValueError):
    """A recipe that cannot be used; the message names the file, the key, what was expected and what came."""


@dataclass(frozen=True)
class Recipe:
    """How prompts are made.

    Args:
        template: the sentences.
        structures: folder below ``masks/`` to the words of the structure; the key is empty if the masks lie in
            ``masks/`` itself.
        splits: name of a list to its share of the patients (or images).
        patient: pattern that finds the patient in the name of an image.
        metadata: CSV file with metadata of the images.
        parity: number, size and location as the authors computed them.
    """

    template: Template
    structures: Mapping[str, Words]
    splits: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    patient: re.Pattern[str] | None = None
    metadata: Path | None = None
    parity: bool = False


def built_in_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def load_recipe(source: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        source: a YAML file, or the name of a recipe that comes with the package.

    Raises:
        RecipeError: no such file or name, no valid YAML, unknown keys, or values of the wrong kind.
    """
    path = FOLDER / f"{source}.yaml" if str(source) in built_in_recipes() else user_path(source)
    if not path.is_file():
        raise RecipeError(f"no such recipe file: {path}; recipes by name are {', '.join(built_in_recipes())}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: expected YAML in UTF-8, found {' '.join(str(error).split())}") from error
    return _Reader(str(path)).recipe(values, path.parent)


def class_recipe(word: str) -> Recipe:
    """The recipe for one class, with nothing else said: ``class_recipe("polyp")``.

    Raises:
        RecipeError: no text.
    """
    return _Reader("--class").recipe({"class": word}, Path())


class _Reader:
    """Takes a recipe apart; every error begins with the file."""

    def __init__(self, name: str) -> None:
        self.name = name

    def recipe(self, values: Any, folder: Path) -> Recipe:
        values = self.table(values, KEYS, "the recipe")
        metadata, pattern = values.get("metadata"), values.get("patient")
        if not isinstance(values.get("parity", False), bool):
            raise self.wrong("parity", "true or false", values["parity"])
        return Recipe(
            template=self.template(values),
            structures=self.structures(values),
            splits=self.splits(values.get("splits", SHARES)),
            patient=None if pattern is None else self.pattern(self.text("patient", pattern)),
            metadata=None if metadata is None else folder / self.text("metadata", metadata),
            parity=values.get("parity", False),
        )

    def wrong(self, key: str, expected: str, found: Any) -> RecipeError:
        hint = "; put texts in quotes" if isinstance(found, bool | int | float) and "text" in expected else ""
        return RecipeError(f"{self.name}: {key} must be {expected}, got {found!r} ({type(found).__name__}){hint}")

    def table(self, values: Any, known: Sequence[str], what: str) -> Mapping[str, Any]:
        if not isinstance(values, Mapping) or not values:
            raise self.wrong(what, f"a table with keys among {', '.join(known)}", values)
        for key in values:
            if key not in known:
                raise RecipeError(f"{self.name}: unknown key {key!r} in {what}{known_words(str(key), known)}")
        return values

    def text(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, "a text", value)
        return value.strip()

    def texts(self, key: str, value: Any) -> list[str]:
        return [self.text(key, one) for one in (value if isinstance(value, list) and value else [value])]

    def template(self, values: Mapping[str, Any]) -> Template:
        name = values.get("template", None if "sentences" in values else "photo")
        if name is not None and name not in TEMPLATES:
            raise RecipeError(f"{self.name}: unknown template {name!r}{known_words(str(name), TEMPLATES)}")
        base = Template({}, "no {class}", capital=False) if name is None else TEMPLATES[name]
        own = self.table(values["sentences"], STYLES, "sentences") if "sentences" in values else {}
        styles = {**base.styles, **{style: self.sentences(style, texts) for style, texts in own.items()}}
        return Template(dict(sorted(styles.items())), base.absent, base.capital)

    def sentences(self, style: str, value: Any) -> tuple[str, ...]:
        texts = self.texts(f"sentence {style}", value)
        for text in texts:
            try:
                unknown = sorted(fields_of(text) - set(FIELDS))
            except ValueError as error:
                raise RecipeError(f"{self.name}: sentence {style}: {error}") from error
            if unknown:
                known = known_words(unknown[0], FIELDS)
                raise RecipeError(f"{self.name}: unknown field {unknown[0]!r} in sentence {style}{known}")
        return tuple(texts)

    def structures(self, values: Mapping[str, Any]) -> dict[str, Words]:
        own = {key: values[key] for key in STRUCTURE_KEYS if key in values}
        if ("structures" in values) == bool(own):
            raise RecipeError(
                f"{self.name}: give either class (masks in masks/) or structures (masks in a folder of masks/ for each)"
            )
        if own:
            return {"": self.words(own, "the recipe")}
        named = values["structures"]
        if not isinstance(named, Mapping) or not named:
            raise self.wrong("structures", "a table of folders below masks/", named)
        return {self.folder(name): self.words(words, f"structure {name!r}") for name, words in named.items()}

    def folder(self, name: Any) -> str:
        text = self.text("the name of a structure", name)
        if Path(text).name != text or text == "..":
            raise self.wrong("the name of a structure", "the name of a folder below masks/", name)
        return text

    def words(self, values: Any, what: str) -> Words:
        values = self.table(values, STRUCTURE_KEYS, what)
        words: Words = {"class": self.text(f"class of {what}", values.get("class"))}
        if "plural" in values:
            words["classes"] = self.text("plural", values["plural"])
        if "descriptions" in values:
            words["description"] = self.texts("descriptions", values["descriptions"])
        return words

    def splits(self, values: Any) -> dict[str, float]:
        shares = self.table(values, SPLITS, "splits")
        for name, share in shares.items():
            if isinstance(share, bool) or not isinstance(share, int | float) or share <= 0:
                raise self.wrong(f"the share of {name}", "a number above 0", share)
        return {name: share / sum(shares.values()) for name, share in shares.items()}

    def pattern(self, text: str) -> re.Pattern[str]:
        try:
            return re.compile(text)
        except re.error as error:
            raise RecipeError(f"{self.name}: patient must be a regular expression, got {text!r}: {error}") from error
