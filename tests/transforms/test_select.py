# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Choice of prompts: what is drawn, how often, and what happens in workers."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest
from monai.data import CacheDataset, DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose
from monai.utils import set_determinism

from monai_vlsm.transforms import RandSelectPrompt, RandSelectPromptd, SelectPrompt, SelectPromptd

TABLE: dict[str, Any] = {"p0": "", "p1": "polyp", "p2": "one polyp", "p7": ["a", "b", "c"]}
OTHER = {"p1": "brain"}
RECORDS = [{"prompt": TABLE, "name": f"record {index}"} for index in range(24)]

PASSING = ["a text", "", ["two", "texts"], []]
FIXED = [  # style, prompt, expected
    ("p1", TABLE, "polyp"),
    ("p0", TABLE, ""),
    ("p7", TABLE, "a"),
    ("p1", [TABLE, OTHER], ["polyp", "brain"]),
    ("p1", [TABLE, "text"], ["polyp", "text"]),
]
WRONG = [  # prompt, error, message
    (None, TypeError, r"record 'img': prompt must be a text, a table of styles or a list.*got NoneType \(None\)"),
    (3, TypeError, r"record 'img'.*got int \(3\)"),
    (float("nan"), TypeError, r"record 'img'.*got float \(nan\)"),
    ([TABLE, None], TypeError, r"record 'img'.*got list"),
    ({"p1": 3}, TypeError, r"record 'img'.*style 'p1' must be a text or a list of texts, got 3"),
    ({"p1": ["a", None]}, TypeError, r"record 'img'.*style 'p1'"),
    ({"p1": []}, ValueError, r"record 'img'.*style 'p1' is empty"),
]


def drawn(seed: int, count: int, prompt: Any = None) -> list[Any]:
    transform = RandSelectPrompt()
    transform.set_random_state(seed)
    return [transform(TABLE if prompt is None else prompt) for _ in range(count)]


def loaded(workers: int, seed: int) -> list[str]:
    set_determinism(seed)
    try:
        data = Dataset(RECORDS, Compose([RandSelectPromptd("prompt")]))
        return [text for batch in DataLoader(data, batch_size=4, num_workers=workers) for text in batch["prompt"]]
    finally:
        set_determinism(None)


@pytest.mark.parametrize("transform", [SelectPrompt(), RandSelectPrompt()])
@pytest.mark.parametrize("prompt", PASSING)
def test_texts_pass_unchanged(transform: Any, prompt: Any) -> None:
    assert transform(prompt) == prompt


@pytest.mark.parametrize(("style", "prompt", "expected"), FIXED)
def test_fixed_style(style: str, prompt: Any, expected: Any) -> None:
    assert SelectPrompt(style)(prompt) == expected
    assert SelectPromptd("prompt", style=style)({"prompt": prompt, "name": "x"})["prompt"] == expected


