# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The shipped clipseg-mini on held-out scenes, and how its scores are counted."""

from __future__ import annotations

import pytest
from mini_data import TEST_SEED
from mini_prompts import Prompt
from scenes import draw_scene
from score_mini import FOLDER, Judged, judge, summary
from transformers import CLIPTokenizer

from monai_vlsm.networks import load_base


def test_summary_averages_over_prompts_and_others() -> None:
    colour, shape = Prompt("red", (1,), "colour"), Prompt("ring", (2,), "shape")
    table = summary([Judged(colour, 0.8, (0.0, 0.2)), Judged(shape, 0.4, (0.4,))])
    assert table["all"] == {
        "prompts": 2.0,
        "right": pytest.approx(0.6),
        "wrong": pytest.approx(0.2),
        "wrong_worst": pytest.approx(0.3),
    }
    assert table["colour"]["right"] == pytest.approx(0.8)
    assert table["size"]["prompts"] == 0


@pytest.mark.slow
def test_shipped_weights_follow_the_text() -> None:
    model = load_base(FOLDER)
    tokenizer = CLIPTokenizer.from_pretrained(FOLDER)
    judged = [
        one for seed in range(TEST_SEED, TEST_SEED + 24) for one in judge(model, tokenizer, draw_scene(seed), seed)
    ]
    scores = summary(judged)["all"]
    # The full run is in docs/clipseg_mini.md; the margins cover the noise of this small sample.
    assert scores["right"] > 0.5
    assert scores["wrong"] < 0.2
