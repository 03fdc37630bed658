# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Models at sites, from what evaluations wrote there."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.errors import UserError
from monai_vlsm.federated import FederatedError, Site, compare_models, difference_table, require_own_lists, site_table
from monai_vlsm.io import read_rows
from monai_vlsm.tables import text_table
from tests.bundles.dataset import write_dataset
from tests.statistics.runs import make_run, score

BUNDLE = Path(__file__).parents[2] / "bundles" / "vlsm_dense"
GAIN = {"federated": 0.1, "pooled": 0.2, "north alone": 0.0}


@dataclass(frozen=True)
class Scored(Site):
    """A site whose evaluations give known scores: those of its images, and what each model adds to them."""

    dice: tuple[float, ...] = ()
    tests: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    def has_test(self) -> bool:
        return self.tests

    def evaluate(self, model: Path, part: str, folder: Path) -> Path:
        if not self.dice:
            raise UserError("no such\ndataset folder")
        rows = [score(f"img{i}", one + GAIN[model.stem], **self.more) for i, one in enumerate(self.dice)]
        return make_run(folder, rows)


def scored(*dice: float, **more: Any) -> Scored:
    return Scored(BUNDLE, BUNDLE, BUNDLE, {}, dice=dice, **more)


@pytest.fixture
def sites() -> dict[str, Site]:
    """Images and patients of the same names at both are not the same."""
    south = scored(0.6, 0.8, tests=True, more={"patient": "p1"})
    return {"north": scored(0.2, 0.4, 0.6), "south": south, "west": scored()}


def test_all_models_at_all_sites(sites: dict[str, Site], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    models = {name: tmp_path / f"{name}.pt" for name in GAIN}
    with caplog.at_level(logging.WARNING):
        runs = compare_models(models, sites, tmp_path)
    assert set(caplog.messages) == {"west is left out: no such dataset folder"}
    assert list(runs) == ["val", "test"]
    rows = {(row["part"], row["site"], row["model"]): row for row in read_rows(tmp_path / "evaluation.csv")}
    assert {place[:2] for place in rows} == {*(("val", at) for at in ("north", "south", "(all)")), ("test", "south")}
    for (_, at, model), row in rows.items():
        means = {"north": 0.4, "south": 0.7, "(all)": 0.52}
        assert float(row["dice"]) == pytest.approx(means[at] + GAIN[model])
        assert not row["against"] or float(row["dice_difference"]) == pytest.approx(0.1 - GAIN[model])
    assert rows["val", "north", "federated"]["against"] == "" and rows["val", "north", "pooled"]["worse"] == "3"
    assert rows["val", "(all)", "pooled"]["images"] == "5"
    assert rows["test", "south", "pooled"]["dice_low"] == ""  # one patient has no interval
    assert float(rows["val", "north", "pooled"]["dice_low"]) < 0.6 < float(rows["val", "north", "pooled"]["dice_high"])


def test_tables(sites: dict[str, Site], tmp_path: Path) -> None:
    runs = compare_models({name: tmp_path / f"{name}.pt" for name in GAIN}, sites, tmp_path)
    table, changes = site_table(runs["val"]), difference_table(runs["val"])
    assert list(table.header) == ["prompts", "site", "style", "images", *GAIN]
    assert [line[1] for line in table.rows] == ["north", "south", "all sites"]
    assert str(table.rows[0][4]).startswith("0.500 (0.3")
    assert [tuple(map(str, line[1:3])) for line in changes.rows[:2]] == [("pooled", "north"), ("pooled", "south")]
    assert str(changes.rows[0][7]).startswith("\N{MINUS SIGN}0.100")
    assert len(text_table(table.header, table.rows).splitlines()) == 4


def test_no_site_that_can_evaluate(tmp_path: Path) -> None:
    with pytest.raises(FederatedError, match="no site could evaluate"):
        compare_models({"federated": tmp_path / "federated.pt"}, {"west": scored()}, tmp_path)


def test_who_validates_must_be_written_down(backbone: Path, tmp_path: Path) -> None:
    settings = {"backbone": str(backbone), "device": "cpu"}
    data = write_dataset(tmp_path / "all", train=3, val=1)
    pooled = Site(BUNDLE, data, tmp_path / "out", {}, settings=settings)
    drawn = replace(pooled, data=write_dataset(tmp_path / "south", train=3, val=0))
    (drawn.data / "val.json").unlink()
    require_own_lists(pooled, {"north": pooled})
    with pytest.raises(FederatedError, match=r"^site south: .*south has no list of who validates.*val list") as error:
        require_own_lists(pooled, {"north": pooled, "south": drawn})
    assert "\n" not in str(error.value)
    assert not pooled.has_test()
    (data / "val.json").rename(data / "test.json")
    assert pooled.has_test()
    with pytest.raises(FederatedError, match=r"all has no list of who validates"):
        require_own_lists(pooled, {})
