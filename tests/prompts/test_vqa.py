# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Questions about an image: with a made-up pipeline, and with transformers' own on a model of random weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipProcessor
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from monai_vlsm.prompts import ask_about, load_answerer
from monai_vlsm.prompts.vqa import GREEN, _Pipeline, boxed

IMAGE = np.full((60, 80, 3), 90, np.uint8)
MASK = np.zeros((60, 80), bool)
MASK[20:40, 30:60] = True


def test_the_two_questions() -> None:
    asked: list[str] = []

    def answer(image: Image.Image, question: str) -> str:
        assert np.array_equal(np.asarray(image), np.asarray(boxed(IMAGE, MASK)))
        asked.append(question)
        return " It is Round.\nreally"

    assert ask_about(answer, IMAGE, MASK, "polyp") == {"shape": "it is round", "colour": "it is round"}
    assert asked == [f"What is the {word} of polyp enclosed in green box?" for word in ("shape", "color")]


def test_box_around_the_mask() -> None:
    green = (np.asarray(boxed(IMAGE, MASK)) == GREEN).all(axis=-1)
    assert not (green & MASK).any()
    assert green[19, 30:60].all() and green[40, 30:60].all() and green[20:40, 29].all() and green[20:40, 60].all()
    rows, columns = np.flatnonzero(green.any(axis=1)), np.flatnonzero(green.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (18, 41, 28, 61)


@pytest.mark.parametrize("image", [IMAGE[..., 0], IMAGE])
def test_box_at_the_border(image: np.ndarray) -> None:
    assert boxed(image, np.ones((60, 80))).size == (80, 60)


def test_nothing_is_asked_about_an_empty_mask() -> None:
    def answer(image: Image.Image, question: str) -> str:
        raise AssertionError

    assert ask_about(answer, IMAGE, np.zeros((60, 80)), "polyp") == {}


class _Fake:
    """What `_Pipeline` uses of a pipeline."""

    def __init__(self, chat_template: str | None) -> None:
        self.processor = SimpleNamespace(chat_template=chat_template)
        self.calls: list[dict[str, Any]] = []

    def __call__(self, **call: Any) -> list[dict[str, Any]]:
        self.calls.append(call)
        return [{"generated_text": "oval"}]


def test_models_that_chat_are_asked_for_one_word() -> None:
    fake, image = _Fake("{{ messages }}"), boxed(IMAGE, MASK)
    assert _Pipeline(fake)(image, "Which?") == "oval"
    (message,) = fake.calls[0]["text"]
    assert message["content"] == [
        {"type": "image", "image": image},
        {"type": "text", "text": "Which? Answer in one word."},
    ]


def test_other_models_get_image_and_question() -> None:
    fake, image = _Fake(None), boxed(IMAGE, MASK)
    assert _Pipeline(fake)(image, "Which?") == "oval"
    assert (fake.calls[0]["images"], fake.calls[0]["text"]) == (image, "Which?")


def test_transformers_pipeline(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
    words += [*"?abcdefghijklmnop", "round", "green"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    encoder = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = encoder | {"vocab_size": len(words), "encoder_hidden_size": 16, "bos_token_id": 5, "eos_token_id": 3}
    config = BlipConfig(
        text_config=text | {"sep_token_id": 3, "pad_token_id": 0, "max_position_embeddings": 64},
        vision_config=encoder | {"image_size": 32, "patch_size": 16},
    )
    torch.manual_seed(0)
    BlipForConditionalGeneration(config).save_pretrained(tmp_path)
    images = BlipImageProcessorPil(size={"height": 32, "width": 32})
    BlipProcessor(images, BertTokenizer.from_pretrained(tmp_path)).save_pretrained(tmp_path)
    answers = ask_about(load_answerer(str(tmp_path)), IMAGE, MASK, "polyp")
    assert answers.keys() == {"shape", "colour"}
    assert all(set(answer) <= set(" ".join(words).lower()) for answer in answers.values())
