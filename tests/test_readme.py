# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the README says is true: its Python runs, its files exist, its commands are those that CI runs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert tuple(names["logits"].shape) == (1, 2, 160, 160)  # type: ignore[attr-defined]


def test_local_links_exist() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "bundles").glob("*/docs/*.md")]
    broken = [
        f"{document.relative_to(ROOT)}: {link}"
        for document in documents
        for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
        if "://" not in link and not (document.parent / link).exists()
    ]
    assert len(documents) > 3
    assert not broken, "\n".join(broken)


def test_two_set_up_commands() -> None:
    commands = [line for line in TEXT.splitlines() if line.startswith("pip install -c constraints.txt ")]
    assert commands == [
        "pip install -c constraints.txt -e . && python -m monai.bundle run "
        "--config_file bundles/vlsm_dense/configs/train.json",
        'pip install -c constraints.txt -e ".[test]" && pytest',
    ]


def test_config_files_that_documents_name_exist() -> None:
    names = set(re.findall(r"bundles/[\w/.]+\.json", TEXT))
    assert len(names) >= 2
    assert all((ROOT / name).is_file() for name in names)
