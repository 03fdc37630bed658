# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundles are what MONAI merges from vlsm_dense and an overlay, and all of them can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from tools import derive_bundles

BUNDLES = Path(__file__).parents[2] / "bundles"
NAMES = sorted(path.name for path in BUNDLES.iterdir() if path.name != "vlsm_dense")
CONFIGS = sorted(path for path in BUNDLES.glob("*/configs/*.json") if path.name != "metadata.json")


def config(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def of_bundle(bundle: str, name: str) -> Path:
    return BUNDLES / bundle / "configs" / f"{name}.json"


def entries(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of all that is neither a table nor a list."""
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from entries(one, f"{path}#{key}")
    else:
        yield path, value


def texts(value: Any) -> list[str]:
    return [one for _, one in entries(value) if isinstance(one, str)]


def test_all_bundles_are_here() -> None:
    assert NAMES == ["clipseg", "cris", "san", "unet", "vlsm_shallow", "vlsm_slices"]
    assert derive_bundles.derived_names() == NAMES


def test_files_are_as_derived() -> None:
    """Run ``python tools/derive_bundles.py`` after a change of vlsm_dense or of an overlay."""
    assert derive_bundles.differing() == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_a_config_can_be_read(path: Path) -> None:
    """No logic in expressions, and nothing found by its place in a list."""
    expressions = [text for text in texts(config(path)) if text.startswith("$")]
    assert [text for text in expressions if len(text) > 60] == []
    places = [text for text in texts(config(path)) if text.startswith(("@", "$")) and "handlers#" in text]
    assert places == []


def test_settings_come_first() -> None:
    values = config(of_bundle("vlsm_dense", "train"))
    head = list(values.values())[:46]
    assert not any(isinstance(value, dict) and "_target_" in value for value in head)
    literal = [value for value in head if not isinstance(value, str) or value[0] not in "$@%"]
    assert len(literal) >= 10
    assert "network_def" in list(values)[46:]
    assert of_bundle("vlsm_dense", "train").read_text().count("\n") <= 380


@pytest.mark.parametrize("name", ["evaluate", "inference"])
def test_the_other_configs_have_the_words_and_the_order_of_train(name: str) -> None:
    train = list(config(of_bundle("vlsm_dense", "train")))
    own = [key for key in config(of_bundle("vlsm_dense", name)) if key in train and key != "dataset"]  # a part here
    assert own == sorted(own, key=train.index)
    assert len(own) >= 8


@pytest.mark.parametrize("bundle", NAMES)
def test_monai_merges_vlsm_dense_and_the_overlay_to_the_same(bundle: str) -> None:
    """Two files on a command line are the bundle: what it reads is equal, what it leaves out is not read."""
    overlay = derive_bundles.OVERLAYS / bundle / "train.json"
    both = ConfigParser.load_config_files([str(of_bundle("vlsm_dense", "train")), str(overlay)])
    derived = config(of_bundle(bundle, "train"))
    assert {name: both[name] for name in derived} == derived
    left_out = both.keys() - derived.keys()
    assert not [text for text in texts(derived) if any(f"@{name}" in text for name in left_out - {"saved_adaptation"})]


@pytest.mark.parametrize("bundle", NAMES)
def test_only_the_value_range_of_the_image_differs(bundle: str) -> None:
    dense, other = (config(of_bundle(one, "metadata"))["network_data_format"] for one in ("vlsm_dense", bundle))
    for values in (dense, other):
        del values["inputs"]["image"]["value_range"]
    assert dense == other


def test_paths_and_merges_of_an_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derive_bundles, "OVERLAYS", tmp_path)
    (tmp_path / "mine").mkdir()
    overlay = {"optimizer#lr": 5, "+amp_kwargs": {"cache_enabled": False}, "epochs": 3, "colour": "@epochs"}
    (tmp_path / "mine" / "train.json").write_text(json.dumps(overlay))
    dense, mine = derive_bundles.merged("train.json", "none"), derive_bundles.merged("train.json", "mine")
    changed = {path for path, value in entries(mine) if dict(entries(dense)).get(path, ...) != value}
    assert changed == {"#optimizer#lr", "#amp_kwargs#cache_enabled", "#epochs", "#colour"}
    (tmp_path / "mine" / "evaluate.json").write_text(json.dumps({"network_def#dropout": 0.5}))
    assert derive_bundles.merged("evaluate.json", "mine")["network_def#dropout"] == 0.5  # of the part in train.json


def test_settings_that_nothing_reads_are_left_out_and_new_ones_stand_behind_the_backbone() -> None:
    train: dict[str, Any] = {"backbone": "b", "encoders": "v", "adaptation": "@encoders", "network_def": ["@backbone"]}
    train |= {"new": 1, "run": ["$@network_def + @new"]}
    derive_bundles.drop_unread(train, [train])
    assert list(train) == ["backbone", "network_def", "new", "run"]
    source = dict.fromkeys(("backbone", "network_def", "run"), 0)
    assert list(derive_bundles.settings_first(train, source)) == ["backbone", "new", "network_def", "run"]


def test_what_fits_stands_on_one_line_and_plain_arguments_side_by_side() -> None:
    target = {"_target_": "x", "width": 64, "file": "y" * 80, "keys": ["a", "b"], "then": [{"_target_": "z"}]}
    text = derive_bundles.config_text({"a": [1, 2], "b": target, "c": []})
    assert json.loads(text) == {"a": [1, 2], "b": target, "c": []}
    assert text.splitlines() == [
        "{",
        '    "a": [1, 2],',
        '    "b": {',
        '        "_target_": "x",',
        f'        "width": 64, "file": "{"y" * 80}",',
        '        "keys": ["a", "b"],',
        '        "then": [{"_target_": "z"}]',
        "    },",
        '    "c": []',
        "}",
    ]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_no_line_is_too_long(path: Path) -> None:
    assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= derive_bundles.WIDTH


@pytest.mark.parametrize("name", ["train", "inference"])
@pytest.mark.parametrize(
    ("bundle", "mean"),
    [("vlsm_dense", 0.485), ("unet", 0.485), ("san", 0.48145466), ("cris", 0.48145466)],
)
def test_images_are_normalised_as_the_network_wants_them(bundle: str, mean: float, name: str) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(of_bundle(bundle, name)))
    assert len(parser.get_parsed_content("image_std")) == 3
    assert parser.get_parsed_content("image_mean")[0] == mean


@pytest.mark.parametrize("name", ["vlsm_dense", *NAMES])
def test_the_zoo_can_take_the_name(name: str) -> None:
    """``monai.bundle.download`` takes what stands behind ``_v`` for a version."""
    assert "_v" not in name
