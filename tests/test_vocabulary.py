# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One word for one thing: what `docs/glossary.md` calls by one name has no second name in code, bundles and docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("monai_vlsm", "bundles", "tests", "docs", "benchmarks", "tools")
LEFT = {"models", "eval", "evaluation"}  # folders of bundles
SUFFIXES = {".py", ".json", ".md", ".yaml", ".html", ".css", ".js", ".ipynb", ".toml", ".cfg"}

# word that is not said: what is said instead
INSTEAD = {
    "pictures?": "image; overlay for one that is drawn on",
    "towers?": "encoder",
    "seams?": "feature adapters",
    "glance": "verify_image",
    "exchange_layers?": "replace_layers",
    "require_sound": "validate_records",
    "encode_prompts": "text_cache",
}
_LOWER = "|".join(INSTEAD)  # alone or between underscores; with a capital also in the middle of ImageTowerNames
_CAPITAL = "|".join(word[0].upper() + word[1:] for word in INSTEAD)
WORD = re.compile(rf"(?:(?<![A-Za-z])(?<!image[-_])(?:{_LOWER})|(?:{_CAPITAL}))(?![a-z])")

# where such a word is right, and why; the option `--image-tower` keeps its name
RIGHT = {
    "monai_vlsm/backbones/clipseg_mini/vocab.json": "words that prompts may hold",
    "tools/mini_tokenizer.py": "words that prompts may hold",
    "monai_vlsm/prompts/sides.py": "words that prompts may hold",
    "monai_vlsm/checkpoints/content.py": "names of older files",
    "tests/checkpoints/test_content.py": "names of older files",
    "monai_vlsm/report/overview.py": "a heading: At a glance",
    "docs/report.md": "that heading",
    "docs/tutorial.ipynb": "that heading",
    "tests/test_vocabulary.py": "the list itself",
}


def files() -> list[Path]:
    """Files of the repository; what trainings and editors leave in it is not."""
    found = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES)
    own = [path for path in found if not any(part in LEFT or part[0] == "." for part in _name(path).split("/"))]
    return [*own, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "setup.cfg"]


def banned(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [f"{number}: {line.strip()[:100]}" for number, line in enumerate(lines, 1) if WORD.search(line)]


def test_no_second_name() -> None:
    seen = files()
    assert len(seen) > 900
    found = {name: lines for path in seen if (lines := banned(path)) and (name := _name(path)) not in RIGHT}
    assert found == {}, f"say {INSTEAD}"


@pytest.mark.parametrize("name", [name for name in RIGHT if name != "tests/test_vocabulary.py"])
def test_exceptions_are_needed(name: str) -> None:
    assert banned(ROOT / name)


@pytest.mark.parametrize(
    ("line", "found"),
    [("class PictureReader:", True), ("vision_tower=3", True), ("a towering height", False), ("depicture", False),
     ("Two pictures", True), ("encode_prompts: all", True), ("def glance(path)", True), ("seamless", False)],
)  # fmt: skip
def test_words(line: str, found: bool) -> None:
    assert bool(WORD.search(line)) is found


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
