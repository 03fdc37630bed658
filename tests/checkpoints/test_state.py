# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader

from monai_vlsm.adapters import Adaptation, DenseAdaptation, FineTuning, base_fingerprint, build_adaptation
from monai_vlsm.checkpoints import (
    SETTINGS_KEY,
    ModelMismatchError,
    ModelNotFoundError,
    TrainedState,
    load_trained,
    read,
    read_settings,
    seal,
)
from monai_vlsm.checkpoints.content import CHECKSUMS
from monai_vlsm.networks import CLIPSegNet
from tests import tiny

ADAPTATION = DenseAdaptation("vl", width=4, condition_width=4)


@pytest.fixture
def network(backbone: Path) -> CLIPSegNet:
    return make(backbone)


@pytest.fixture
def file(network: CLIPSegNet, tmp_path: Path) -> Path:
    torch.save(TrainedState(network).state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def fingerprint(network: CLIPSegNet) -> str:
    return base_fingerprint(network, network.trained_names)


def make(backbone: Path, adaptation: Adaptation = ADAPTATION, seed: int = 0) -> CLIPSegNet:
    torch.manual_seed(seed)
    return CLIPSegNet(backbone, adaptation=adaptation, default_prompt="one polyp").eval()


def predict(network: CLIPSegNet) -> torch.Tensor:
    return network(torch.ones(1, 3, tiny.SIZE, tiny.SIZE))


def test_holds_adapters_and_settings_only(network: CLIPSegNet, backbone: Path) -> None:
    state = TrainedState(network).state_dict()
    assert set(state) == {SETTINGS_KEY, *network.trained_names}
    assert state[SETTINGS_KEY].pop(CHECKSUMS).keys() == {SETTINGS_KEY, *network.trained_names}
    assert state[SETTINGS_KEY] == {
        "format": 3,
        "base": fingerprint(network),
        "network": "CLIPSegNet",
        "backbone": str(backbone),
        "adaptation": ADAPTATION.settings(),
        "image_size": tiny.SIZE,
        "default_prompt": "one polyp",
        "existence_threshold": 0.0,
    }


def load_with_view(network: CLIPSegNet, path: Path) -> None:
    TrainedState(network).load_state_dict(torch.load(path, weights_only=True))


def load_into_network(network: CLIPSegNet, path: Path) -> None:
    network.load_state_dict(torch.load(path, weights_only=True), strict=False)  # as MONAI Label does


def load_with_handler(network: CLIPSegNet, path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    CheckpointLoader(str(path), {"model": network}).attach(engine)
    engine.fire_event(Events.STARTED)


def test_loading_answers_as_torch_does(network: CLIPSegNet, file: Path) -> None:
    state, base = read(file), set(network.state_dict()) - set(network.trained_names)
    for into in (network, TrainedState(network)):
        assert into.load_state_dict(state) == ([], [])
        loaded = into.load_state_dict(state, strict=False)
        assert (set(loaded.missing_keys), loaded.unexpected_keys) == (base, [])


def test_tensors_are_assigned_where_that_is_asked(network: CLIPSegNet, file: Path) -> None:
    state, name = read(file), network.trained_names[0]
    network.load_state_dict(state, assign=True)
    assert network.get_parameter(name).data_ptr() == state[name].data_ptr()


WAYS = [load_with_view, load_into_network, load_with_handler]


@pytest.mark.parametrize("load", WAYS)
def test_round_trip(load: Any, network: CLIPSegNet, file: Path, backbone: Path) -> None:
    other = make(backbone, seed=1)
    assert not torch.equal(predict(other), predict(network))
    load(other, file)
    torch.testing.assert_close(predict(other), predict(network), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("load", WAYS)
def test_existence_threshold_travels_and_refuses_no_file(load: Any, network: CLIPSegNet, tmp_path: Path) -> None:
    state = TrainedState(network)
    assert state.existence_threshold == 0.0
    state.existence_threshold = 0.4
    saved = state.state_dict()
    assert {key: value for key, value in saved[SETTINGS_KEY].items() if key != CHECKSUMS} == state.settings()
    torch.save(saved, tmp_path / "new.pt")
    del saved[SETTINGS_KEY]["existence_threshold"]
    torch.save(seal(saved), tmp_path / "old.pt")
    state.existence_threshold = 0.9
    load(network, tmp_path / "new.pt")
    assert network.existence_threshold == 0.4
    load(network, tmp_path / "old.pt")
    assert network.existence_threshold == 0.0


@pytest.mark.parametrize("load", WAYS)
def test_other_base(load: Any, network: CLIPSegNet, file: Path, tmp_path: Path) -> None:
    other = make(tiny.write_backbone(tmp_path / "other", seed=5))
    fingerprints = f"{fingerprint(network)[:12]}.*{fingerprint(other)[:12]}"
    with pytest.raises(ModelMismatchError, match=f"another base.*{fingerprints}"):
        load(other, file)


@pytest.mark.parametrize("load", WAYS)
def test_other_adaptation(load: Any, network: CLIPSegNet, file: Path, backbone: Path) -> None:
    other = make(backbone, DenseAdaptation("v", width=4))
    before, mark = predict(other), fingerprint(network)[:12]
    with pytest.raises(
        ModelMismatchError, match=f"another adaptation.*'encoders': 'vl'.*{mark}.*'encoders': 'v'.*{mark}"
    ):
        load(other, file)
    assert torch.equal(predict(other), before)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state, name: state.pop(name), "1 missing and 0 unexpected"),
        (lambda state, name: state.update(other=state.pop(name)), "1 missing and 1 unexpected.*other"),
        (
            lambda state, name: state.update({name: state[name][:1]}),
            r"must be \(4, 8\) of torch\.float32, and is \(1, 8\)",
        ),
        (
            lambda state, name: state.update({name: state[name].int()}),
            r"must be .* torch\.float32, and is .* torch\.int32",
        ),
        (
            lambda state, _: state.update({"base.decoder.film_mul.bias": torch.zeros(8)}),
            r"holds 1 weight of the frozen base too, the first is base\.decoder\.film_mul\.bias",
        ),
    ],
)
def test_damaged(damage: Callable[[dict[str, Any], str], Any], message: str, network: CLIPSegNet) -> None:
    state = TrainedState(network).state_dict()
    damage(state, next(iter(state)))
    with pytest.raises(ModelMismatchError, match=message):
        TrainedState(network).load_state_dict(seal(state))