@pytest.mark.parametrize("transform", [SelectPrompt(), RandSelectPrompt()])
@pytest.mark.parametrize(("prompt", "error", "message"), WRONG)
def test_wrong_prompt(transform: Any, prompt: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        transform(prompt, "img")


def test_unknown_style_lists_those_of_the_record() -> None:
    with pytest.raises(ValueError, match="record 'img': no prompt of style 'p9'; it has p0, p1, p2, p7"):
        SelectPrompt("p9")(TABLE, "img")
    with pytest.raises(ValueError, match="it has none"):
        SelectPrompt("p9")({}, "img")


@pytest.mark.parametrize("table", [{"p0": ""}, {}, [TABLE, {"p0": ""}]])
def test_nothing_to_draw_from(table: Any) -> None:
    with pytest.raises(ValueError, match="record 'img': no prompt to draw from besides the empty style 'p0'"):
        RandSelectPrompt()(table, "img")


def test_uniform_over_styles_then_over_alternatives() -> None:
    counts = Counter(drawn(seed=0, count=9000))
    assert set(counts) == {"polyp", "one polyp", "a", "b", "c"}  # never p0
    expected = {"polyp": 3000, "one polyp": 3000, "a": 1000, "b": 1000, "c": 1000}
    assert all(abs(counts[text] - number) < 0.12 * number for text, number in expected.items())


def test_structures_are_drawn_independently() -> None:
    pairs = drawn(seed=0, count=200, prompt=[TABLE, TABLE])
    assert all(len(pair) == 2 for pair in pairs)
    assert any(first != second for first, second in pairs)


def test_same_seed_same_prompts() -> None:
    assert drawn(seed=5, count=50) == drawn(seed=5, count=50)
    assert drawn(seed=5, count=50) != drawn(seed=6, count=50)


def test_dictionary_version_draws_from_its_own_state() -> None:
    transform = RandSelectPromptd("prompt").set_random_state(5)
    assert [transform({"prompt": TABLE})["prompt"] for _ in range(50)] == drawn(seed=5, count=50)


def test_numpys_global_state_is_left_alone() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    drawn(seed=1, count=20)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_reproducible_in_loaders(workers: int) -> None:
    first = loaded(workers, seed=7)
    assert first == loaded(workers, seed=7)
    assert first != loaded(workers, seed=8)
    assert len(set(first)) > 1


def test_is_redrawn_from_a_cache() -> None:
    data = CacheDataset(RECORDS[:1], Compose([RandSelectPromptd("prompt")]), progress=False)
    assert len({data[0]["prompt"] for _ in range(40)}) > 2


def test_pickles() -> None:
    transform = pickle.loads(pickle.dumps(RandSelectPromptd("prompt").set_random_state(5)))
    assert [transform({"prompt": TABLE})["prompt"] for _ in range(9)] == drawn(seed=5, count=9)


@pytest.mark.parametrize("transform", [SelectPromptd, RandSelectPromptd])
def test_missing_key(transform: Any) -> None:
    record = {"image": "a.png"}
    assert transform("prompt", allow_missing_keys=True)(record) == record
    with pytest.raises(KeyError, match="prompt"):
        transform("prompt")(record)


NAMES = [
    ({"name": "case 1", "image": "a.png"}, "case 1"),
    ({"image": "dir/a.png"}, "dir/a.png"),
    ({"image": MetaTensor([0.0], meta={"filename_or_obj": "b.png"})}, "b.png"),
    ({"image": MetaTensor([0.0])}, "record"),
    ({}, "record"),
]


@pytest.mark.parametrize(("record", "name"), NAMES)
@pytest.mark.parametrize("transform", [SelectPromptd("prompt"), RandSelectPromptd("prompt")])
def test_errors_name_the_record(transform: Any, record: dict[str, Any], name: str) -> None:
    with pytest.raises(TypeError, match=f"record '{name}'"):
        transform({**record, "prompt": None})


OFFICIAL = {"p0": "", "p1": "polyp", "p6": "one polyp on the left", "p7": ["a", "b"]}
NONE = {"p1": "no polyp", "p2": "no polyp"}
TAGGED = [  # style, record, style and tag beside the prompt
    ("p1", {"prompt": TABLE}, "p1", "class"),
    ("p2", {"prompt": TABLE}, "p2", "class"),
    ("p2", {"prompt": TABLE, "tags": {"p2": "mask-derived"}}, "p2", "mask-derived"),
    ("p1", {"prompt": TABLE, "tags": {"p2": "mask-derived"}}, "p1", "class"),
    ("p1", {"prompt": TABLE, "tags": "metadata"}, "p1", "metadata"),
    ("p6", {"prompt": OFFICIAL, "dataset": "kvasir_polyp"}, "p6", "mask-derived"),
    ("p7", {"prompt": OFFICIAL, "dataset": "kvasir_polyp"}, "p7", "class"),
    ("p6", {"prompt": OFFICIAL, "dataset": "kvasir_polyp", "tags": {"p6": "class"}}, "p6", "class"),
    ("p1", {"prompt": NONE, "dataset": "bkai_polyp"}, "p1", "mask-derived"),
    ("p1", {"prompt": "some text"}, "", "class"),
    ("p1", {"prompt": "some text", "tags": "mask-derived"}, "", "mask-derived"),
    ("p1", {"prompt": [TABLE, OTHER]}, ["p1", "p1"], ["class", "class"]),
    ("p1", {"prompt": [TABLE, "text"], "tags": [{"p1": "metadata"}, "class"]}, ["p1", ""], ["metadata", "class"]),
    ("p1", {"prompt": [TABLE, OTHER], "tags": {"p1": "metadata"}}, ["p1", "p1"], ["metadata", "metadata"]),
    ("p1", {"prompt": []}, [], []),
]


@pytest.mark.parametrize(("style", "record", "styles", "tags"), TAGGED)
def test_style_and_tag_beside_the_prompt(style: str, record: dict[str, Any], styles: Any, tags: Any) -> None:
    chosen = SelectPromptd("prompt", style=style)({**record, "image": "a.png"})
    assert (chosen["prompt_style"], chosen["prompt_tag"]) == (styles, tags)
    assert chosen.keys() == {"image", "prompt", "prompt_style", "prompt_tag"} | (record.keys() & {"dataset"})


def test_drawn_style_is_that_of_the_text() -> None:
    transform = RandSelectPromptd("prompt").set_random_state(3)
    found = {(d["prompt_style"], d["prompt_tag"], d["prompt"]) for d in (transform({**RECORDS[0]}) for _ in range(200))}
    styles = {("p1", "polyp"), ("p2", "one polyp"), ("p7", "a"), ("p7", "b"), ("p7", "c")}
    assert found == {(style, "class", text) for style, text in styles}


def test_other_keys() -> None:
    chosen = SelectPromptd(["prompt", "question"])({"prompt": TABLE, "question": OTHER, "tags": "metadata"})
    assert (chosen["prompt_tag"], chosen["question"], chosen["question_tag"]) == ("metadata", "brain", "metadata")
    assert "tags" not in chosen


def test_a_second_choice_keeps_style_and_tag() -> None:
    first = SelectPromptd("prompt", style="p6")({"prompt": OFFICIAL, "dataset": "isic"})
    assert RandSelectPromptd("prompt")(first) == first
    assert first["prompt_tag"] == "mask-derived"


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("leak", "record 'x': unknown tag 'leak', known: class, metadata, mask-derived"),
        ({"p1": "leak"}, "record 'x': unknown tag 'leak'"),
        ([{"p1": "class"}], "record 'x': 2 prompts, but tags of 1"),
    ],
)
def test_wrong_tags(tags: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SelectPromptd("prompt")({"prompt": [TABLE, OTHER], "tags": tags, "name": "x"})


@pytest.mark.parametrize("prompts", [[TABLE, NONE], [[TABLE, OTHER], [OTHER, NONE]]])
def test_batches_with_tags_that_differ(prompts: list[Any]) -> None:
    tags = [{"p1": "class", "p2": "metadata"}, {"p1": "mask-derived"}]
    tags = tags if isinstance(prompts[0], dict) else [[one, one] for one in tags]  # type: ignore[misc]
    records = [{"prompt": prompt, "tags": own} for prompt, own in zip(prompts, tags, strict=True)]
    loader = DataLoader(Dataset(records, Compose([SelectPromptd("prompt")])), batch_size=2)
    (batch,) = loader
    parts = decollate_batch(batch)
    expected = [["class"], ["mask-derived"]] if isinstance(prompts[0], dict) else [["class"] * 2, ["mask-derived"] * 2]
    found = [
        [part["prompt_tag"]] if isinstance(part["prompt_tag"], str) else list(part["prompt_tag"]) for part in parts
    ]
    assert found == expected
