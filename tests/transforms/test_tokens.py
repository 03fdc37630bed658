# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Tokens of prompts: values, limits, carriers (record, batch, worker) and errors."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from transformers import CLIPTokenizer

from monai_vlsm.transforms import TokenizePrompt, TokenizePromptD, TokenizePromptd, TokenizePromptDict
from tests import tiny

LENGTH = 8
WORDS = [  # text, number of tokens with start and end
    ("", 2),
    ("polyp", 3),
    ("  Small   ROUND\npolyp ", 5),
    ("red brain left right small round", 8),
]
LONG = "red brain left right small round polyp"
SURROGATE = "\ud800 polyp"
NOT_TEXT = [  # prompt, what the error says came
    (None, r"got NoneType \(None\)"),
    (7, r"got int \(7\)"),
    (float("nan"), r"got float \(nan\)"),
    (b"polyp", r"got bytes \(b'polyp'\)"),
    ({"p1": "polyp"}, r"got dict .*choose one with SelectPromptd or RandSelectPromptd"),
    (["polyp", None], r"got NoneType \(None\)"),
    ([["polyp"]], r"got list"),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return tiny.tokenizer(tmp_path_factory.mktemp("tokenizer"))


def image(name: str = "a.png", rows: int = 4) -> MetaTensor:
    return MetaTensor(torch.zeros(3, rows, rows), meta={"filename_or_obj": name})


@pytest.mark.parametrize(("text", "count"), WORDS)
def test_values(tokenizer: CLIPTokenizer, text: str, count: int) -> None:
    ids, mask = TokenizePrompt(tokenizer, LENGTH)(text)
    expected = tokenizer(text, padding="max_length", max_length=LENGTH, return_tensors="pt")
    assert ids.dtype == mask.dtype == torch.int64
    assert torch.equal(ids, expected["input_ids"][0])
    assert torch.equal(mask, expected["attention_mask"][0])
    assert mask.sum() == count


def test_clip_length_is_the_default(tokenizer: CLIPTokenizer) -> None:
    ids, mask = TokenizePrompt(tokenizer)("polyp")
    assert ids.shape == mask.shape == (77,)
    assert (ids[2:] == tokenizer.pad_token_id).all()


def test_a_list_gives_one_row_for_each_text(tokenizer: CLIPTokenizer) -> None:
    transform = TokenizePrompt(tokenizer, LENGTH)
    ids, mask = transform([text for text, _ in WORDS])
    assert ids.shape == mask.shape == (len(WORDS), LENGTH)
    for row, mask_row, (text, _) in zip(ids, mask, WORDS, strict=True):
        assert torch.equal(row, transform(text)[0])
        assert torch.equal(mask_row, transform(text)[1])


def test_long_prompt_is_cut_with_one_warning_for_each_text(tokenizer: CLIPTokenizer) -> None:
    transform = TokenizePrompt(tokenizer, LENGTH)
    with pytest.warns(UserWarning, match=r"'red brain.*': only the first 8 of its \d+ tokens are read") as caught:
        ids, mask = transform(LONG, "first")
        transform([LONG, f"{LONG} too"], "first")
        transform(LONG, "second")
    assert [str(warning.message).partition(" tokens")[0][-2:] for warning in caught] == [" 9", "12"]
    assert transform.cut(LONG) == "only the first 8 of its 9 tokens are read" and transform.cut(WORDS[-1][0]) == ""
    whole = tokenizer(LONG)["input_ids"]
    assert ids.tolist() == [*whole[: LENGTH - 1], tokenizer.eos_token_id]
    assert mask.tolist() == [1] * LENGTH


def test_no_warning_at_the_limit(tokenizer: CLIPTokenizer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TokenizePrompt(tokenizer, LENGTH)(WORDS[-1][0])


@pytest.mark.parametrize("text", ["$1/0", "@x", "%y", "'\"", "日本語", "🙂", "a" * 5600, SURROGATE, "\x00"])
@pytest.mark.filterwarnings("ignore:record")
def test_any_text_goes(tokenizer: CLIPTokenizer, text: str) -> None:
    ids, mask = TokenizePrompt(tokenizer, LENGTH)(text)
    assert ids.shape == (LENGTH,)
    assert ids[int(mask.sum()) - 1] == tokenizer.eos_token_id
    assert ids.min() >= 0 and ids.max() < len(tokenizer)


@pytest.mark.parametrize(("prompt", "message"), NOT_TEXT)
def test_not_text(tokenizer: CLIPTokenizer, prompt: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"record 'img': prompt must be text, {message}"):
        TokenizePromptd(tokenizer=tokenizer)({"prompt": prompt, "name": "img"})


@pytest.mark.parametrize("prompt", ["", " \n", ["polyp", ""]])
def test_empty_where_not_allowed(tokenizer: CLIPTokenizer, prompt: Any) -> None:
    with pytest.raises(ValueError, match="record 'img': prompt must not be empty here, got '"):
        TokenizePrompt(tokenizer, allow_empty=False)(prompt, "img")


def test_empty_list(tokenizer: CLIPTokenizer) -> None:
    with pytest.raises(ValueError, match=r"record 'img': .* got an empty list"):
        TokenizePrompt(tokenizer)([], "img")


def test_wrong_settings(tokenizer: CLIPTokenizer) -> None:
    with pytest.raises(ValueError, match=r"max_length must be at least 3.*got 2"):
        TokenizePrompt(tokenizer, max_length=2)
    with pytest.raises(ValueError, match="takes one key, got"):
        TokenizePromptd(("prompt", "other"), tokenizer=tokenizer)


def test_dictionary_version_adds_and_keeps(tokenizer: CLIPTokenizer) -> None:
    record = {"prompt": "polyp", "image": image(), "name": "x"}
    out = TokenizePromptd(tokenizer=tokenizer, max_length=LENGTH)(record)
    ids, mask = TokenizePrompt(tokenizer, LENGTH)("polyp")
    assert out["prompt"] == "polyp"
    assert torch.equal(out["input_ids"], ids)
    assert torch.equal(out["attention_mask"], mask)
    assert "input_ids" not in record
    assert out["image"].meta.keys() == image().meta.keys()  # one way is enough


def test_names_can_be_chosen(tokenizer: CLIPTokenizer) -> None:
    transform = TokenizePromptd("text", tokenizer=tokenizer, ids_key="ids", mask_key="mask", image_key="image")
    out = transform({"text": "polyp", "image": image()})
    assert {"ids", "mask"} <= set(out)


def test_tokenizer_by_folder(tokenizer: CLIPTokenizer, backbone: Path) -> None:
    by_object = TokenizePromptd(tokenizer=tokenizer)({"prompt": LONG})
    for name in (backbone, str(backbone)):
        by_name = TokenizePromptd(tokenizer=name)({"prompt": LONG})
        assert torch.equal(by_name["input_ids"], by_object["input_ids"])


@pytest.mark.parametrize(("default", "shape"), [("polyp", (77,)), (["polyp", "brain"], (2, 77)), ("", (77,))])
def test_default_prompt(tokenizer: CLIPTokenizer, default: Any, shape: tuple[int, ...]) -> None:
    transform = TokenizePromptd(tokenizer=tokenizer, default_prompt=default)
    out = transform({"image": image()})
    assert out["prompt"] == default
    assert out["input_ids"].shape == shape
    assert torch.equal(out["input_ids"], transform({"prompt": default})["input_ids"])
    own = transform({"prompt": "left"})
    assert own["prompt"] == "left"


@pytest.mark.parametrize(
    ("record", "name"), [({"name": "img"}, "img"), ({"image": image("b.png")}, "b.png"), ({}, "record")]
)
def test_missing_prompt(tokenizer: CLIPTokenizer, record: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"record '{name}' has no 'prompt': .*default_prompt"):
        TokenizePromptd(tokenizer=tokenizer)(record)
    allowed = TokenizePromptd(tokenizer=tokenizer, allow_missing_keys=True)(record)
    assert "input_ids" not in allowed


def test_pickles(tokenizer: CLIPTokenizer) -> None:
    transform = TokenizePromptd(tokenizer=tokenizer)
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy({"prompt": LONG})["input_ids"], transform({"prompt": LONG})["input_ids"])


PROMPTS: list[Any] = [["polyp", "red brain", "", "left"], [["polyp", "brain"], ["left", "right"]]]


@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_batch_and_back(tokenizer: CLIPTokenizer, prompts: list[Any], batch_size: int) -> None:
    """Meta of different kinds: MONAI's collate and decollate give each image its own again."""
    records = [{"image": image(f"{index}.png"), "prompt": prompt} for index, prompt in enumerate(prompts)]
    records[1]["image"].meta["more"] = {"only": "here"}
    transform = TokenizePromptd(tokenizer=tokenizer, max_length=LENGTH)
    batches = list(DataLoader(Dataset(records, transform), batch_size=batch_size))
    shape = (batch_size, *transform({"prompt": prompts[0]})["input_ids"].shape)
    assert all(batch["input_ids"].shape == shape for batch in batches)
    items = [item for batch in batches for item in decollate_batch(batch)]
    assert len(items) == len(prompts)
    for index, (item, prompt) in enumerate(zip(items, prompts, strict=True)):
        expected = transform({"prompt": prompt})["input_ids"]
        assert list(item["prompt"]) == list(prompt)
        assert torch.equal(item["input_ids"], expected)
        assert item["image"].meta["filename_or_obj"] == f"{index}.png"


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_in_workers(tokenizer: CLIPTokenizer, method: str) -> None:
    records = [{"image": image(), "prompt": text} for text, _ in WORDS]
    transform = TokenizePromptd(tokenizer=tokenizer, max_length=LENGTH)
    loader = DataLoader(Dataset(records, transform), batch_size=4, num_workers=1, multiprocessing_context=method)
    (batch,) = list(loader)
    assert torch.equal(batch["input_ids"], torch.stack([transform(record)["input_ids"] for record in records]))


def test_aliases() -> None:
    assert TokenizePromptD is TokenizePromptDict is TokenizePromptd
