# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from monai_vlsm.commands import main
from monai_vlsm.commands.systems import SYSTEMS

ROOT = Path(__file__).parents[2]
COUNTS = {  # total and trainable, from facts about the authors' code and its golden numbers
    "CLIPSeg, decoder": ("150,747,746", "1,127,009"),
    "CLIPSeg, full": ("150,747,746", "136,177,249"),
    "shallow V": ("153,110,882", "2,363,136"),
    "shallow VL": ("154,686,818", "3,939,072"),
    "shallow VLC": ("154,949,730", "4,201,984"),
    "dense V": ("152,532,194", "1,784,448"),
    "dense VL": ("153,722,210", "2,974,464"),
    "dense VLC": ("153,985,122", "3,237,376"),
    "LoRA": ("151,190,114", "442,368"),
    "LoRA, attention": ("151,632,482", "884,736"),
    "LoRA, MLP too": ("152,738,402", "1,990,656"),
    "DoRA": ("151,217,762", "470,016"),
    "SSF": ("151,051,874", "304,128"),
    "BitFit": ("150,747,746", "152,064"),
    "Telescopic": ("151,361,043", "613,297"),
    "visual prompts": ("150,824,546", "76,800"),
    "AdaptFormer V": ("151,739,106", "991,360"),
    "AdaptFormer VL": ("152,532,450", "1,784,704"),
    "cross-modal": ("152,676,212", "1,928,466"),
    "CRIS": ("146,849,122", "146,849,121"),  # CLIP's logit scale has no part in it
    "SAN": ("157,839,795", "8,370,354"),
}


@pytest.fixture(scope="module")
def printed() -> str:
    with redirect_stdout(io.StringIO()) as output:
        assert main(["models"]) == 0
    return output.getvalue().strip()


@pytest.fixture(scope="module")
def rows(printed: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()[2:]]
    return {row[0]: row for row in cells}


def test_every_system_has_a_row_and_a_bundle(rows: dict[str, list[str]]) -> None:
    assert list(rows) == [system.name for system in SYSTEMS]
    bundles = {system.bundle.split(",")[0] for system in SYSTEMS}
    others = {"vlsm_slices"}  # dense adapters again, with other data
    assert bundles | others == {path.name for path in (ROOT / "bundles").iterdir()}


@pytest.mark.parametrize("system", COUNTS)
def test_counts(system: str, rows: dict[str, list[str]]) -> None:
    assert tuple(rows[system][2:4]) == COUNTS[system]


def test_the_table_in_the_docs_is_printed(printed: str) -> None:
    assert printed in (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")


def test_no_command() -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
