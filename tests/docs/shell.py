# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands of the documents, taken apart by bash itself."""

from __future__ import annotations

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("bundles/*/docs/*.md"))]
FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(python (?:-m monai_vlsm|tools/|benchmarks/)[^`\n]*)`")
# no program is found, so that bash hands each command to this function: the number of its words, and the words
TELL = """
set -u
PATH=/nowhere
command_not_found_handle() { printf '%s\\0' "$#" "$@" >&3; }
cd() { command_not_found_handle cd "$@"; }
id() { printf 1000; }
exec 3>&1 >/dev/null
eval "$1"
"""


class Command(NamedTuple):
    """A command, and the page on which it stands."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def fenced(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block of a page."""
    return [(language, text) for _, language, text in FENCED.findall(page.read_text(encoding="utf-8"))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def commands() -> tuple[Command, ...]:
    """All commands in blocks of bash, in the order of the pages; of a loop or a condition those that bash comes to."""
    return tuple(
        Command(name_of(page), words)
        for page in PAGES
        for words in words_of("\n".join(text for language, text in fenced(page) if language == "bash"))
    )


def words_of(script: str) -> list[tuple[str, ...]]:
    """The commands of a script.

    Raises:
        CalledProcessError: bash does not understand it, or it uses a variable that it has not set.
    """
    run = subprocess.run(["bash", "-c", TELL, "docs", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not run.stderr, run.stderr
    rest, found = run.stdout.split("\0")[:-1], []
    while rest:
        number = int(rest[0])
        found.append(tuple(rest[1 : number + 1]))
        rest = rest[number + 1 :]
    return found


@cache
def mentioned() -> tuple[Command, ...]:
    """Commands of ours within sentences: often without all that they need."""
    return tuple(
        Command(name_of(page), tuple(shlex.split(text)))
        for page in PAGES
        for text in INLINE.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    )
