# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from monai_vlsm.statistics.existence import ABSENT_OWN, ABSENT_PROBE, PRESENT, existence_by_tag
from monai_vlsm.statistics.reading import read_run
from tests.statistics.runs import make_run, probe, score

ROWS = [
    score("a", existence=0.9),
    score("b", existence=0.7, pred_pixels=0, pred_empty=1),
    score("c", existence=0.6),
    score("d", existence=0.2, truth_empty=1, truth_pixels=0, pred_pixels=0, pred_empty=1),
    score("e", existence="nan"),
    score("f", existence=0.1, tag="mask-derived", truth_empty=1, truth_pixels=0),
]
PROBED = [probe("a", "absent", pred_pixels=0, existence=0.1), probe("b", "absent", existence=0.8), probe("c")]


def test_shares_and_separation(tmp_path: Path) -> None:
    found = existence_by_tag(read_run(make_run(tmp_path, ROWS, PROBED)))
    assert list(found) == ["class", "mask-derived"]
    rows = {row.kind: row for row in found["class"].rows}
    assert {kind: row.prompts for kind, row in rows.items()} == {PRESENT: 3, ABSENT_OWN: 1, ABSENT_PROBE: 2}
    assert rows[PRESENT].emptied.mean == pytest.approx(1 / 3)
    assert rows[PRESENT].score.mean == pytest.approx(2.2 / 3)
    assert rows[ABSENT_PROBE].emptied.mean == 0.5
    # of the nine pairs of {0.9, 0.7, 0.6} and {0.2, 0.1, 0.8}, seven are in the right order
    assert found["class"].separation == pytest.approx(7 / 9)


def test_without_one_side_there_is_no_separation(tmp_path: Path) -> None:
    found = existence_by_tag(read_run(make_run(tmp_path, ROWS)))
    assert found["mask-derived"].separation is None
    assert [row.kind for row in found["mask-derived"].rows] == [ABSENT_OWN]


def test_no_scores(tmp_path: Path) -> None:
    probed = [{key: value for key, value in row.items() if key != "existence"} for row in PROBED]
    assert existence_by_tag(read_run(make_run(tmp_path, probed=probed))) == {}
