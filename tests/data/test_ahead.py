# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from typing import Any

import pytest
from monai.data import Dataset

from monai_vlsm.data import ItemLoader, made_ahead


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_all_come_in_order(threads: int) -> None:
    seen: set[Any] = set()

    def make(place: int) -> int:
        seen.add(threading.current_thread() is threading.main_thread())
        return place * place

    assert list(made_ahead(make, range(40), threads)) == [place * place for place in range(40)]
    assert seen == {threads == 0}
    assert list(made_ahead(make, [], threads)) == []


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_comes_in_its_place_and_no_thread_stays(threads: int) -> None:
    before, found = threading.active_count(), []
    with pytest.raises(ZeroDivisionError):
        for value in made_ahead(lambda place: 6 // (3 - place), range(100), threads):
            found.append(value)
    assert found == [2, 3, 6]
    assert threading.active_count() == before


def test_no_more_is_made_than_a_few_places_ahead() -> None:
    made: list[int] = []
    ahead = made_ahead(lambda place: made.append(place) or place, range(1000), 1)
    assert next(ahead) == 0
    ahead.close()
    assert len(made) <= 6


@pytest.mark.parametrize("threads", [0, 2])
def test_batches_are_lists_of_items(threads: int) -> None:
    loader = ItemLoader(Dataset([{"value": number} for number in range(5)]), threads, batch_size=2)
    assert len(loader) == 3
    for _ in range(2):
        assert [[item["value"] for item in batch] for batch in loader] == [[0, 1], [2, 3], [4]]
