# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Values of settings: taken, or refused in one line that says what was expected and what came."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.caches.images import MODES
from monai_vlsm.data.negatives import MOST
from monai_vlsm.settings import SETTINGS, SettingError, checked

NAN, INF = math.nan, math.inf
NO_NUMBER: list[Any] = ["foo", "", NAN, INF, -INF, True, [1], {}, (1, 2)]
NO_WHOLE = [*NO_NUMBER, 1.5, None]
NO_TEXT: list[Any] = ["", "  ", 1.5, True, {}, ["a", ""], ["a", ["b"]], [None], [], b"a", "a\0b"]

WRONG: dict[str, list[Any]] = {
    "epochs": [0, -3, *NO_WHOLE],
    "batch_size": [0, -1, *NO_WHOLE],
    "num_workers": [-1, 10**6, *NO_WHOLE],
    "learning_rate": [-1e-3, None, *NO_NUMBER],
    "early_stop": [-2, "none", *NO_NUMBER],
    "beta2": [-0.1, 1.1, None, *NO_NUMBER],
    "max_norm": [0, -1, None, *NO_NUMBER],
    "by_image": ["false", 1, None],
    "val_interval": [0, *NO_WHOLE],
    "seed": [-1, 2**32, *NO_WHOLE],
    "negatives": [2, -0.1, 0.51, None, *NO_NUMBER],
    "existence_threshold": [1.1, -0.1, None, *NO_NUMBER],
    "image_size": [0, -224, 10**6, "224x224", [224, 224], *NO_WHOLE],
    "adapter_width": [0, -1, 10**9, *NO_WHOLE],
    "condition_width": [0, 1.5, *NO_NUMBER],
    "image_mean": [0.5, [0.5], [0.5, 0.5, "a"], [0.5, 0.5, NAN], None, "0.5,0.5,0.5"],
    "image_std": [[1, 1, 0], [1, 1, -1], [1, 1], None],
    "encoders": ["q", "", "VL", None, 1, ["v"]],
    "trainable": ["all", None, True],
    "multi_prompt": ["both", None],
    "max_prompts": [0, -1, *NO_NUMBER, 1.5],
    "text_cache": ["foo", None, True],
    "cache": ["foo", None, True, 1],
    "cache_rate": [1.5, -1, *NO_NUMBER],
    "cache_dtype": ["int9", "float64", None],
    "attention": ["flash", None],
    "amp_dtype": ["int9", "float32", None, torch.float16],
    "device": ["gpu", "cuda:99", "meta", "", None, 0, "cpu,cuda", ["cpu"]],
    "amp": ["false", "True", 1, 0, None, "yes"],
    "resume": ["false", 1, "last.pt"],
    "zero_shot": ["no"],
    "probes": ["off"],
    "labels_only": ["x"],
    "checkpointing": ["x"],
    "compile": ["x"],
    "compile_kwargs": ["x", [1]],
    "cache_features": ["x"],
    "overlays": [-1, 1.5, "some", None, *NO_NUMBER],
    "window": [[0], [5, 1], [1, 1], [0, NAN], 5, "0,1", ["a", "b"], "chest", ["lung", "bone"], [1, 2, 3]],
    "dataset_dir": [None, *NO_TEXT, ["a"]],
    "output_dir": [None, *NO_TEXT],
    "model_file": [None, "", 1.5],
    "bundle_root": [None, ""],
    "backbone": [None, "", 1.5],
    "val_style": [None, ["p1"], ""],
    "val_split": [None, "", 1.5],
    "dataset": ["", 1.5, ["a"]],
    "prompt": [None, *NO_TEXT],
    "default_prompt": [None, ["a"]],
    "absent_prompts": NO_TEXT,
    "styles": [None, *NO_TEXT],
}
RIGHT: dict[str, list[tuple[Any, Any]]] = {
    "epochs": [(1, 1), (1e3, 1000)],
    "early_stop": [(0, 0), (-1, -1), (None, None)],
    "seed": [(0, 0), (2**32 - 1, 2**32 - 1)],
    "learning_rate": [(1e-9, 1e-9), (0, 0)],
    "negatives": [(0, 0), (0.5, 0.5)],
    "condition_width": [(None, None), (256, 256)],
    "overlays": [("all", "all"), ("none", "none"), (0, 0)],
    "window": [
        (None, None),
        ([-1, 1.5], [-1, 1.5]),
        ("lung", "lung"),
        (("lung", (0, 80), "mr"), ["lung", [0, 80], "mr"]),
    ],
    "device": [("cpu", torch.device("cpu")), (torch.device("cpu"), torch.device("cpu"))],
    "dataset": [(2018, "2018"), ("2018", "2018"), (None, None)],
    "dataset_dir": [(Path("a", "b"), "a/b")],
    "train_split": [(1, "1")],
    "prompt": [("brain", "brain"), (4, "4"), (("a", "b"), ["a", "b"])],
    "default_prompt": [("", "")],
    "image_std": [([1, 1, 0.5], [1, 1, 0.5])],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_wrong_values_are_told_in_one_line(name: str, value: Any) -> None:
    with pytest.raises(SettingError) as caught:
        checked(name, value)
    text = str(caught.value)
    assert text.startswith(f"{name}: expected ") and repr(value)[:50] in text and "\n" not in text.replace("\\n", "")


@pytest.mark.parametrize(
    ("name", "value", "taken"), [(name, *pair) for name, pairs in RIGHT.items() for pair in pairs], ids=str
)
def test_right_values_are_taken(name: str, value: Any, taken: Any) -> None:
    assert checked(name, value) == taken
    assert type(checked(name, value)) is type(taken)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs: expected a whole number of at least 1, got 0"),
        ("learning_rate", NAN, "learning_rate: expected a number of at least 0, got nan"),
        ("negatives", 2, "negatives: expected a number from 0 to 0.5, got 2"),
        ("seed", -1, "seed: expected a whole number from 0 to 4294967295, got -1"),
        ("encoders", "q", "encoders: expected one of v, vl, got 'q'"),
        ("condition_width", 0, "condition_width: expected a whole number from 1 to 8192 or None, got 0"),
        ("overlays", "x", "overlays: expected a whole number of at least 0 or 'all' or 'none', got 'x'"),
        ("device", "gpu", "device: expected cpu, cuda or cuda:NUMBER, got 'gpu'"),
        (
            "window",
            "chest",
            "window: expected a name (abdomen, bone, brain, colon, cta, liver, lung, mediastinum, pancreas, pelvis, "
            "soft_tissue, mr, percentiles), [LOW,HIGH] with LOW below HIGH, or a list of three of these or None, got "
            "'chest'",
        ),
        (
            "prompt",
            [["x"] * 90],
            f"prompt: expected a text that is not empty, or a list of such texts, got [{['x'] * 90}",
        ),
    ],
)
def test_wording(name: str, value: Any, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        checked(name, value)
    assert (
        str(caught.value).removesuffix("...")
        == message[: len(str(caught.value)) - 3 * str(caught.value).endswith("...")]
    )


def test_a_device_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(SettingError, match=r"device: expected a device that is there \(cpu.*\), got 'cuda:99'"):
        checked("device", "cuda:99")


def test_words_are_those_of_the_parts_that_take_them() -> None:
    def words(name: str) -> tuple[str, ...]:
        return tuple(SETTINGS[name].expected.removeprefix("one of ").split(", "))

    assert words("cache") == MODES
    assert checked("negatives", MOST) == MOST
