# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader

from monai_vlsm.adapters import (
    SETTINGS_KEY,
    AdapterMismatchError,
    AdaptersNotFoundError,
    AdapterState,
    DenseAdaptation,
    adapter_names,
    base_fingerprint,
    build_adaptation,
    load_adapters,
    read_adapter_settings,
)
from monai_vlsm.networks import CLIPSegNet
from tests import tiny

ADAPTATION = DenseAdaptation("vl", width=4, condition_width=4)


@pytest.fixture
def network(backbone: Path) -> CLIPSegNet:
    return make(backbone)


@pytest.fixture
def file(network: CLIPSegNet, tmp_path: Path) -> Path:
    torch.save(AdapterState(network).state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def make(backbone: Path, adaptation: DenseAdaptation = ADAPTATION, seed: int = 0) -> CLIPSegNet:
    torch.manual_seed(seed)
    return CLIPSegNet(backbone, adaptation=adaptation, default_prompt="one polyp").eval()


def predict(network: CLIPSegNet) -> torch.Tensor:
    return network(torch.ones(1, 3, tiny.SIZE, tiny.SIZE))


def test_holds_adapters_and_settings_only(network: CLIPSegNet, backbone: Path) -> None:
    state = AdapterState(network).state_dict()
    assert set(state) == {SETTINGS_KEY, *adapter_names(network)}
    assert state[SETTINGS_KEY] == {
        "format": 1,
        "base": base_fingerprint(network),
        "backbone": str(backbone),
        "adaptation": ADAPTATION.settings(),
        "image_size": tiny.SIZE,
        "default_prompt": "one polyp",
    }


def load_with_view(network: CLIPSegNet, path: Path) -> None:
    AdapterState(network).load_state_dict(torch.load(path, weights_only=True))


def load_into_network(network: CLIPSegNet, path: Path) -> None:
    network.load_state_dict(torch.load(path, weights_only=True), strict=False)  # as MONAI Label does


def load_with_handler(network: CLIPSegNet, path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    CheckpointLoader(str(path), {"model": network}).attach(engine)
    engine.fire_event(Events.STARTED)


WAYS = [load_with_view, load_into_network, load_with_handler]


@pytest.mark.parametrize("load", WAYS)
def test_round_trip(load: Any, network: CLIPSegNet, file: Path, backbone: Path) -> None:
    other = make(backbone, seed=1)
    assert not torch.equal(predict(other), predict(network))
    load(other, file)
    assert torch.equal(predict(other), predict(network))


@pytest.mark.parametrize("load", WAYS)
def test_other_base(load: Any, network: CLIPSegNet, file: Path, tmp_path: Path) -> None:
    other = make(tiny.write_backbone(tmp_path / "other", seed=5))
    fingerprints = f"{base_fingerprint(network)[:12]}.*{base_fingerprint(other)[:12]}"
    with pytest.raises(AdapterMismatchError, match=f"another base.*{fingerprints}"):
        load(other, file)


@pytest.mark.parametrize("load", WAYS)
def test_other_adaptation(load: Any, network: CLIPSegNet, file: Path, backbone: Path) -> None:
    other = make(backbone, DenseAdaptation("v", width=4))
    before, mark = predict(other), base_fingerprint(network)[:12]
    with pytest.raises(
        AdapterMismatchError, match=f"another adaptation.*'towers': 'vl'.*{mark}.*'towers': 'v'.*{mark}"
    ):
        load(other, file)
    assert torch.equal(predict(other), before)


def damage(state: dict[str, Any], kind: str) -> dict[str, Any]:
    name = next(iter(state))
    if kind == "missing":
        del state[name]
    elif kind == "renamed":
        state["other"] = state.pop(name)
    elif kind == "shape":
        state[name] = state[name][:1]
    elif kind == "no settings":
        del state[SETTINGS_KEY]
    return state


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "1 missing and 0 unexpected"),
        ("renamed", "1 missing and 1 unexpected.*other"),
        ("shape", r"must be \(4, 8\), the adapter file has \(1, 8\)"),
        ("no settings", "not an adapter file"),
    ],
)
def test_damaged(kind: str, message: str, network: CLIPSegNet) -> None:
    state = damage(AdapterState(network).state_dict(), kind)
    with pytest.raises(AdapterMismatchError, match=message):
        AdapterState(network).load_state_dict(state)


def test_fingerprint_depends_on_the_base_alone(network: CLIPSegNet, backbone: Path, tmp_path: Path) -> None:
    mark = base_fingerprint(network)
    assert mark == base_fingerprint(make(backbone, DenseAdaptation("v", width=2), seed=3))
    copy = tiny.write_backbone(tmp_path / "copy")  # the same weights in another folder
    assert mark == base_fingerprint(make(copy))
    with torch.no_grad():
        network.base.decoder.film_mul.bias[0] += 1e-6
    assert mark != base_fingerprint(network)


def test_fingerprint_needs_values() -> None:
    with torch.device("meta"):
        network = CLIPSegNet(load_weights=False)
    with pytest.raises(ValueError, match="meta device"):
        base_fingerprint(network)


def test_read_settings(file: Path, network: CLIPSegNet, tmp_path: Path) -> None:
    settings = read_adapter_settings(file)
    assert settings is not None
    assert build_adaptation(settings["adaptation"]) == ADAPTATION
    assert read_adapter_settings(tmp_path / "absent.pt") is None


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"truncated"])
def test_read_settings_of_another_file(content: bytes, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100] if content == b"truncated" else content)
    with pytest.raises(AdapterMismatchError, match=r"model.pt is not an adapter file of monai_vlsm"):
        read_adapter_settings(file)


def test_unknown_adaptation() -> None:
    with pytest.raises(ValueError, match="unknown adaptation 'LoRA'; known: Adaptation, DenseAdaptation"):
        build_adaptation({"type": "LoRA"})


def test_load_adapters(network: CLIPSegNet, file: Path, backbone: Path, tmp_path: Path) -> None:
    other = make(backbone, seed=1)
    load_adapters(other, file)
    assert torch.equal(predict(other), predict(network))
    with pytest.raises(AdaptersNotFoundError, match=r"(?s)absent\.pt.*configs/train\.json.*--zero_shot True"):
        load_adapters(other, tmp_path / "absent.pt")
