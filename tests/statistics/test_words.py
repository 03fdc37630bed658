# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from monai_vlsm.statistics import words
from monai_vlsm.statistics.bootstrap import Estimate
from monai_vlsm.statistics.columns import ALL
from monai_vlsm.tables import Cell


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.12345, 3, "0.123"),
        (-0.5, 1, "\N{MINUS SIGN}0.5"),
        (-0.0001, 3, "0.000"),
        (12345.6, 1, "12,345.6"),
        (None, 3, "\N{EN DASH}"),
        (float("nan"), 3, "\N{EN DASH}"),
        (float("inf"), 1, "inf"),
    ],
)
def test_decimals(value: float | None, digits: int, text: str) -> None:
    assert words.decimals(value, digits) == text


@pytest.mark.parametrize(
    ("estimate", "options", "cell"),
    [
        (Estimate(0.5, 0.4, 0.6), {}, Cell("0.500", ("0.400 to 0.600",))),
        (Estimate(0.5, 0.4, 0.6), {"sign": True}, Cell("+0.500", ("0.400 to 0.600",))),
        (Estimate(0.5, 0.4, 0.6, 3), {"digits": 1}, Cell("0.5", ("0.4 to 0.6", "3 left out"))),
        (Estimate(0.5, None, None), {}, Cell("0.500")),
        (Estimate(1.0, 1.0, 1.0), {}, Cell("1.000")),
        (Estimate(None, None, None, 2), {"sign": True}, Cell("\N{EN DASH}", ("2 left out",))),
        (Estimate(0.125, 0.0, 0.25), {"share": True}, Cell("12.5_%", ("0.0_% to 25.0_%",))),
    ],
)
def test_number(estimate: Estimate, options: dict[str, bool], cell: Cell) -> None:
    found = words.number(estimate, **options)  # type: ignore[arg-type]
    spaced = [text.replace("_", "\N{NO-BREAK SPACE}") for text in (cell.main, *cell.details)]
    assert [found.main, *found.details] == spaced


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "< 0.001"), (0.04321, "0.043"), (1.0, "1.000"), (None, "\N{EN DASH}")]
)
def test_p(p: float | None, text: str) -> None:
    assert words.p_value(p).main == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-23T13:40:02+00:00", "2026-11-23 13:40 UTC"),
        ("2026-11-23T13:40:02", "2026-11-23 13:40"),
        ("yesterday", "yesterday"),
    ],
)
def test_date(text: str, shown: str) -> None:
    assert words.date(text) == shown


def test_plural() -> None:
    assert [words.plural(n, "image") for n in (0, 1, 1234)] == ["0 images", "1 image", "1,234 images"]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ([("a", "p1")], ["a, p1"]),
        ([("a", "p1"), ("a", "p2"), ("a", ALL)], ["p1", "p2", "all styles"]),
        ([("a", "p1"), ("b", "p1")], ["a", "b"]),
        ([("a", "p1"), ("b", "p1"), (ALL, ALL)], ["a, p1", "b, p1", "all datasets, all styles"]),
        ([("", "")], ["(no name), (no style)"]),
        ([("a" * 40, "p1")], ["a" * 15 + "…, p1"]),
    ],
)
def test_plot_labels(names: list[tuple[str, str]], labels: list[str]) -> None:
    assert words.plot_labels(names) == labels
