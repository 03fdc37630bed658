# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which prompts of an image a step of training sees: how many, which share, the same in workers and from a cache."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from monai.data import CacheDataset, Dataset, MetaTensor
from monai.data.utils import set_rnd
from monai.transforms import Compose

from monai_vlsm.data import SeededLoader
from monai_vlsm.transforms import RandDrawPromptsd, RandSelectPromptd

NAMES = ["liver", "spleen", "heart"]
ABSENT = [{"p1": [name], "p2": [f"large {name}", f"small {name}"]} for name in NAMES]


def record(own: int = 4, absent: list[dict[str, list[str]]] | None = None) -> dict[Any, Any]:
    """Mask k is full of k + 1, so that whoever it belongs to is seen."""
    masks = torch.arange(1.0, own + 1)[:, None, None].expand(own, 2, 2)
    names = [f"lung {k}" for k in range(own)]
    prompts, tags = [{"p2": name} for name in names], [{"p2": "mask-derived"}] * own
    extra = {} if absent is None else {"absent": absent}
    label = MetaTensor(masks, meta={"filename_or_obj": "a.png"})
    return {"image": torch.zeros(3, 2, 2), "label": label, "prompt": prompts, "tags": tags, "structure": names, **extra}


def pairs(d: dict[Any, Any]) -> list[tuple[str, float]]:
    """Name and value of the mask of each prompt."""
    firsts = [next(iter(prompt.values())) for prompt in d["prompt"]]
    texts = [first if isinstance(first, str) else first[0] for first in firsts]
    assert len(texts) == len(d["label"]) == len(d["tags"]) == len(d["structure"])
    return [(text, float(mask.mean())) for text, mask in zip(texts, d["label"], strict=True)]


OWN = [(f"lung {k}", k + 1.0) for k in range(4)]


def seeded(**arguments: Any) -> RandDrawPromptsd:
    transform = RandDrawPromptsd(**arguments)
    transform.set_random_state(0)
    return transform


def test_all_prompts_and_nothing_absent_stay_as_they_are() -> None:
    given = record()
    d = RandDrawPromptsd()(given)
    assert d["label"] is given["label"]
    assert pairs(d) == OWN


@pytest.mark.parametrize("at_most", [1, 3, 4, 9])
def test_some_of_the_own_ones_with_their_masks(at_most: int) -> None:
    transform, seen = seeded(at_most=at_most), set()
    for _ in range(40):
        given = record()
        found = pairs(transform(given))
        assert pairs(given) == OWN
        assert len(found) == min(at_most, 4)
        assert found == [pair for pair in OWN if pair in found]
        seen.update(found)
    assert seen == set(OWN)


@pytest.mark.parametrize(("own", "at_most"), [(4, None), (4, 2), (4, 8), (1, 8), (1, 1)])
def test_the_share_of_absent_ones(own: int, at_most: int | None) -> None:
    transform = seeded(at_most=at_most, share=0.25)
    drawn = [pair for _ in range(600) for pair in pairs(transform(record(own, ABSENT)))]
    absent = [pair for pair in drawn if pair[0] in NAMES]
    assert len(absent) / len(drawn) == pytest.approx(0.25, abs=0.03)
    assert {value for _, value in absent} == {0.0}
    assert {text for text, _ in absent} == set(NAMES)


def test_styles_do_not_tell_what_is_absent() -> None:
    """Present and absent things are asked for in the same styles, equally often; masks of absent ones are empty."""
    chain: list[Any] = [seeded(share=0.5), RandSelectPromptd("prompt").set_random_state(1)]
    transform, found = Compose(chain), Counter[tuple[bool, str]]()
    for _ in range(1000):
        given = {**record(2, ABSENT[:2]), "name": "a"}
        given["prompt"] = [{"p1": f"lung {k}", "p2": f"small lung {k}"} for k in range(2)]
        d = transform(given)
        assert d["label"].amax((1, 2)).tolist() == [1, 2, 0, 0]
        assert d["label"].meta["filename_or_obj"] == "a.png"
        assert "absent" not in d
        absent = [any(name in text for name in NAMES) for text in d["prompt"]]
        assert absent == [False, False, True, True]
        found.update(zip(absent, d["prompt_style"], strict=True))
    assert [found[there, "p2"] / 2000 for there in (False, True)] == pytest.approx([0.5, 0.5], abs=0.05)


