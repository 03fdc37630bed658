# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Choice of one prompt from a record's prompt table: at random in training, a fixed style otherwise.

A prompt table maps a style to a text or to alternative texts: ``{"p0": "", "p1": "polyp", "p7": ["...", "..."]}``.
A list of tables stands for several structures of one image; a text is a choice already made and passes unchanged.

The dictionary versions put the style and the tag of the chosen prompt beside it, ``prompt_style`` and ``prompt_tag``,
for K structures as lists. The tag says what the prompt gives away (:mod:`monai_vlsm.prompts.tags`): what the record
states at ``tags``, else what follows from ``dataset`` and style. ``tags`` is taken out of the record, since tables that
differ cannot be batched.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from reprlib import repr as short
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable, Transform

from monai_vlsm.counts import counted
from monai_vlsm.errors import UserError
from monai_vlsm.prompts import prompt_tag
from monai_vlsm.transforms.naming import record_name

__all__ = [
    "RandSelectPrompt",
    "RandSelectPromptD",
    "RandSelectPromptDict",
    "RandSelectPromptd",
    "SelectPrompt",
    "SelectPromptD",
    "SelectPromptDict",
    "SelectPromptd",
    "StyleError",
]

EMPTY_STYLE = "p0"
TAGS_KEY, DATASET_KEY = "tags", "dataset"
Choice = tuple[str, str]  # style and text; the style of a text that was given as such is empty


class StyleError(UserError, ValueError):
    """A style of prompts that a record does not have, or without any text."""


def texts_of_style(table: Mapping[str, Any], style: str, name: str) -> list[str]:
    """The alternative texts of one style of a prompt table, always as a list.

    Raises:
        StyleError: (a ValueError) unknown style (the styles that the table has are listed), or one without any text.
        TypeError: a value that is neither a text nor a list of texts.
    """
    if style not in table:
        raise StyleError(
            f"record {name!r}: no prompt of style {style!r}; it has {', '.join(map(str, table)) or 'none'}"
        )
    texts = [table[style]] if isinstance(table[style], str) else table[style]
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise TypeError(
            f"record {name!r}: prompts of style {style!r} must be a text or a list of texts, got {short(table[style])}"
        )
    if not texts:
        raise StyleError(f"record {name!r}: the list of prompts of style {style!r} is empty")
    return list(texts)


def select(prompt: Any, pick: Callable[[Mapping[str, Any], str], Choice], name: str) -> Choice | list[Choice]:
    """Apply ``pick(table, name)`` to a table or to each of a list of tables; texts pass unchanged.

    Raises:
        TypeError: ``prompt`` is neither a text, nor a table, nor a list of those.
    """
    if isinstance(prompt, str):
        return "", prompt
    if isinstance(prompt, Mapping):
        return pick(prompt, name)
    if not isinstance(prompt, list | tuple) or not all(isinstance(one, str | Mapping) for one in prompt):
        raise TypeError(
            f"record {name!r}: prompt must be a text, a table of styles or a list of those, "
            f"got {type(prompt).__name__} ({short(prompt)})"
        )
    return [("", one) if isinstance(one, str) else pick(one, name) for one in prompt]


def texts_of(chosen: Choice | list[Choice]) -> str | list[str]:
    """The text or the K texts of a choice."""
    return [text for _, text in chosen] if isinstance(chosen, list) else chosen[1]


def put_choice(data: dict[Hashable, Any], key: Hashable, chosen: Choice | list[Choice], name: str) -> None:
    """Write text, style and tag of a choice at ``key``, ``{key}_style`` and ``{key}_tag``.

    Texts that passed unchanged keep the style and tag that an earlier transform wrote.

    Raises:
        ValueError: ``tags`` of the record that are none, or of another number of structures.
    """
    stated, dataset = data.get(TAGS_KEY), str(data.get(DATASET_KEY, ""))
    choices = chosen if isinstance(chosen, list) else [chosen]
    if f"{key}_tag" in data and not any(style for style, _ in choices):
        return
    each = stated if isinstance(stated, list | tuple) else [stated] * len(choices)
    if len(each) != len(choices):
        raise ValueError(f"record {name!r}: {counted(len(choices), 'prompt')}, but tags of {len(each)}")
    try:
        tags = [prompt_tag(*choice, dataset, own) for choice, own in zip(choices, each, strict=True)]
    except ValueError as error:
        raise ValueError(f"record {name!r}: {error}") from error
    styles = [style for style, _ in choices]
    data[key] = texts_of(chosen)
    data[f"{key}_style"], data[f"{key}_tag"] = (styles, tags) if isinstance(chosen, list) else (styles[0], tags[0])


