# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from typing import Any

import pytest

from monai_vlsm.data.volumes import WindowError, slice_settings


def test_three_windows_and_neighbours_have_no_place_together() -> None:
    three = ["lung", "bone", "brain"]
    with pytest.raises(WindowError, match=r"three windows make the three channels, and so do .* context 0"):
        slice_settings([], three, context=1)
    assert slice_settings([], three, context=1, slices=3) == slice_settings([], three) == {"window": three}


@pytest.mark.parametrize(
    ("images", "recorded"),
    [
        (["a.png"], {"window": "lung"}),
        (["a.png", "a.nii::axial=2"], {"window": "lung", "context": 1, "plane": "axial"}),
        (
            ["a.nii::axial=2::channel=1", "b.nii::axial=2"],
            {"window": "lung", "context": 1, "plane": "axial", "channel": 1},
        ),
        (
            ["a.nii::axial=2::channel=1", "b.nii::axial=2::channel=0"],
            {"window": "lung", "context": 1, "plane": "axial"},
        ),
    ],
)
def test_only_slices_have_neighbours_a_plane_and_a_channel(images: list[str], recorded: dict[str, Any]) -> None:
    assert slice_settings([[{"image": image}] for image in images], "lung", 1, "axial") == recorded


MODEL = {"window": "soft_tissue", "context": 1, "plane": "coronal", "channel": 0}
SAME = {"window": "soft_tissue", "context": 1, "plane": "coronal"}
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "the same": (SAME, MODEL, ""),
    "window": ({**SAME, "window": "lung"}, MODEL, "window lung, its file says soft_tissue"),
    "numbers": ({**SAME, "window": [-160, 240]}, MODEL, "window [-160.0, 240.0], its file says soft_tissue"),
    "no window": ({**SAME, "window": None}, MODEL, "window none, its file says soft_tissue"),
    "context": ({**SAME, "context": 0}, MODEL, "context 0, its file says 1"),
    "plane": ({**SAME, "plane": "axial"}, MODEL, "plane axial, its file says coronal"),
    "one of all planes": (SAME, {**MODEL, "plane": "all"}, ""),
    "a file of before": (SAME, {"network": "CLIPSegNet"}, ""),
    "all": (
        {"window": "lung", "context": 2, "plane": "axial"},
        MODEL,
        "window lung, its file says soft_tissue, context 2, its file says 1, plane axial, its file says coronal",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_differs_from_the_model_is_told_in_one_line(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    settings, model, expected = OTHERS[kind]
    with caplog.at_level(logging.INFO, "monai_vlsm"):
        slice_settings([[{"image": "a.nii::axial=2::channel=0"}]], **settings, model=model)
    lines = [f"not as the model was trained: {expected}"] if expected else []
    assert [record.getMessage() for record in caplog.records] == lines


def test_another_channel_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "monai_vlsm"):
        slice_settings([[{"image": "a.nii::coronal=2::channel=2"}]], "lung", 1, "coronal", model=MODEL)
    assert "channel 2, its file says 0" in caplog.text
