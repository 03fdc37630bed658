# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the README says is true: its Python runs, its links lead somewhere, its set-up is what CI runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.networks import CLIPSegNet
from tests.serving.images import write_images, write_model

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_segmenter_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for block in CODE if "Segmenter(" in block]
    model = tmp_path / re.findall(r'Segmenter\("(.*?)"\)', code)[0]
    model.parent.mkdir(parents=True)
    write_model(CLIPSegNet("clipseg-mini", DenseAdaptation()), model)
    write_images(tmp_path)
    (tmp_path / "square.png").rename(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    result = names["result"]
    assert result.masks.shape == (2, 160, 160) and len(result.areas) == len(result.existence) == 2


def test_network_example_runs() -> None:
    (code,) = [block for block in CODE if "CLIPSegNet(" in block]
    names: dict[str, Any] = {}
    exec(code, names)
    assert tuple(names["logits"].shape) == (1, 2, 160, 160)


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
