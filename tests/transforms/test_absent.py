# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Prompts of what is not there: how often, which mask, the same in workers and from a cache."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset, MetaTensor
from monai.data.utils import set_rnd
from monai.transforms import Compose
from monai.utils import set_determinism

from monai_vlsm.transforms import RandAbsentPrompt, RandAbsentPromptd, RandSelectPromptd

ABSENT = ["liver", "spleen", "heart"]


def record(index: int = 0, absent: list[str] | None = ABSENT, structures: int = 1) -> dict[str, Any]:
    mask = torch.ones(structures, 4, 4)
    names = [f"lung {k}" for k in range(structures)]
    prompt: Any = names[0] if structures == 1 else names
    styles = "p2" if structures == 1 else ["p2"] * structures
    tags = "mask-derived" if structures == 1 else ["mask-derived"] * structures
    both = {"prompt": prompt, "prompt_style": styles, "prompt_tag": tags}
    return {"image": torch.zeros(3, 4, 4), "label": mask, "name": f"r{index}", **both, "absent": absent}


def test_share_and_texts() -> None:
    transform = RandAbsentPrompt(0.25).set_random_state(0)
    found = Counter(transform("lung", torch.ones(1, 2, 2), ABSENT)[0] for _ in range(4000))
    assert found["lung"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert all(found[text] / 1000 == pytest.approx(1 / 3, abs=0.06) for text in ABSENT)


@pytest.mark.parametrize("structures", [1, 3])
def test_one_mask_is_emptied_and_the_original_stays(structures: int) -> None:
    transform = RandAbsentPromptd(prob=1.0).set_random_state(1)
    channels = set()
    for _ in range(30):
        before = record(structures=structures)
        d = transform(before)
        assert before["label"].all()
        assert "absent" not in d
        texts = [d["prompt"]] if structures == 1 else d["prompt"]
        (channel,) = [k for k, text in enumerate(texts) if text in ABSENT]
        channels.add(channel)
        assert [bool(mask.any()) for mask in d["label"]] == [k != channel for k in range(structures)]
        styles, tags = ([d[f"prompt_{k}"]] if structures == 1 else d[f"prompt_{k}"] for k in ("style", "tag"))
        assert [(styles[k], tags[k]) for k in range(structures)] == [
            ("p1", "class") if k == channel else ("p2", "mask-derived") for k in range(structures)
        ]
    assert channels == set(range(structures))


@pytest.mark.parametrize("given", [record(absent=[]), {k: v for k, v in record().items() if k != "absent"}])
def test_nothing_absent_changes_nothing(given: dict[str, Any]) -> None:
    d = RandAbsentPromptd(prob=1.0)(given)
    assert d["prompt"] == "lung 0"
    assert d["label"].all()
    assert d.keys() == given.keys() - {"absent"}


def test_probability_zero_changes_nothing() -> None:
    transform = RandAbsentPromptd(prob=0.0).set_random_state(0)
    assert {transform(record())["prompt"] for _ in range(50)} == {"lung 0"}


def test_meta_of_the_mask_stays() -> None:
    label = MetaTensor(torch.ones(1, 4, 4), meta={"filename_or_obj": "m.png"})
    d = RandAbsentPromptd(prob=1.0)({**record(), "label": label})
    assert d["label"].meta["filename_or_obj"] == "m.png"
    assert d["label"].dtype == torch.float32


TABLES = [
    {
        "image": index,
        "label": torch.ones(1, 2, 2),
        "prompt": {"p1": "lung", "p2": ["a", "b"]},
        "absent": ABSENT[: n % 4],
    }
    for index, n in enumerate(range(24))
]


def epoch(data: Dataset, workers: int, seed: int) -> list[tuple[str, bool]]:
    set_determinism(seed)
    set_rnd(data, seed)
    try:
        return [
            (text, bool(mask.any()))
            for batch in DataLoader(data, batch_size=5, num_workers=workers)
            for text, mask in zip(batch["prompt"], batch["label"], strict=True)
        ]
    finally:
        set_determinism(None)


def pipeline() -> Compose:
    return Compose([RandSelectPromptd("prompt"), RandAbsentPromptd(prob=0.5)])


@pytest.mark.parametrize("workers", [0, 2])
def test_seed_decides(workers: int) -> None:
    first = epoch(Dataset(TABLES, pipeline()), workers, 3)
    assert epoch(Dataset(TABLES, pipeline()), workers, 3) == first
    assert epoch(Dataset(TABLES, pipeline()), workers, 4) != first
    assert all((text in ABSENT) != there for text, there in first)
    assert 4 <= sum(not there for _, there in first) <= 16


def test_other_draws_from_a_cache_in_each_epoch() -> None:
    data = CacheDataset(TABLES, pipeline(), cache_rate=1.0, progress=False)
    epochs = [epoch(data, 0, seed) for seed in range(4)]
    assert len({tuple(found) for found in epochs}) == 4
    assert all((text in ABSENT) != there for found in epochs for text, there in found)


@pytest.mark.parametrize("prob", [-0.1, 1.1])
def test_probability_out_of_range(prob: float) -> None:
    with pytest.raises(ValueError, match="prob must be from 0 to 1"):
        RandAbsentPromptd(prob=prob)


def test_one_key_only() -> None:
    with pytest.raises(ValueError, match="takes one key"):
        RandAbsentPromptd(["prompt", "question"], prob=0.5)


@pytest.mark.parametrize("prompt", [{"p1": "lung"}, [{"p1": "lung"}], None])
def test_a_prompt_must_be_chosen_before(prompt: Any) -> None:
    with pytest.raises(TypeError, match=r"record 'r0': prompt must be a text.*RandSelectPromptd first"):
        RandAbsentPromptd(prob=0.5)({**record(), "prompt": prompt})


def test_records_without_a_prompt() -> None:
    assert RandAbsentPromptd(prob=1.0, allow_missing_keys=True)({"image": 1, "absent": ABSENT}) == {"image": 1}