class SelectPrompt(Transform):
    """Take the prompt of one fixed style; of several alternatives the first.

    Args:
        style: style to take, for example ``"p1"`` (the name of the class alone).
    """

    def __init__(self, style: str = "p1") -> None:
        self.style = style

    def __call__(self, prompt: Any, name: str = "record") -> str | list[str]:
        """Choose.

        Args:
            prompt: a table, a list of K tables, or texts, which pass unchanged.
            name: name of the record, for errors.

        Returns:
            a text, or a list of K texts.

        Raises:
            ValueError: the record has no such style; the message lists those that it has.
            TypeError: not a prompt table.
        """
        return texts_of(self.choose(prompt, name))

    def choose(self, prompt: Any, name: str = "record") -> Choice | list[Choice]:
        """As calling, with the style before each text."""
        return select(prompt, self._pick, name)

    def _pick(self, table: Mapping[str, Any], name: str) -> Choice:
        return self.style, texts_of_style(table, self.style, name)[0]


class RandSelectPrompt(Randomizable, Transform):
    """Draw a prompt: uniform over all styles but the empty p0, then uniform within the style's alternatives.

    This is how VLSM-Adapter (Dhakal et al., MICCAI 2024) draws its training prompts p1..p9. All draws come from
    ``self.R``, so the same seed gives the same prompts, in worker processes too.
    """

    def __init__(self) -> None:
        self._choice = ("", "")

    def randomize(self, data: Mapping[str, Any], name: str = "record") -> None:
        """Draw one text from one prompt table.

        Raises:
            ValueError: the table has no style besides p0, or an empty list.
            TypeError: a style holds something other than texts.
        """
        styles = [style for style in data if style != EMPTY_STYLE]
        if not styles:
            raise ValueError(
                f"record {name!r}: no prompt to draw from besides the empty style {EMPTY_STYLE!r}; "
                f"add one, for example 'p1', or select {EMPTY_STYLE!r} with SelectPrompt"
            )
        style = styles[self.R.randint(len(styles))]
        texts = texts_of_style(data, style, name)
        self._choice = style, texts[self.R.randint(len(texts))]

    def __call__(self, prompt: Any, name: str = "record") -> str | list[str]:
        """Draw for a table, or independently for each of K tables.

        Args:
            prompt: a table, a list of K tables, or texts, which pass unchanged.
            name: name of the record, for errors.

        Returns:
            a text, or a list of K texts.

        Raises:
            ValueError: nothing to draw from besides p0.
            TypeError: not a prompt table.
        """
        return texts_of(self.choose(prompt, name))

    def choose(self, prompt: Any, name: str = "record") -> Choice | list[Choice]:
        """As calling, with the style before each text."""
        return select(prompt, self._pick, name)

    def _pick(self, table: Mapping[str, Any], name: str) -> Choice:
        self.randomize(table, name)
        return self._choice


class SelectPromptd(MapTransform):
    """Dictionary version of :class:`SelectPrompt`.

    Args:
        keys: keys of the prompts.
        style: style to take.
        image_key: image whose file names the record when it has no name.
        name_key: key of the record's name.
        allow_missing_keys: leave records without a prompt as they are.
    """

    def __init__(
        self,
        keys: KeysCollection = "prompt",
        style: str = "p1",
        image_key: Hashable = "image",
        name_key: Hashable = "name",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.selector = SelectPrompt(style)
        self.image_key, self.name_key = image_key, name_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the table at each key by the chosen text, with its style and tag; errors as in `SelectPrompt`."""
        d = dict(data)
        name = record_name(d, self.name_key, self.image_key)
        for key in self.key_iterator(d):
            put_choice(d, key, self.selector.choose(d[key], name), name)
        d.pop(TAGS_KEY, None)
        return d


class RandSelectPromptd(Randomizable, MapTransform):
    """Dictionary version of :class:`RandSelectPrompt`.

    Args:
        keys: keys of the prompts.
        image_key: image whose file names the record when it has no name.
        name_key: key of the record's name.
        allow_missing_keys: leave records without a prompt as they are.
    """

    def __init__(
        self,
        keys: KeysCollection = "prompt",
        image_key: Hashable = "image",
        name_key: Hashable = "name",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.selector = RandSelectPrompt()
        self.image_key, self.name_key = image_key, name_key

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandSelectPromptd:
        """Seed this transform and the array transform that draws for it."""
        super().set_random_state(seed, state)
        self.selector.set_random_state(state=self.R)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the table at each key by the drawn text, with its style and tag; errors as in `RandSelectPrompt`."""
        d = dict(data)
        name = record_name(d, self.name_key, self.image_key)
        for key in self.key_iterator(d):
            put_choice(d, key, self.selector.choose(d[key], name), name)
        d.pop(TAGS_KEY, None)
        return d


SelectPromptD = SelectPromptDict = SelectPromptd
RandSelectPromptD = RandSelectPromptDict = RandSelectPromptd
