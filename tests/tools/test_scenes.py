# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Drawn scenes, the prompts about them, the tokenizer, and what ships as clipseg-mini."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mini_data import SceneStore, prompt_masks, seeded_prompts
from mini_export import LIMIT
from mini_network import build_model, logits_of, skips_of, to_pixels
from mini_prompts import FAMILIES, Prompt, all_texts, contrasting_prompts, location_words
from mini_tokenizer import END, START, write_tokenizer
from mini_trainer import family_weights, learning_rate, segmentation_loss
from scenes import COLOURS, SHAPES, SIZES, Scene, Thing, draw_scene
from transformers import CLIPTokenizer

SHIPPED = Path(__file__).parents[2] / "monai_vlsm" / "backbones" / "clipseg_mini"
SEEDS = range(40)
RED = Thing((1,), "square", "red", "small", (0.2, 0.2))
BLUE = Thing((2,), "square", "blue", "large", (0.8, 0.5))
RING = Thing((3,), "ring", "blue", "large", (0.5, 0.9))
THINGS = (RED, BLUE, RING)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def drawn() -> list[Scene]:
    return [draw_scene(seed) for seed in SEEDS]


def test_same_seed_same_scene_and_other_seed_other_scene() -> None:
    first, again, other = draw_scene(5), draw_scene(5), draw_scene(6)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.index, again.index)
    assert first.things == again.things
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("size", [48, 160])
def test_image_and_index_have_the_size_asked_for(size: int) -> None:
    scene = draw_scene(1, size)
    assert (scene.image.shape, scene.image.dtype) == ((size, size, 3), np.uint8)
    assert (scene.index.shape, scene.index.dtype) == ((size, size), np.uint8)


def test_a_tiny_scene_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 pixels"):
        draw_scene(0, 16)


def test_attributes_come_from_the_tables(drawn: list[Scene]) -> None:
    for thing in (thing for scene in drawn for thing in scene.things):
        assert thing.shape in (*SHAPES, "part")
        assert thing.colour in (*COLOURS, "")
        assert thing.size in (*SIZES, "")
        assert thing.relation in ("inner", "outer", "")


def test_centre_is_the_centroid_of_the_visible_pixels(drawn: list[Scene]) -> None:
    for scene in drawn:
        for thing in scene.things:
            ys, xs = np.nonzero(np.isin(scene.index, thing.indexes))
            assert len(xs) >= 12
            expected = ((xs.mean() + 0.5) / 160, (ys.mean() + 0.5) / 160)
            assert np.allclose(thing.centre, expected)


def test_colour_word_is_the_colour_of_the_pixels(drawn: list[Scene]) -> None:
    names = list(COLOURS)
    table = np.array([COLOURS[name] for name in names])
    things = [(s, t) for s in drawn for t in s.things if t.colour and t.size == "large" and len(t.indexes) == 1]
    nearest = []
    for scene, thing in things:
        mean = scene.image[np.isin(scene.index, thing.indexes)].mean(0)
        nearest.append(names[int(np.abs(table - mean).sum(1).argmin())] == thing.colour)
    assert len(nearest) > 10
    assert np.mean(nearest) > 0.9


@pytest.mark.parametrize("small,large", [("small", "medium"), ("medium", "large")])
def test_size_words_do_not_overlap(small: str, large: str) -> None:
    assert SIZES[small][1] < SIZES[large][0]


@pytest.mark.parametrize(
    "centre,words",
    [
        ((0.1, 0.1), "top left"),
        ((0.5, 0.1), "top"),
        ((0.9, 0.5), "right"),
        ((0.5, 0.5), "center"),
        ((0.99, 1.0), "bottom right"),
        ((0.1, 0.7), "bottom left"),
    ],
)
def test_location_words(centre: tuple[float, float], words: str) -> None:
    assert location_words(centre) == words


@pytest.mark.parametrize(
    "family,answers",
    [
        ("colour", {"red": (1,), "blue": (2, 3)}),
        ("shape", {"square": (1, 2), "ring": (3,)}),
        ("size", {"small": (1,), "large": (2, 3)}),
        ("location", {"top left": (1,), "right": (2,), "bottom": (3,)}),
        ("colour+shape", {"red square": (1,), "blue square": (2,), "blue ring": (3,)}),
    ],
)
def test_prompt_asks_for_every_thing_with_the_named_attributes(
    family: str, answers: dict[str, tuple[int, ...]]
) -> None:
    synonyms = {"tiny": "small", "big": "large"}
    met = set()
    for seed in range(200):
        for prompt in contrasting_prompts(THINGS, 2, [family], [1.0], random.Random(seed)):
            text = " ".join(synonyms.get(word, word) for word in prompt.text.split())
            for words in (words for words in answers if words in text):
                assert prompt.indexes == answers[words], prompt.text
                met.add(words)
    assert met == set(answers)


def test_number_words_count_the_things() -> None:
    rng = random.Random(0)
    texts = [p.text for _ in range(100) for p in contrasting_prompts((BLUE, RING), 1, ["colour"], [1.0], rng)]
    assert any(text.startswith("two blue") for text in texts)
    assert not any(text.startswith(("one", "three")) for text in texts)


def test_prompts_of_a_scene_ask_for_different_masks() -> None:
    for seed in range(50):
        prompts = contrasting_prompts(THINGS, 3, ["colour+shape"], [1.0], random.Random(seed))
        assert len({prompt.indexes for prompt in prompts}) == 3


