# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How slices were shown in training is in the file of the model, and every tool goes by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import (
    RECORDED,
    SETTINGS_KEY,
    ModelMismatchError,
    TrainedState,
    describe,
    load_trained,
    read,
    seal,
    verify,
)
from monai_vlsm.commands.adapters import facts_text
from monai_vlsm.data.volumes import parse_window
from monai_vlsm.export.model import _info
from monai_vlsm.export.prompts import choose_prompts
from monai_vlsm.hub.card import make_card
from monai_vlsm.hub.facts import CardFacts
from monai_vlsm.networks import CLIPSegNet, PromptedNet, load_network
from monai_vlsm.serving import AdapterBank, Segmenter
from monai_vlsm.transforms import ToRGBd
from tests.serving.models import save

CONFIGS = Path(__file__).parents[2] / "bundles" / "vlsm_dense" / "configs"
TOLD: dict[str, Any] = {"window": ["lung", [0.0, 80.0], "mr"], "context": 1, "plane": "coronal"}


def network(backbone: Path) -> CLIPSegNet:
    return CLIPSegNet(backbone, DenseAdaptation("v", width=4), default_prompt="one polyp")


@pytest.fixture(scope="module")
def file(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = network(backbone)
    TrainedState(made, recorded=TOLD)
    return save(made, tmp_path_factory.mktemp("told") / "models" / "model.pt")


def told(made: PromptedNet) -> dict[str, Any]:
    return {name: getattr(made, name) for name in RECORDED}


def of_bank(file: Path, backbone: Path) -> dict[str, Any]:
    bank = AdapterBank(backbone)
    bank.load("a", file)
    return told(bank.network("a"))


def of_evaluation(file: Path, backbone: Path) -> dict[str, Any]:
    made = network(backbone)
    load_trained(made, file)
    return told(made)


def of_export(file: Path, backbone: Path) -> dict[str, Any]:
    made = load_network(file)
    info = _info(made, "tokens", choose_prompts(made, "tokens", None, None), {})
    assert info["window_ends"] == [(-1350, 150), (0, 80), None]
    return info


TOOLS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "file": lambda file, _: read(file)[SETTINGS_KEY],
    "list of models": lambda file, _: dict(describe(file).settings),
    "load_network": lambda file, _: told(load_network(file)),
    "Segmenter": lambda file, _: told(Segmenter(file, device="cpu").network),
    "bank": of_bank,
    "evaluation": of_evaluation,
    "export": of_export,
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_know_it(tool: str, file: Path, backbone: Path) -> None:
    found = TOOLS[tool](file, backbone)
    assert {name: found[name] for name in RECORDED} == TOLD


def shown(steps: Any) -> Any:
    (step,) = (one for one in steps.flatten().transforms if isinstance(one, ToRGBd))
    return step.convert.windows


@pytest.mark.parametrize(("given", "expected"), [(None, TOLD["window"]), ("brain", "brain"), ((0, 1), (0, 1))])
def test_a_window_that_is_given_counts_more(given: Any, expected: Any, file: Path) -> None:
    segment = Segmenter(file, device="cpu", window=given)
    assert shown(segment._before) == parse_window(expected)


def test_people_can_read_it(file: Path) -> None:
    text = facts_text(describe(file))
    assert "window:         ['lung', [0.0, 80.0], 'mr']" in text and "plane:          'coronal'" in text
    card = make_card(CardFacts("me/lungs", read(file)))
    assert "| black and white | window lung (-1350 to 150), window of the user (0 to 80), percentiles of the" in card
    assert "| neighbours of a slice | 1 on either side |" in card and "| plane of the slices | coronal |" in card


def test_a_file_of_before_says_nothing(backbone: Path, tmp_path: Path) -> None:
    old = save(network(backbone), tmp_path / "old.pt")
    assert not set(RECORDED) & set(read(old)[SETTINGS_KEY])
    assert told(load_network(old)) == dict.fromkeys(RECORDED)
    assert "black and white" not in make_card(CardFacts("me/old", read(old)))


def test_what_a_run_decides_stays_when_it_begins_from_a_file(file: Path, backbone: Path) -> None:
    made = network(backbone)
    state = TrainedState(made, recorded={"window": "bone", "context": 0, "plane": "axial"})
    state.load_state_dict(read(file))
    assert told(made) == {"window": "bone", "context": 0, "plane": "axial"}


@pytest.mark.parametrize("name", ["inference.json"])
def test_bundles_ask_the_file(name: str, file: Path, tmp_path: Path) -> None:
    parser = ConfigParser()
    parser.read_config(CONFIGS / name)
    parser.update({"bundle_root": str(tmp_path), "model_file": str(file)})
    assert shown(parser.get_parsed_content("preprocessing")) == parse_window(TOLD["window"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("window", "chest", r"window is unknown: .*abdomen, bone.* got chest\. It was made by another version"),
        ("context", 7, "context must be one of 0, 1, 2, got 7"),
        ("context", True, "context must be one of 0, 1, 2, got True"),
        ("plane", "oblique", "plane must be one of axial, coronal, sagittal, all, got 'oblique'"),
    ],
)
def test_values_that_nobody_knows_are_refused(name: str, value: Any, message: str, file: Path) -> None:
    state = read(file)
    with pytest.raises(ModelMismatchError, match=message):
        verify(seal({**state, SETTINGS_KEY: {**state[SETTINGS_KEY], name: value}}))
