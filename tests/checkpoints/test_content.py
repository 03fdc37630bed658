# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a model.pt may hold, and that no bit of it changes unseen."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, read, seal, verify
from monai_vlsm.checkpoints.content import CHECKSUMS, FORMAT

State = dict[str, Any]
SETTINGS = {
    "format": FORMAT,
    "network": "CLIPSegNet",
    "backbone": "b",
    "base": "0" * 64,
    "image_size": 32,
    "default_prompt": "",
    "adaptation": {"type": "DenseAdaptation", "encoders": "v", "width": 4, "condition_width": None},
    "existence_threshold": 0.25,
}
TENSORS = {"half": torch.ones(3, dtype=torch.bfloat16), "count": torch.tensor(7), "weight": torch.linspace(-1, 1, 60)}


def content(**changed: Any) -> State:
    return seal({**TENSORS, SETTINGS_KEY: {**SETTINGS, **changed}})


def with_settings(state: State, **changed: Any) -> State:
    """Settings that are changed after the checksums were made."""
    return {**state, SETTINGS_KEY: {**state[SETTINGS_KEY], **changed}}


def test_checksums_are_not_part_of_what_is_read() -> None:
    state = verify(content(), sealed=True)
    assert state == {**TENSORS, SETTINGS_KEY: SETTINGS}


def test_a_file_of_before_has_no_checksums() -> None:
    old = {**TENSORS, SETTINGS_KEY: {**SETTINGS, "format": 1}}
    assert verify(old, sealed=True) == old


def test_a_file_of_today_must_have_checksums() -> None:
    state = {**TENSORS, SETTINGS_KEY: SETTINGS}
    assert verify(state) == state
    with pytest.raises(ModelMismatchError, match="a damaged model file: it has no checksums"):
        verify(state, sealed=True)


