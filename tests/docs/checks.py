# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What can be said of a command without running it: its parser, its config and the repository know its words."""

from __future__ import annotations

import argparse
import re
import runpy
import sys
from configparser import ConfigParser as IniParser
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fire.parser import DefaultParseValue
from monai.bundle import create_workflow

from monai_vlsm.commands import main
from monai_vlsm.settings.command_line import overrides
from tests.docs.shell import ROOT

TRAIN = "['bundles/vlsm_dense/configs/train.json','bundles/vlsm_dense/configs/best.json']"
CHECK_ONLY = ["$monai_vlsm.settings.check_settings()"]  # no seeds, and no other processes to meet
KEPT = re.compile(r"(?:tools|docs|benchmarks)/|constraints\.txt$|bundles/(?!vlsm_ia3)\w+(?:/configs/.+)?$")
EXTRAS = re.compile(r"(?:\.|monai_vlsm)\[([\w,]+)\]")


class _Found(BaseException):
    """The parser that a program has made."""


def in_python(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """A command of ours as it is without torchrun or a container; None where a program of others is called."""
    if words[0].startswith("--"):  # shown alone, to be added to a training
        return ("python", "-m", "monai.bundle", "run", "--config_file", TRAIN, *words)
    if words[0] == "torchrun":
        words = ("python", *words[words.index("-m") :])
    if words[:2] == ("docker", "run"):
        words = ("python", "-m", *words[words.index("monai_vlsm") + 1 :])
    ours = words[:2] == ("python", "-m") and words[2] in ("monai_vlsm", "monai.bundle")
    if ours or (words[0] == "python" and words[1].startswith(("tools/", "benchmarks/"))):
        return tuple(word for word in words if word != "...")
    return None


def check(words: tuple[str, ...]) -> None:
    """Fail where a word is known to nobody: a command, an option, a setting, a value, an extra, a file of ours."""
    for word in words:
        assert not KEPT.match(word) or (ROOT / word).exists(), f"no {word} in the repository"
        for extra in ",".join(EXTRAS.findall(word)).split(","):
            assert not extra or extra in extras(), f"no extra {extra} in setup.cfg"
    typed = in_python(words)
    if typed is None:
        return
    if typed[2:3] == ("monai.bundle",):
        assert typed[3] == "run"
        if typed[4:]:
            check_settings(typed[4:])
    else:
        values = parse(*split(typed))
        if hasattr(values, "bundle") and hasattr(values, "settings"):  # settings of a bundle, as options of a command
            given = [word for setting in values.settings for word in f"--{setting}".split("=", 1)]
            check_settings(("--config_file", f"{values.bundle}/configs/train.json", *given))


def split(typed: tuple[str, ...]) -> tuple[str, list[str]]:
    """Program, and the words that it parses."""
    return (typed[2], list(typed[3:])) if typed[1] == "-m" else (typed[1], list(typed[2:]))


def parse(program: str, words: list[str]) -> argparse.Namespace:
    """What a program reads from its words; options may not be cut short."""
    return parser_of(program).parse_args(words)


@cache
def parser_of(program: str) -> argparse.ArgumentParser:
    """The parser of ``monai_vlsm``, or of a script: the program is started, and goes as far as its parser."""

    def found(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        raise _Found(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", found)
        patch.setattr(sys, "argv", [program])
        patch.syspath_prepend((ROOT / program).parent)
        try:
            main([]) if program == "monai_vlsm" else runpy.run_path(str(ROOT / program), run_name="__main__")
        except _Found as end:
            return _exact(end.args[0])
    raise AssertionError(f"{program} parses nothing")


def _exact(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser and those of its actions, without abbreviations."""
    parser.allow_abbrev = False
    for action in actions_of(parser).values():
        _exact(action)
    return parser


def actions_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Commands, or actions of a command."""
    groups = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return {name: action for group in groups for name, action in group.choices.items()}


def unknown_words(program: str, words: list[str]) -> list[str]:
    """Actions and options that a program does not have, of a command that may lack what it requires."""
    parser, unknown = parser_of(program), []
    for word in words:
        actions = actions_of(parser)
        if actions and not word.startswith("-"):
            if word not in actions:
                return [word]
            parser = actions[word]
        elif word.startswith("--") and word.partition("=")[0] not in parser._option_string_actions:
            unknown.append(word)
    return unknown


def check_settings(words: tuple[str, ...]) -> None:
    """Have a bundle look at its settings, as at the start of a run; nothing is done then."""
    given = {
        name.replace("::", "#"): None if word is None else DefaultParseValue(word)
        for name, word in overrides(words).items()
    }
    files = given.pop("config_file")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["monai/bundle/__main__.py", "run", *words])
        patch.setattr("monai_vlsm.settings.check.is_bundle_command", lambda: True)
        create_workflow(
            config_file=[str(config(file)) for file in (files if isinstance(files, list) else [files])],
            workflow_type="train",
            logging_file=False,
            initialize=CHECK_ONLY,
            **given,
        )


def config(name: str) -> Path:
    """A config by the name that it has in the checkout, in a copy of a bundle, or within a bundle's folder."""
    places = (ROOT / name, ROOT / "bundles" / name, ROOT / "bundles" / "vlsm_dense" / name)
    found = [path for path in places if path.is_file()]
    assert found, f"no config {name}"
    return found[0]


@cache
def extras() -> set[str]:
    """What can be installed beside the core."""
    setup = IniParser()
    setup.read(ROOT / "setup.cfg")
    return set(setup["options.extras_require"])