def test_an_absent_thing_in_the_place_of_the_only_prompt() -> None:
    transform = Compose([seeded(at_most=3, share=0.25), RandSelectPromptd("prompt").set_random_state(1)])
    seen = []
    for _ in range(2000):
        single: dict[Any, Any] = {"label": torch.ones(1, 2, 2), "prompt": {"p2": "small lung"}, "name": "a"}
        d = transform({**single, "tags": {"p2": "mask-derived"}, "structure": "lung", "absent": ABSENT})
        assert isinstance(d["prompt"], str)
        assert d["label"].shape == (1, 2, 2)
        assert d.keys() == {"label", "prompt", "name", "structure", "prompt_style", "prompt_tag"}
        there = bool(d["label"].any())
        assert (d["prompt"], d["prompt_tag"], d["structure"]) == ("small lung", "mask-derived", "lung") or not there
        assert there or d["structure"] in NAMES
        assert there or d["prompt"].split()[-1] == d["structure"]
        seen.append((there, d["prompt_style"]))
    assert sum(not there for there, _ in seen) / 2000 == pytest.approx(0.25, abs=0.03)
    assert {style for there, style in seen if not there} == {"p1", "p2"}


def test_a_step_may_ask_for_absent_things_only() -> None:
    """Of one prompt at a time, half ask for nothing that is there; an image whose own mask is empty always does."""
    transform = seeded(at_most=1, share=0.5)
    found = [pairs(transform(record(1, ABSENT))) for _ in range(50)]
    assert {len(one) for one in found} == {1}
    assert 10 < sum(one[0][1] == 0 for one in found) < 40
    empty = record(1, [])
    empty["label"] = torch.zeros(1, 2, 2)
    assert pairs(transform(empty)) == [("lung 0", 0)]


def test_records_without_absent_things_or_prompts_stay() -> None:
    single: dict[Any, Any] = {"label": torch.ones(1, 2, 2), "prompt": {"p1": "lung"}}
    assert RandDrawPromptsd(at_most=1, share=0.5)(single) == single
    assert RandDrawPromptsd()({**single, "absent": ABSENT}) == single
    assert RandDrawPromptsd(allow_missing_keys=True)({"label": 1}) == {"label": 1}
    with pytest.raises(KeyError):
        RandDrawPromptsd()({"label": 1})


def drawn(dataset: Any, workers: int) -> list[Any]:
    loader = SeededLoader(dataset, workers, batch_size=2)
    found = []
    for epoch in range(2):
        torch.manual_seed(epoch)
        set_rnd(dataset, epoch)
        loader.seed_epoch(epoch)
        found += [(batch["prompt"], batch["label"].amax((2, 3)).tolist()) for batch in loader]
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_same_seed_same_draws(workers: int) -> None:
    """From a cache too, whose masks stay whole."""
    records = [record(own, ABSENT) for own in (1, 2, 3, 4, 5)]
    chain: list[Any] = [RandDrawPromptsd(at_most=2, share=0.25), RandSelectPromptd("prompt")]
    first, second = (drawn(Dataset(records, Compose(chain)), workers) for _ in range(2))
    assert first == second
    assert drawn(CacheDataset(records, Compose(chain), progress=False), workers) == first
    assert first[:3] != first[3:]


@pytest.mark.parametrize(
    "wrong", [{"keys": ["a", "b"]}, {"at_most": 0}, {"share": 0.6}, {"share": -0.1}], ids=lambda wrong: str(wrong)
)
def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"RandDrawPromptsd|at_most|share"):
        RandDrawPromptsd(**wrong)
