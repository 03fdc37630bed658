# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundles differ in the network, the size, the normalisation, how they learn on the sample, and the metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from tools import derive_bundles

BUNDLES = Path(__file__).parents[2] / "bundles"
NAMES = sorted(path.name for path in BUNDLES.iterdir() if path.name != "vlsm_dense")
NETWORK = {"network_def", "backbone", "adaptation", "load_weights"}
SETTINGS = {
    "towers",
    "adapter_width",
    "condition_width",
    "trainable",
    "weights",
    "targets",
    "attention",
    "checkpointing",
    "zero_shot",
}
TRAINING = {"paper_settings", "sample_settings", "learning_rate"}
ALLOWED = {
    "train": NETWORK | SETTINGS | TRAINING | {"bundle_root"},
    "evaluate": NETWORK | SETTINGS,
    "inference": NETWORK | SETTINGS | {"bundle_root"},
    "metadata": {"name", "description", "references", "network_data_format"},
    "multi_gpu_train": set(),
    "multi_gpu_evaluate": set(),
}


def config(bundle: str, name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((BUNDLES / bundle / "configs" / f"{name}.json").read_text(encoding="utf-8"))
    return values


def test_all_bundles_are_here() -> None:
    assert NAMES == ["clipseg", "cris", "san", "unet", "vlsm_shallow"]
    assert sorted(derive_bundles.derived_names()) == NAMES


def test_files_are_as_derived() -> None:
    """Run ``python tools/derive_bundles.py`` after a change of vlsm_dense or of what differs."""
    assert derive_bundles.differing() == []


@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.parametrize("bundle", NAMES)
def test_only_these_keys_differ(bundle: str, name: str) -> None:
    dense, other = config("vlsm_dense", name), config(bundle, name)
    differing = {key for key in dense.keys() | other.keys() if dense.get(key, ...) != other.get(key, ...)}
    assert differing <= ALLOWED[name]


@pytest.mark.parametrize("bundle", NAMES)
def test_only_the_value_range_of_the_image_differs(bundle: str) -> None:
    dense, other = config("vlsm_dense", "metadata"), config(bundle, "metadata")
    for values in (dense, other):
        del values["network_data_format"]["inputs"]["image"]["value_range"]
    assert dense["network_data_format"] == other["network_data_format"]


@pytest.mark.parametrize(
    ("values", "differences", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": 2}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": 1, "b": 2}, {"a -> c": 4}, {"c": 4, "b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 5}}, {"a": {"x": 5, "y": 2}}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"=": {"z": 1}}}, {"a": {"z": 1}}),
        ({"a": 1}, {"a": {"=": None}}, {"a": None}),
    ],
)
def test_change(values: dict[str, Any], differences: dict[str, Any], expected: dict[str, Any]) -> None:
    changed = derive_bundles.change(values, differences)
    assert changed == expected
    assert list(changed) == list(expected)


def test_change_of_an_unknown_key() -> None:
    with pytest.raises(KeyError, match="colour"):
        derive_bundles.change({"a": 1}, {"colour": 1})


@pytest.mark.parametrize("name", ["train", "inference"])
@pytest.mark.parametrize(
    ("bundle", "mean"),
    [("vlsm_dense", 0.485), ("unet", 0.485), ("san", 0.48145466), ("cris", 0.48145466)],
)
def test_images_are_normalised_as_the_network_wants_them(bundle: str, mean: float, name: str) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(BUNDLES / bundle / "configs" / f"{name}.json"))
    assert len(parser.get_parsed_content("image_std")) == 3
    assert parser.get_parsed_content("image_mean")[0] == mean
