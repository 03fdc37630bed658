# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How slices were shown in training is in the file of the model, and every tool goes by it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from monai_vlsm import samples
from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import (
    PRECISION,
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
from monai_vlsm.data.volumes import Address, parse_window
from monai_vlsm.errors import UserError
from monai_vlsm.export.model import _info
from monai_vlsm.export.prompts import choose_prompts
from monai_vlsm.hub.card import make_card
from monai_vlsm.hub.facts import CardFacts
from monai_vlsm.networks import CLIPSegNet, PromptedNet, load_network
from monai_vlsm.precision import gpu_autocast
from monai_vlsm.serving import AdapterBank, Segmenter
from monai_vlsm.transforms import ToRGBd
from tests.data.files import save_nifti
from tests.data.lists.folders import decathlon, entry, volume
from tests.serving.models import save

CONFIGS = Path(__file__).parents[2] / "bundles" / "vlsm_dense" / "configs"
TOLD: dict[str, Any] = {"window": ["lung", [0.0, 80.0], "mr"], "context": 1, "plane": "coronal", "channel": 2}


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
    info = _info(made, "tokens", choose_prompts(made, "tokens", None, None), {}, 77)
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
    assert "| channel | volume 2 of 4D files, counted from 0 |" in card


def test_a_file_of_before_says_nothing(backbone: Path, tmp_path: Path) -> None:
    old = save(network(backbone), tmp_path / "old.pt")
    assert not set(RECORDED) & set(read(old)[SETTINGS_KEY])
    assert told(load_network(old)) == dict.fromkeys(RECORDED)
    assert "black and white" not in make_card(CardFacts("me/old", read(old)))


def test_what_a_run_decides_stays_when_it_begins_from_a_file(file: Path, backbone: Path) -> None:
    made = network(backbone)
    state = TrainedState(made, recorded={"window": "bone", "context": 0, "plane": "axial", "channel": 0})
    state.load_state_dict(read(file))
    assert told(made) == {"window": "bone", "context": 0, "plane": "axial", "channel": 0}


def parsed(configs: list[str], model: Path, folder: Path) -> ConfigParser:
    parser = ConfigParser(ConfigParser.load_config_files([str(CONFIGS / name) for name in configs]))
    volumes = str(Path(samples.__file__).parent / "brain_volumes")
    parser.update({"bundle_root": str(folder), "model_file": str(model), "dataset_dir": volumes})
    return parser


def test_inference_asks_the_file(file: Path, tmp_path: Path) -> None:
    parser = parsed(["inference.json"], file, tmp_path)
    assert shown(parser.get_parsed_content("preprocessing")) == parse_window(TOLD["window"])
    assert {name: parser.get_parsed_content(name) for name in RECORDED} == TOLD


PRECISIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "bfloat16": {"amp_dtype": "bfloat16"},
    "float16": {"amp_dtype": "float16"},
    "float32": {"amp": False},
}


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("kind", PRECISIONS)
def test_every_tool_calculates_as_is_known_to_work(kind: str, on_gpu: bool, backbone: Path, tmp_path: Path) -> None:
    """In float16 only what a GPU trained in it, which is the default there; a CPU proves nothing of it."""
    own = PRECISIONS[kind]
    training = parsed(["train.json"], tmp_path, tmp_path)
    training.update({"backbone": str(backbone), "adapter_width": 4, "on_gpu": on_gpu, "device": "cpu", **own})
    state = training.get_parsed_content("trained")
    half = on_gpu and kind in ("default", "float16")
    expected: dict[str, Any] = {"amp": kind != "float32", "amp_dtype": "float16" if half else "bfloat16"}
    assert {name: state.settings()[name] for name in PRECISION} == expected
    file = save(state.network, tmp_path / "model.pt")
    inference = parsed(["inference.json"], file, tmp_path)
    inference.update({"dataset_dir": str(samples.sample_dir() / "images")})
    dtype = getattr(torch, expected["amp_dtype"])
    assert inference.get_parsed_content("evaluator").amp_kwargs == {"dtype": dtype}
    evaluation, further = (
        parsed(["train.json", "evaluate.json"], file, tmp_path),
        parsed(["train.json"], file, tmp_path),
    )
    further.update({"start_from": str(file)})
    for parser in (inference, evaluation, further):
        assert {name: parser.get_parsed_content(name) for name in PRECISION} == expected
    bank = AdapterBank(backbone)
    bank.load("a", file)
    for model in (file, load_network(file), bank.network("a")):
        segment = Segmenter(model, device="cpu", uncertainty="single")
        assert segment.doubter is not None
        for made in (segment, segment.doubter.members):
            assert {"amp": made.amp, "amp_dtype": made.amp_dtype} == expected


def test_a_precision_that_is_given_counts_more(backbone: Path, tmp_path: Path) -> None:
    made = network(backbone).trained_in(False, "bfloat16")
    file = save(made, tmp_path / "model.pt")
    segment = Segmenter(file, device="cpu", amp=True, amp_dtype="float16")
    assert (segment.amp, segment.amp_dtype) == (True, "float16")
    again = parsed(["train.json"], tmp_path, tmp_path)
    again.update({"start_from": str(file), "amp": True, "amp_dtype": "float16"})
    state = again.get_parsed_content("trained")
    state.load_state_dict(read(file))
    assert {name: state.settings()[name] for name in PRECISION} == {"amp": True, "amp_dtype": "bfloat16"}