WRONG: dict[str, tuple[Callable[[], State], str]] = {
    "a later format": (lambda: with_settings(content(), format=99), r"format 99, .* reads 1 to 3\. Update"),
    "no format": (lambda: with_settings(content(), format=None), "format None"),
    "a text as format": (lambda: with_settings(content(), format="2"), "format '2'"),
    "an unknown setting": (lambda: content(colour="red"), "unknown setting colour of CLIPSegNet"),
    "a setting of another network": (lambda: content(targets=["a"]), "unknown setting targets of CLIPSegNet"),
    "an argument that is no setting": (lambda: content(dropout=0.5), "unknown setting dropout"),
    "an unknown adaptation": (lambda: content(adaptation={"type": "LoRA"}), "make no adaptation: unknown .*'LoRA'"),
    "an unknown setting of it": (
        lambda: content(adaptation={**SETTINGS["adaptation"], "alpha": 2}),  # type: ignore[dict-item]
        "make no adaptation: .*alpha",
    ),
    "a changed setting": (lambda: with_settings(content(), default_prompt="x"), "checksums differ.* its settings"),
    "a changed value": (
        lambda: {**content(), "weight": TENSORS["weight"] + 1e-6},
        "1 of its checksums differ, the first is that of weight",
    ),
    "another type": (lambda: {**content(), "half": TENSORS["half"].half()}, "checksums differ.* half"),
    "another shape": (lambda: {**content(), "weight": TENSORS["weight"].view(6, 10)}, "checksums differ.* weight"),
    "two swapped": (lambda: {**content(), "a": TENSORS["half"]}, "1 of its checksums differ, the first is that of a"),
    "one missing": (
        lambda: {k: v for k, v in content().items() if k != "count"},
        "the first is that of count",
    ),
    "checksums of another kind": (lambda: with_settings(content(), **{CHECKSUMS: 3}), "damaged"),
    "not a number": (
        lambda: seal({**content(), "weight": torch.tensor([1.0, float("nan")])}),
        "weight holds values that are no numbers",
    ),
    "infinity": (lambda: seal({**content(), "half": TENSORS["half"] / 0}), "half holds values that are no numbers"),
    "a threshold above 1": (lambda: content(existence_threshold=1.5), "must be from 0 to 1, got 1.5"),
    "a negative threshold": (lambda: content(existence_threshold=-0.1), "must be from 0 to 1"),
    "no number as threshold": (
        lambda: with_settings(content(), existence_threshold=float("nan")),
        "must be from 0 to 1, got nan",
    ),
    "true as threshold": (lambda: content(existence_threshold=True), "must be from 0 to 1, got True"),
    "a text as a size": (lambda: content(image_size="big"), "'image_size' .* must be of type int, got 'big'"),
    "a text as adaptation": (
        lambda: content(adaptation="dense"),
        "must be of type Mapping, got 'dense'",
    ),
    "no adaptation": (lambda: content(adaptation=None), "'adaptation' .* must be of type Mapping, got None"),
    "a sparse tensor": (
        lambda: {**content(), "weight": TENSORS["weight"].to_sparse()},
        "'weight' is not a plain tensor",
    ),
    "float8": (
        lambda: seal({**content(), "weight": TENSORS["weight"].to(torch.float8_e5m2)}),
        "'weight' is not a plain tensor",
    ),
    "no values": (lambda: {**content(), "weight": TENSORS["weight"].to("meta")}, "'weight' is not a plain tensor"),
    "an endless size": (lambda: content(image_size=100_000), "image_size must be from 1 to 4096, got 100000"),
    "true as a size": (lambda: content(image_size=True), "'image_size' .* must be of type int, got True"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_refused(kind: str, tmp_path: Path) -> None:
    make, message = WRONG[kind]
    torch.save(make(), tmp_path / "model.pt")
    with pytest.raises(ModelMismatchError, match=message):
        verify(make(), sealed=True)
    with pytest.raises(ModelMismatchError, match=rf"model\.pt is (a|not a) .*{message}"):
        read(tmp_path / "model.pt")


def test_adaptations_within_each_other_without_an_end() -> None:
    adaptation: dict[str, Any] = {"type": "Adaptation"}
    for _ in range(sys.getrecursionlimit()):
        adaptation = {"type": "SliceContextAdaptation", "inner": adaptation}
    with pytest.raises(ModelMismatchError, match="make no adaptation: maximum recursion"):
        verify(with_settings(content(), adaptation=adaptation))


def test_every_flipped_bit_is_seen_or_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save(content(), file)
    whole, draw = file.read_bytes(), random.Random(0)
    expected, refused = read(file), 0
    for _ in range(300):
        position = draw.randrange(len(whole))
        flipped = bytearray(whole)
        flipped[position] ^= 1 << draw.randrange(8)
        file.write_bytes(flipped)
        try:
            found = read(file)
        except ModelMismatchError:
            refused += 1
        else:
            assert found.keys() == expected.keys()
            assert found[SETTINGS_KEY] == expected[SETTINGS_KEY]
            assert all(torch.equal(found[name], expected[name]) for name in TENSORS)
    assert refused > 50


def test_a_network_of_others_may_record_what_it_likes() -> None:
    settings = {key: value for key, value in SETTINGS.items() if key != "adaptation"} | {"network": "Mine", "depth": 3}
    state = {**TENSORS, SETTINGS_KEY: settings}
    assert verify(seal(state), sealed=True) == state


def test_names_of_earlier_formats() -> None:
    """Files of format 1 and 2 say ``towers`` and ``seams``; what is read says what is written now."""
    adaptation = {"type": "DenseAdaptation", "towers": "v", "width": 4}
    told = {**SETTINGS, "network": "CLIPSegNet", "adaptation": adaptation, "format": 1}
    found = verify({"seams.skip_adapters.0.up.weight": torch.ones(2), "base.x": torch.ones(1), SETTINGS_KEY: told})
    assert sorted(found.keys() - {SETTINGS_KEY}) == ["base.x", "feature_adapters.skip_adapters.0.up.weight"]
    assert found[SETTINGS_KEY]["adaptation"] == {"type": "DenseAdaptation", "encoders": "v", "width": 4}