def test_fingerprint_depends_on_the_base_alone(network: CLIPSegNet, backbone: Path, tmp_path: Path) -> None:
    mark = fingerprint(network)
    assert mark == fingerprint(make(backbone, DenseAdaptation("v", width=2), seed=3))
    copy = tiny.write_backbone(tmp_path / "copy")  # the same weights in another folder
    assert mark == fingerprint(make(copy))
    with torch.no_grad():
        network.base.decoder.film_mul.bias[0] += 1e-6
    assert mark != fingerprint(network)


def test_fingerprint_needs_values() -> None:
    with torch.device("meta"):
        network = CLIPSegNet(load_weights=False)
    with pytest.raises(ValueError, match="meta device"):
        fingerprint(network)


def test_read_settings(file: Path, network: CLIPSegNet, tmp_path: Path) -> None:
    settings = read_settings(file)
    assert build_adaptation(settings["adaptation"]) == ADAPTATION
    for path in (None, ""):
        assert read_settings(path) == {}
    assert read_settings(tmp_path / "absent.pt", must_exist=False) == {}
    with pytest.raises(ModelNotFoundError, match="no such file"):
        read_settings(tmp_path / "absent.pt")


def test_load_trained(network: CLIPSegNet, file: Path, backbone: Path, tmp_path: Path) -> None:
    other = make(backbone, seed=1)
    load_trained(other, file)
    torch.testing.assert_close(predict(other), predict(network), atol=1e-6, rtol=1e-5)
    with pytest.raises(ModelNotFoundError, match=r"(?s)absent\.pt.*configs/train\.json.*--zero_shot True"):
        load_trained(other, tmp_path / "absent.pt")


@pytest.mark.parametrize("part", ["decoder", "full"])
def test_round_trip_without_adapters(part: str, backbone: Path, tmp_path: Path) -> None:
    network, other = (make(backbone, FineTuning(part)) for _ in range(2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01 * parameter.requires_grad)
    assert not torch.equal(predict(other), predict(network))
    TrainedState(other).load_state_dict(TrainedState(network).state_dict())
    torch.testing.assert_close(predict(other), predict(network), atol=1e-6, rtol=1e-5)


def test_a_whole_model_needs_no_base(backbone: Path, tmp_path: Path) -> None:
    state = TrainedState(make(backbone, FineTuning("full"))).state_dict()
    assert state[SETTINGS_KEY]["base"] == ""
    other = make(tiny.write_backbone(tmp_path / "other", seed=5), FineTuning("full"))
    TrainedState(other).load_state_dict(state)
    torch.testing.assert_close(predict(other), predict(make(backbone, FineTuning("full"))), atol=1e-6, rtol=1e-5)


def test_another_network(network: CLIPSegNet) -> None:
    state = TrainedState(network).state_dict()
    state[SETTINGS_KEY]["network"] = "OwnNet"
    with pytest.raises(ModelMismatchError, match=r"another network: the file was trained with OwnNet.*CLIPSegNet"):
        TrainedState(network).load_state_dict(seal(state))
