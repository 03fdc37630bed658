# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from monai_vlsm.data.volumes import Address

TEXTS = {
    "a.nii.gz": Address("a.nii.gz"),
    "a.nii.gz::axial=12": Address("a.nii.gz", "axial", 12),
    "d/a b.nii.gz::sagittal=0::context=1": Address("d/a b.nii.gz", "sagittal", 0, context=1),
    "a.nii.gz::coronal=3::channel=2::label=1,2": Address("a.nii.gz", "coronal", 3, channel=2, labels=(1, 2)),
    "m.png::label=2": Address("m.png", labels=(2,)),
    "m.png::colour=ff0000": Address("m.png", colour="ff0000"),
    "scan::axial.png": Address("scan::axial.png"),
    "x::axial=one": Address("x::axial=one"),
    r"C:\data\a.nii::axial=1": Address(r"C:\data\a.nii", "axial", 1),
}


@pytest.mark.parametrize(("text", "address"), TEXTS.items())
def test_text_and_back(text: str, address: Address) -> None:
    assert Address.of(text) == address
    assert str(address) == text


def test_whole_files_and_all_classes() -> None:
    assert Address.of("a.png").whole
    assert not Address.of("a.png::label=1").whole
    assert str(Address.of("a.nii::axial=1::label=4").without_labels()) == "a.nii::axial=1"
