# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write the configs of all bundles from those of ``vlsm_dense`` and what differs.

    python tools/derive_bundles.py            write them
    python tools/derive_bundles.py --check    only say which differ from what would be written; exit status 1 if any

A bundle must travel alone, so each folder is complete; this keeps them from drifting apart. What differs stands in
``tools/bundle_differences.json``: for each bundle ``names`` (text replaced in all configs), and for each config the
keys to change (see `change`). ``tools/bundle_docs/NAME.md`` holds the sections in which its README differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BUNDLES = ROOT / "bundles"
SOURCE = BUNDLES / "vlsm_dense"
DOCS = Path(__file__).with_name("bundle_docs")
DIFFERENCES = Path(__file__).with_name("bundle_differences.json")
SAME = ("LICENSE", "configs/logging.conf", "docs/data_license.txt")


def derived_configs(name: str) -> dict[str, str]:
    """File name to text of all JSON configs of the bundle ``name``."""
    difference = json.loads(DIFFERENCES.read_text(encoding="utf-8"))[name]
    texts = {}
    for path in sorted((SOURCE / "configs").glob("*.json")):
        text = path.read_text(encoding="utf-8").replace("bundles/vlsm_dense", f"bundles/{name}")
        for old, new in difference["names"].items():
            text = text.replace(old, new)
        values = change(json.loads(text), difference.get(path.stem, {}))
        texts[path.name] = json.dumps(values, indent=4, ensure_ascii=False) + "\n"
    return texts


def derived_readme(name: str) -> str:
    """The README of ``vlsm_dense`` with the sections that ``tools/bundle_docs`` holds for the bundle ``name``."""
    text = (SOURCE / "docs" / "README.md").read_text(encoding="utf-8").replace("bundles/vlsm_dense", f"bundles/{name}")
    own = sections((DOCS / f"{name}.md").read_text(encoding="utf-8"))
    unknown = set(own) - set(sections(text))
    if unknown:
        raise KeyError(f"{name}.md has sections that the README of vlsm_dense does not have: {sorted(unknown)}")
    return "\n".join(own.get(heading, body) for heading, body in sections(text).items())


def sections(text: str) -> dict[str, str]:
    """Heading to section, the heading included, in the order of the text."""
    found: dict[str, str] = {}
    heading, fenced = "", False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            heading = line
        found[heading] = f"{found[heading]}{line}\n" if heading in found else f"{line}\n"
    return {heading: body.rstrip("\n") + "\n" for heading, body in found.items()}


def derived_files(name: str) -> dict[str, bytes]:
    """All files of the bundle ``name``, by their path in its folder."""
    texts = {f"configs/{file}": text for file, text in derived_configs(name).items()}
    texts["docs/README.md"] = derived_readme(name)
    copies = {file: (SOURCE / file).read_bytes() for file in SAME}
    return {**copies, **{file: text.encode() for file, text in texts.items()}}


def change(values: dict[str, Any], differences: dict[str, Any]) -> dict[str, Any]:
    """Change keys of a config.

    Args:
        values: the config.
        differences: key to new value; null removes the key, a dict changes the keys inside, ``{"=": value}`` replaces
            whatever was there, and ``"old -> new"`` puts another key in the place of an old one.
    """
    changed: dict[str, Any] = {}
    places = {key.partition(" -> ")[0]: key for key in differences}
    for key, value in values.items():
        place = places.pop(key, None)
        if place is None:
            changed[key] = value
        elif differences[place] is not None:
            changed[place.rpartition(" -> ")[2]] = _new_value(value, differences[place])
    if places:
        raise KeyError(f"keys that vlsm_dense does not have: {sorted(places)}; put them in the place of another")
    return changed


def _new_value(old: Any, difference: Any) -> Any:
    if isinstance(difference, dict) and set(difference) == {"="}:
        return difference["="]
    if isinstance(difference, dict) and isinstance(old, dict):
        return change(old, difference)
    return difference


def derived_names() -> list[str]:
    """The bundles that are derived."""
    return list(json.loads(DIFFERENCES.read_text(encoding="utf-8")))


def differing() -> list[str]:
    """Paths of files that are not what would be written."""
    wrong = []
    for name in derived_names():
        for file, content in derived_files(name).items():
            path = BUNDLES / name / file
            if not path.is_file() or path.read_bytes() != content:
                wrong.append(str(path.relative_to(ROOT)))
    return wrong


def write() -> None:
    """Write all derived bundles."""
    for name in derived_names():
        for file, content in derived_files(name).items():
            path = BUNDLES / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    if not parser.parse_args().check:
        write()
    wrong = differing()
    print("\n".join(f"differs: {path}" for path in wrong) or f"{len(derived_names())} bundles are as derived")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