def test_a_gpu_gets_the_type_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What autocast is asked for on a device that is a GPU, without one."""
    asked: list[Any] = []

    def autocast(*told: Any, enabled: bool) -> nullcontext[None]:
        asked.append((*told, enabled))
        return nullcontext()

    monkeypatch.setattr(torch, "autocast", autocast)
    for device, amp, dtype in (("cuda", True, "bfloat16"), ("cuda:1", False, "float16"), ("cpu", True, "float16")):
        with gpu_autocast(device, amp, dtype):
            pass
    half = torch.float16
    assert asked == [("cuda", torch.bfloat16, True), ("cuda", half, False), ("cuda", half, False)]


@pytest.mark.parametrize("attend", [False, True])
def test_evaluation_asks_the_file(attend: bool, backbone: Path, tmp_path: Path) -> None:
    """A list of MR says nothing of how the model was trained."""
    made = CLIPSegNet(backbone, DenseAdaptation("v", width=4), slices=3 if attend else 1)
    recorded = {"window": "lung", "context": 1, "plane": "coronal"}
    TrainedState(made, recorded=recorded)
    parser = parsed(["train.json", "evaluate.json"], save(made, tmp_path / "model.pt"), tmp_path)
    assert parser.get_parsed_content("recorded") == recorded
    (step,) = (one for one in parser.get_parsed_content("load").transforms if isinstance(one, ToRGBd))
    assert (step.convert.windows, step.convert.slices) == (parse_window("lung"), 3 if attend else 1)
    network = parser.get_parsed_content("network_def")
    assert network.adaptation == made.adaptation and network.slices == made.slices
    records = parser.get_parsed_content("validate#records")
    assert {(one.plane, one.context) for one in (Address.of(record["image"]) for record in records)} == {("coronal", 1)}


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({}, []),
        ({"window": "brain"}, ["not as the model was trained: window brain, its file says lung"]),
        ({"window": "brain", "zero_shot": True}, []),
    ],
)
def test_evaluation_tells_what_it_shows_otherwise(
    asked: dict[str, Any], line: list[str], backbone: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = network(backbone)
    TrainedState(made, recorded={"window": "lung", "context": 0, "plane": "axial"})
    parser = parsed(["train.json", "evaluate.json"], save(made, tmp_path / "model.pt"), tmp_path)
    parser.update(asked)
    with caplog.at_level(logging.INFO, "monai_vlsm"):
        parser.get_parsed_content("recorded")
    assert [one.getMessage() for one in caplog.records if "model was" in one.getMessage()] == line


@pytest.mark.parametrize(
    ("settings", "recorded", "slices"),
    [
        ({}, {"window": "mr", "context": 0, "plane": "axial"}, 1),
        ({"window": [0, 9], "context": 2, "planes": "all"}, {"window": [0, 9], "context": 2, "plane": "all"}, 1),
        ({"context": 2, "slice_attention": True}, {"window": "mr", "context": 2, "plane": "axial"}, 5),
    ],
)
def test_training_decides(settings: Any, recorded: Any, slices: int, tmp_path: Path) -> None:
    parser = parsed(["train.json"], tmp_path, tmp_path)
    parser.update({"backbone": "clipseg-mini", **settings})
    state = parser.get_parsed_content("trained")
    assert {name: state.settings()[name] for name in RECORDED if name in state.settings()} == recorded
    assert state.network.slices == slices


@pytest.mark.parametrize("files", ["4D", "one for each channel"])
def test_training_records_the_channel_of_4d_files(files: str, tmp_path: Path) -> None:
    volumes = [volume(seed) for seed in range(2)]
    entries = [entry(name) for name in "abcde"]
    if files != "4D":
        entries = [{**one, "image": [one["image"], one["image"].replace(".nii", "_1.nii")]} for one in entries]
    folder = decathlon(tmp_path / "data", modality={"0": "T1", "1": "FLAIR"}, training=entries)
    for name in "abcde":
        if files == "4D":
            save_nifti(np.stack(volumes, axis=-1), folder / f"imagesTr/{name}.nii.gz")
        else:
            save_nifti(volumes[1], folder / f"imagesTr/{name}_1.nii.gz")
    parser = parsed(["train.json"], tmp_path, tmp_path)
    parser.update({"backbone": "clipseg-mini", "dataset_dir": str(folder), "channel": "flair"})
    assert parser.get_parsed_content("trained").settings().get("channel") == (1 if files == "4D" else None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slice_attention": True}, "slice_attention needs neighbours: context 1 or 2, got 0"),
        ({"window": ["lung", "bone", "brain"], "context": 1}, "three windows make the three channels, and so do"),
    ],
)
def test_settings_that_do_not_go_together(settings: Any, message: str, tmp_path: Path) -> None:
    parser = parsed(["train.json"], tmp_path, tmp_path)
    parser.update({"backbone": "clipseg-mini", **settings})
    with pytest.raises(Exception, match="") as caught:  # MONAI puts an error of its own around each
        parser.get_parsed_content("trained")
    chain = [caught.value]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)  # type: ignore[arg-type]
    assert message in str(chain[-1]) and isinstance(chain[-1], UserError)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("window", "chest", r"window is unknown: .*abdomen, bone.* got chest\. It was made by another version"),
        ("context", 7, "context must be one of 0, 1, 2, got 7"),
        ("context", True, "context must be one of 0, 1, 2, got True"),
        ("plane", "oblique", "plane must be one of axial, coronal, sagittal, all, got 'oblique'"),
        ("channel", -1, "channel must be a number from 0, got -1"),
        ("channel", "FLAIR", "channel must be a number from 0, got 'FLAIR'"),
        ("amp_dtype", "float8", "amp_dtype must be one of float16, bfloat16, got 'float8'"),
        ("amp", "yes", "amp must be true or false, got 'yes'"),
    ],
)
def test_values_that_nobody_knows_are_refused(name: str, value: Any, message: str, file: Path) -> None:
    state = read(file)
    with pytest.raises(ModelMismatchError, match=message):
        verify(seal({**state, SETTINGS_KEY: {**state[SETTINGS_KEY], name: value}}))
