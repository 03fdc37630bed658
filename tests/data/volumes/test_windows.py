# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Names, numbers and percentiles that say what becomes black and white."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monai_vlsm.data.volumes import (
    WINDOWS,
    WindowError,
    parse_window,
    plain_window,
    usual_range,
    window_for,
)

ENDS = [
    ("abdomen", (-150, 250)),
    ("lung", (-1350, 150)),
    ("bone", (-770, 1730)),
    ("brain", (0, 80)),
    ("liver", (15, 165)),
    ("mediastinum", (-125, 225)),
    ("soft_tissue", (-160, 240)),
    ("pelvis", (-55, 200)),
    ("pancreas", (-100, 200)),
    ("colon", (-68, 187)),
    ("cta", (-130, 470)),
]


@pytest.mark.parametrize(("name", "ends"), ENDS)
def test_names(name: str, ends: tuple[float, float]) -> None:
    (window,) = parse_window(name)
    assert (window.ends, str(window)) == (ends, f"window {name}")


def test_all_names_are_tried() -> None:
    assert {name for name, _ in ENDS} == set(WINDOWS)


@pytest.mark.parametrize(
    ("window", "plain"),
    [
        (None, None),
        ("Soft tissue", "soft_tissue"),
        ("soft-tissue", "soft_tissue"),
        ("mr", "mr"),
        ((-160, 240.0), [-160, 240]),
        (("lung", [0, 80], "percentiles"), ["lung", [0, 80], "percentiles"]),
        (["abdomen"], "abdomen"),
        ([[1, 2]], [1, 2]),
    ],
)
def test_plain_form_says_the_same(window: Any, plain: Any) -> None:
    assert plain_window(window) == plain
    assert parse_window(plain) == parse_window(window)


@pytest.mark.parametrize(
    "window",
    [
        *["chest", "", 5, [1], [], [2, 1], [1, 1], [0, float("nan")], [0, float("inf")], [True, 2], [1, 2, 3], True],
        *[["lung", "bone"], ["lung"] * 4, [["lung"] * 3] * 3, {"low": 1}],
    ],
)
def test_what_is_no_window_is_refused_with_the_names_there_are(window: Any) -> None:
    with pytest.raises(WindowError, match=r"abdomen, bone, brain, .* soft_tissue, mr, percentiles"):
        parse_window(window)


def test_percentiles_are_of_what_is_above_zero() -> None:
    values = np.concatenate([np.zeros(5000), np.arange(1, 1001), [np.nan, np.inf, -7]]).reshape(-1, 3)
    assert usual_range(values, -7) == pytest.approx((5.995, 995.005))
    assert usual_range(np.array([-3, -2, -1]), -3) == pytest.approx((-1.995, -1.005))  # nothing above 0
    assert usual_range(np.zeros(3), 0) == (0, 0)


@pytest.mark.parametrize(
    ("modalities", "window"),
    [
        (["CT", "ct"], "soft_tissue"),
        (["CTA"], "soft_tissue"),
        (["MR", "MRI", "T1w", "FLAIR", "cine-MRI"], "mr"),
        (["CT", "MR"], None),
        (["CT", ""], None),
        (["PET"], None),
        ([None], None),
        ([], None),
    ],
)
def test_usual_window_of_a_modality(modalities: list[Any], window: Any) -> None:
    records = [{"modality": modality} for modality in modalities]
    assert window_for(records) == window
    assert window_for(records, (0, 1)) == [0, 1]
    assert window_for([{}]) is None


def test_the_usual_window_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    window_for([{"modality": "CT"}])
    assert "window soft_tissue, -160 to 240, by the modality that the list names" in caplog.text
    caplog.clear()
    window_for([{"modality": "CT"}], "lung")
    assert not caplog.text
