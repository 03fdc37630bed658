# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The version stands in one place; what repeats it agrees."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

import yaml

import monai_vlsm

ROOT = Path(__file__).parents[1]


def test_the_changelog_begins_with_the_version_or_with_what_comes_after_it() -> None:
    headings = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert headings[0] == "Unreleased" or headings[0] == monai_vlsm.__version__
    assert not released or released[0] == monai_vlsm.__version__


def test_the_citation_has_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == monai_vlsm.__version__
    assert {"cff-version", "title", "authors", "license", "message"} <= set(citation)


def test_bundles_need_this_version() -> None:
    for file in (ROOT / "bundles").glob("*/configs/metadata.json"):
        assert monai_vlsm.__version__ in json.dumps(json.loads(file.read_text(encoding="utf-8"))), file


def test_setup_takes_the_version_from_the_package() -> None:
    assert "version = attr: monai_vlsm.__version__" in (ROOT / "setup.cfg").read_text(encoding="utf-8")


def test_install_lists_every_extra() -> None:
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg", encoding="utf-8")
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "install.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = [name for cell in table for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(listed) == sorted(options["options.extras_require"])


def test_the_container_takes_extras_that_exist_and_finds_all_that_it_installs() -> None:
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg", encoding="utf-8")
    text = (ROOT / "tools" / "container" / "Containerfile").read_text(encoding="utf-8")
    (extras,) = re.findall(r"^ARG EXTRAS=(.*)$", text, re.MULTILINE)
    assert set(extras.split(",")) <= set(options["options.extras_require"])
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not {"bundles", "monai_vlsm", "README.md", "LICENSE", "setup.py", "constraints.txt"} & set(left_out)
