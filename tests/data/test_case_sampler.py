# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from monai.data import Dataset

from monai_vlsm.data import WholeCaseSampler
from monai_vlsm.data.case_sampler import TooFewCasesError


def share(cases: str, processes: int) -> list[list[int]]:
    """What each process gets of records, a letter for each of a volume and a dot for each image."""
    data: Any = Dataset([{"case": case if case != "." else "", "dataset": "d"} for case in cases])
    return [list(WholeCaseSampler(data, processes, rank)) for rank in range(processes)]


def test_images_one_by_one_and_volumes_as_a_whole() -> None:
    assert share(".....", 2) == [[0, 2, 4], [1, 3]]
    assert share("aaabbc.cc", 2) == [[0, 1, 2, 5, 7, 8], [3, 4, 6]]
    assert share("abab", 1) == [[0, 2, 1, 3]]


def test_a_volume_of_the_same_name_in_another_dataset() -> None:
    data: Any = Dataset([{"case": "a", "dataset": "d"}, {"case": "a", "dataset": "e"}, {"case": "a", "dataset": "d"}])
    assert [list(WholeCaseSampler(data, 2, rank)) for rank in range(2)] == [[0, 2], [1]]
    assert len(WholeCaseSampler(data, 2, 0)) == 2


def test_more_processes_than_volumes() -> None:
    with pytest.raises(TooFewCasesError, match="3 processes for 2 images and volumes"):
        share("aaab", 3)