def test_scene_without_things_has_no_prompts() -> None:
    with pytest.raises(ValueError, match="draw another scene"):
        contrasting_prompts((), 1, FAMILIES, [1.0] * len(FAMILIES), random.Random(0))


@pytest.mark.parametrize(
    "side,rows,columns",
    [("left", (0, 4), (0, 1)), ("right", (0, 4), (1, 4)), ("top", (0, 3), (0, 4)), ("bottom", (3, 4), (0, 4))],
)
def test_half_is_cut_at_its_origin(side: str, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    expected = torch.zeros(4, 4)
    expected[slice(*rows), slice(*columns)] = 1
    prompt = Prompt("", (2,), "half", side, (0.25, 0.75))
    masks = prompt_masks(torch.full((1, 4, 4), 2, dtype=torch.uint8), [[prompt]])
    assert torch.equal(masks[0, 0], expected)


def test_masks_unite_the_indexes_of_a_prompt() -> None:
    index = torch.tensor([[[0, 1], [2, 3]]], dtype=torch.uint8)
    prompts = [Prompt("", (1, 3), "colour"), Prompt("", (0,), "region")]
    masks = prompt_masks(index, [prompts])
    assert masks.tolist() == [[[[0, 1], [0, 1]], [[1, 0], [0, 0]]]]


def test_store_gives_back_what_was_drawn(tmp_path: Path) -> None:
    stores = [SceneStore(tmp_path, 3, 7) for _ in range(2)]
    for store in stores:
        scene = draw_scene(9)
        image, index = store.batch([2])
        assert np.array_equal(image[0], scene.image)
        assert np.array_equal(index[0], scene.index)
        assert store.things[2] == scene.things


@pytest.mark.parametrize("text", ["One Small PINK round polyp", "left hemisphere", "grey matter", "white matter"])
def test_common_words_are_one_token_each(tokenizer: CLIPTokenizer, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text.split()) + 2
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text.lower()


@pytest.mark.parametrize("text", ["Ödem", "脳", "naïve 😀", "x²≈4", "don't"])
def test_any_unicode_text_is_encoded_without_loss(tokenizer: CLIPTokenizer, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.eos_token_id not in ids[:-1]
    back = tokenizer.decode(ids, skip_special_tokens=True)
    assert back.replace(" ", "") == text.lower().replace(" ", "")


def test_special_tokens_are_those_of_clip(tokenizer: CLIPTokenizer) -> None:
    assert tokenizer.convert_ids_to_tokens([tokenizer.bos_token_id, tokenizer.eos_token_id]) == [START, END]
    assert tokenizer.pad_token == END
    assert tokenizer.eos_token_id == len(tokenizer) - 1
    assert len(tokenizer("circle", padding="max_length")["input_ids"]) == 77


def test_every_prompt_of_the_grammar_fits_the_text_encoder(tokenizer: CLIPTokenizer) -> None:
    lengths = [len(ids) for ids in tokenizer(all_texts(300, seed=3))["input_ids"]]
    assert max(lengths) <= 24


def test_untrained_network_starts_with_small_logits_and_trains_every_part(tokenizer: CLIPTokenizer) -> None:
    model = build_model(tokenizer).train()
    scene = draw_scene(2)
    encoded = tokenizer(["red square", "blue ring"], padding=True, return_tensors="pt")
    pixels = to_pixels(torch.from_numpy(scene.image)[None], 64)
    logits = logits_of(model, skips_of(model, pixels), encoded["input_ids"], encoded["attention_mask"])
    assert logits.shape == (1, 2, 64, 64)
    assert logits.std() < 5
    segmentation_loss(logits, (torch.rand(1, 2, 64, 64) > 0.5).float()).backward()
    without = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is None}
    # CLIPSeg does not use these three; nor what follows the last layer that the decoder reads.
    assert without <= {"logit_scale", "visual_projection", "vision_model"}


@pytest.mark.parametrize("share,first", [(0.0, ["colour"]), (0.06, ["colour", "location", "shape"])])
def test_curriculum_begins_with_single_attributes(share: float, first: list[str]) -> None:
    assert family_weights(share)[0] == first


def test_curriculum_ends_with_every_family() -> None:
    assert set(family_weights(0.99)[0]) == set(FAMILIES)


@pytest.mark.parametrize("share,step,expected", [(0.0, 0, 1 / 300), (0.3, 500, 1.0), (1.0, 500, 0.01)])
def test_learning_rate(share: float, step: int, expected: float) -> None:
    assert learning_rate(share, step, 1.0) == pytest.approx(expected)


def test_loss_prefers_the_right_mask() -> None:
    target = torch.zeros(1, 1, 8, 8)
    target[..., :3] = 1
    right, wrong = 8 * (2 * target - 1), -8 * (2 * target - 1)
    assert segmentation_loss(right, target) < 0.02 < 1 < segmentation_loss(wrong, target)


def test_seeded_prompts_depend_on_the_seed_alone() -> None:
    assert seeded_prompts(THINGS, FAMILIES, 4) == seeded_prompts(THINGS, FAMILIES, 4)
    assert seeded_prompts(THINGS, FAMILIES, 4) != seeded_prompts(THINGS, FAMILIES, 5)


def test_shipped_folder_keeps_its_promises() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < LIMIT
    assert "Apache" in (SHIPPED / "LICENSE").read_text("utf-8")
