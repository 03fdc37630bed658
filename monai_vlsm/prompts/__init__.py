# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Prompts: words from a mask, sentences from words, and what a sentence gives away."""

from __future__ import annotations

from monai_vlsm.prompts.anatomy import is_number, plain_words
from monai_vlsm.prompts.cohort import assign_splits, read_metadata
from monai_vlsm.prompts.colour import colour_word
from monai_vlsm.prompts.describe import describe_mask
from monai_vlsm.prompts.recipe import Recipe, RecipeError, built_in_recipes, class_recipe, load_recipe
from monai_vlsm.prompts.rules import mask_words
from monai_vlsm.prompts.shape import outline_word, shape_word
from monai_vlsm.prompts.sides import FLIP_WORDS, FLIPS, FlipWords, FlipWordsError
from monai_vlsm.prompts.styles import compose, table_tags
from monai_vlsm.prompts.tags import (
    TAGS,
    family_of,
    official_tags,
    plain_tags,
    prompt_tag,
    says_absent,
    style_tags,
    worst_tag,
)
from monai_vlsm.prompts.templates import CLASS, DATASETS, FIELDS, MASK_DERIVED, METADATA, TEMPLATES, Template
from monai_vlsm.prompts.vqa import ask_about, load_answerer
from monai_vlsm.prompts.words import EVERYDAY, number_word

__all__ = [
    "CLASS",
    "DATASETS",
    "EVERYDAY",
    "FIELDS",
    "FLIPS",
    "FLIP_WORDS",
    "MASK_DERIVED",
    "METADATA",
    "TAGS",
    "TEMPLATES",
    "FlipWords",
    "FlipWordsError",
    "Recipe",
    "RecipeError",
    "Template",
    "ask_about",
    "assign_splits",
    "built_in_recipes",
    "class_recipe",
    "colour_word",
    "compose",
    "describe_mask",
    "family_of",
    "is_number",
    "load_answerer",
    "load_recipe",
    "mask_words",
    "number_word",
    "official_tags",
    "outline_word",
    "plain_tags",
    "plain_words",
    "prompt_tag",
    "read_metadata",
    "says_absent",
    "shape_word",
    "style_tags",
    "table_tags",
    "worst_tag",
]
