# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What was typed is what a text setting says."""

from __future__ import annotations

import pytest
from monai.bundle import ConfigParser

from monai_vlsm.settings import SettingError, literal
from monai_vlsm.settings.command_line import overrides
from monai_vlsm.settings.texts import read_text, unquoted

AS_TYPED = [
    "liver",
    "liver #2",
    "liver,tumor",
    "liver, grey matter",
    "4",
    "007",
    "1e3",
    "0x1F",
    "1_000",
    "True",
    "None",
    "$5 lesion",
    "$__import__('os').getcwd()",
    "%liver",
    "{a: b}",
    "(liver)",
    "liver - left",
    "Crohn's lesion",
    "5' nucleotidase",
    "'liver' #2",
    'the "white" matter',
    "läsion",
    "a\\nb",
    "[" * 300,
    "b'x'",
    "",
]


@pytest.mark.parametrize("word", AS_TYPED)
def test_a_text_is_what_was_typed(word: str) -> None:
    assert read_text(word) == word
    assert read_text(word, many=True) == word


@pytest.mark.parametrize(
    ("word", "texts"),
    [
        ("['liver','grey matter']", ["liver", "grey matter"]),
        ('["liver", "grey matter"]', ["liver", "grey matter"]),
        ("('liver', 'grey matter')", ["liver", "grey matter"]),
        ("[liver, grey matter]", ["liver", "grey matter"]),
        ("[liver,tumor]", ["liver", "tumor"]),
        ("['liver, left', tumor]", ["liver, left", "tumor"]),
        ('[liver, "tumor, left"]', ["liver", "tumor, left"]),
        ("[4, 007, True]", ["4", "007", "True"]),
        ("[Crohn's lesion, liver]", ["Crohn's lesion", "liver"]),
        ("[liver #2, $5 lesion, @x]", ["liver #2", "$5 lesion", "@x"]),
        ("[liver]", ["liver"]),
    ],
)
def test_lists(word: str, texts: list[str]) -> None:
    assert read_text(word, many=True) == texts
    if not word.startswith("("):
        assert read_text(word) == word  # where one text is asked for, brackets are part of it


@pytest.mark.parametrize("many", [True, False])
def test_a_reference_or_a_text(many: bool) -> None:
    with pytest.raises(SettingError, match=r"@liver .* \"'@liver'\""):
        read_text("@liver", many)
    assert read_text("'@liver'", many) == "@liver"


@pytest.mark.parametrize(("word", "text"), [("'[x]'", "[x]"), ('"4"', "4"), ("$'%liver'", "%liver")])
def test_quotes_are_taken_off(word: str, text: str) -> None:
    assert read_text(word, many=True) == text


def test_only_a_quoted_text_is_taken_out_of_an_expression() -> None:
    assert unquoted("$'x'") == "'x'"
    assert unquoted("$'x'.upper()") == "$'x'.upper()"


@pytest.mark.parametrize("word", ["[]", "[ ]", "[a,,b]", "[[a]]", "[a, [b, c]]"])
def test_lists_that_are_none(word: str) -> None:
    with pytest.raises(SettingError, match=r"\"\['brain','white matter'\]\", got"):
        read_text(word, many=True)


@pytest.mark.parametrize("text", [*AS_TYPED, "@::liver", "a::b", "%#x", "$import os", "back\\#slash", "a'b\"c#"])
def test_literals_reach_the_config_unchanged(text: str) -> None:
    parser = ConfigParser({"text": literal(text), "again": "@text", "list": [literal(text)]})
    parser.parse()
    assert parser.get_parsed_content("again") == text
    assert parser.get_parsed_content("list") == [text]


def test_overrides_as_fire_reads_them() -> None:
    words = "run --config_file a.json --prompt=a=b --train#trainer#max_epochs 3 --amp --val-style p2 -x 1 --seed -1"
    assert overrides([*words.split(), "--seed", "2"]) == {
        "config_file": "a.json",
        "prompt": "a=b",
        "train::trainer::max_epochs": "3",
        "amp": None,
        "val_style": "p2",
        "x": "1",
        "seed": "2",
    }
