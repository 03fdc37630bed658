# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write the configs of all bundles from those of ``vlsm_dense`` and an overlay for each.

    python tools/derive_bundles.py            write them
    python tools/derive_bundles.py --check    only say which differ from what would be written; exit status 1 if any

A bundle must travel alone, so each folder is complete; this keeps them from drifting apart. What differs stands in
``tools/overlays/NAME/``, in config files that MONAI merges as it merges those of a command line (``"a#b": value``,
``"+a": {...}``). An overlay of ``train.json`` works by itself too::

    --config_file "['bundles/vlsm_dense/configs/train.json','tools/overlays/unet/train.json']"

Of the result, settings that nothing reads any more are left out, and new ones are put behind the backbone. The
folder also has ``README.md``, the sections in which the README differs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from monai_vlsm.settings.names import config_texts

ROOT = Path(__file__).parents[1]
BUNDLES = ROOT / "bundles"
SOURCE = BUNDLES / "vlsm_dense"
OVERLAYS = Path(__file__).with_name("overlays")
SAME = ("LICENSE", "configs/logging.conf", "docs/data_license.txt")
WIDTH = 120
# read by MONAI, or by another config that is used together with this one
KEPT = {"imports", "bundle_root", "train", "validate", "initialize", "run", "finalize", "dataset", "evaluator"}


def derived_names() -> list[str]:
    """The bundles that are derived."""
    return sorted(path.name for path in OVERLAYS.iterdir())


def merged(config: str, name: str) -> dict[str, Any]:
    """A config of ``vlsm_dense`` with the overlay of another bundle, merged as MONAI merges files of a command line.

    Args:
        config: name of the file, such as ``"train.json"``.
        name: of the bundle; one without an overlay of this config has that of ``vlsm_dense``.
    """
    parser = ConfigParser(ConfigParser.load_config_file(SOURCE / "configs" / config))
    overlay = OVERLAYS / name / config
    for key, value in ConfigParser.load_config_file(overlay).items() if overlay.is_file() else ():
        first = re.split("#|::", key)[0].removeprefix("+")
        # a path into a part that another file has, as in evaluate.json, stays one
        merge_kv(parser if first in parser.get() else parser.get(), key, value)
    values: dict[str, Any] = parser.get()
    return values


def derived_configs(name: str) -> dict[str, str]:
    """File name to text of all JSON configs of the bundle ``name``."""
    configs = {path.name: merged(path.name, name) for path in sorted((SOURCE / "configs").glob("*.json"))}
    train, evaluate = configs["train.json"], configs["evaluate.json"]
    for config in (train, configs["inference.json"]):
        drop_unread(config, [config])
    drop_unread(evaluate, [train, evaluate])
    return {file: config_text(settings_first(values, merged(file, ""))) for file, values in configs.items()}


def drop_unread(config: dict[str, Any], together: Sequence[dict[str, Any]]) -> None:
    """Leave out the entries at the top of a config to which nothing refers in the configs that are used together."""
    while unread := [name for name in config if name not in KEPT and not _is_read(name, together)]:
        for name in unread:
            del config[name]


def _is_read(name: str, configs: Sequence[dict[str, Any]]) -> bool:
    patterns = (text for config in configs for text in config_texts(config))
    return "#" in name or any(re.search(rf"[@%]{name}\b", text) for text in patterns)


def settings_first(config: dict[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose entries that the ``source`` does not have stand behind the backbone."""
    added = {name: value for name, value in config.items() if name not in source and "#" not in name}
    ordered: dict[str, Any] = {}
    for name, value in config.items():
        ordered[name] = value
        ordered |= added if name == "backbone" else {}
    return ordered


def config_text(config: Any) -> str:
    """A config as JSON: on one line what fits, else ``_target_`` by itself and plain arguments side by side."""
    return f"{_text(config, 0, 0)}\n"


def _text(value: Any, depth: int, before: int) -> str:
    """A value as JSON; ``before`` characters stand in front of it on its line, and perhaps a comma behind it."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or (depth and before + len(line) < WIDTH):
        return line
    space = " " * 4 * (depth + 1)
    rows: list[str] = []
    for key, one in value.items() if isinstance(value, dict) else enumerate(value):
        start = f"{json.dumps(key)}: " if isinstance(value, dict) else ""
        row = start + _text(one, depth + 1, len(space) + len(start))
        if depth and start and rows and _fits(rows[-1], row, len(space)):
            rows[-1] += f", {row}"
        else:
            rows.append(row)
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n" + ",\n".join(space + row for row in rows) + f"\n{space[4:]}{right}"


def _fits(row: str, more: str, before: int) -> bool:
    """Whether a plain argument may stand behind others on their line."""
    plain = not row.startswith('"_target_"') and not any(mark in row + more for mark in "{\n")
    return plain and before + len(row) + len(more) + len(", ") < WIDTH


def derived_readme(name: str) -> str:
    """The README of ``vlsm_dense`` with the sections that the overlay of the bundle ``name`` holds."""
    text = (SOURCE / "docs" / "README.md").read_text(encoding="utf-8").replace("bundles/vlsm_dense", f"bundles/{name}")
    own = sections((OVERLAYS / name / "README.md").read_text(encoding="utf-8"))
    unknown = set(own) - set(sections(text))
    if unknown:
        raise KeyError(f"{name}/README.md has sections that that of vlsm_dense does not have: {sorted(unknown)}")
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


def derived_files() -> dict[Path, bytes]:
    """All files of all bundles that are derived, and the configs of ``vlsm_dense`` in the form that all have."""
    found: dict[Path, bytes] = {}
    for path in sorted((SOURCE / "configs").glob("*.json")):
        found[path] = config_text(ConfigParser.load_config_file(path)).encode()
    for name in derived_names():
        folder = BUNDLES / name
        texts = {f"configs/{file}": text for file, text in derived_configs(name).items()}
        texts["docs/README.md"] = derived_readme(name)
        found |= {folder / file: text.encode() for file, text in texts.items()}
        found |= {folder / file: (SOURCE / file).read_bytes() for file in SAME}
    return found


def differing() -> list[str]:
    """Paths of files that are not what would be written."""
    files = derived_files().items()
    return [str(path.relative_to(ROOT)) for path, text in files if not path.is_file() or path.read_bytes() != text]


def write() -> None:
    """Write all that is derived."""
    for path, content in derived_files().items():
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
