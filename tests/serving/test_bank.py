# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from monai_vlsm.adapters import DenseAdaptation, base_fingerprint
from monai_vlsm.checkpoints import (
    SETTINGS_KEY,
    ModelMismatchError,
    ModelNotFoundError,
    TrainedState,
    read_settings,
    seal,
)
from monai_vlsm.networks import CLIPSegNet, CRISNet, PromptedNet, SANNet, TargetUNet
from monai_vlsm.serving import AdapterBank, AdapterNameError
from monai_vlsm.serving import bank as bank_module
from tests import tiny
from tests.serving.models import ADAPTATIONS, ask, save

Files = dict[str, Path]
Networks = dict[str, CLIPSegNet]


def memory_of(network: nn.Module) -> dict[str, tuple[int, int]]:
    """Address and bytes of each entry, with the buffers that are not saved."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: (t.untyped_storage().data_ptr(), t.untyped_storage().nbytes()) for name, t in tensors.items()}


@pytest.mark.parametrize("kind", ADAPTATIONS)
def test_computes_what_a_network_of_its_own_computes(kind: str, full_bank: AdapterBank, trained: Networks) -> None:
    network = full_bank.network(kind)
    torch.testing.assert_close(ask(network), ask(trained[kind]), atol=1e-6, rtol=1e-5)  # weights at other addresses
    image = torch.ones(1, 3, tiny.SIZE, tiny.SIZE)
    with torch.inference_mode():
        torch.testing.assert_close(
            network(image), trained[kind](image), atol=1e-6, rtol=1e-5
        )  # the default prompt of the file


@pytest.mark.parametrize("kind", ADAPTATIONS)
def test_the_network_is_ready_and_whole(kind: str, full_bank: AdapterBank, files: Files, trained: Networks) -> None:
    network = full_bank.network(kind)
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert network.state_dict().keys() == trained[kind].state_dict().keys()
    assert network.trained_names == trained[kind].trained_names
    assert base_fingerprint(network, network.trained_names) == read_settings(files[kind])["base"]
    again = TrainedState(network).state_dict()  # it can be saved again, and is the same file
    expected = TrainedState(trained[kind]).state_dict()
    assert again.pop(SETTINGS_KEY) == expected.pop(SETTINGS_KEY)
    assert all(torch.equal(again[name], expected[name]) for name in expected)


def test_frozen_weights_are_in_memory_once(full_bank: AdapterBank) -> None:
    places = {kind: memory_of(full_bank.network(kind)) for kind in ADAPTATIONS}
    for kind in ADAPTATIONS.keys() - {"none"}:
        own = {*full_bank.network(kind).trained_names, "default_input_ids"}
        for name, place in places["none"].items():
            assert (places[kind][name] == place) == (name not in own), (kind, name)


def test_parameters_are_objects_of_their_own(full_bank: AdapterBank) -> None:
    first, second = (dict(full_bank.network(kind).named_parameters()) for kind in ("none", "dense v"))
    assert all(first[name] is not second[name] for name in first.keys() & second.keys())


def test_memory_adds_up(full_bank: AdapterBank, trained: Networks) -> None:
    memory = full_bank.memory()
    for kind in ADAPTATIONS:
        state, tokens = trained[kind].state_dict(), trained[kind].default_input_ids
        saved = sum(state[name].numel() * state[name].element_size() for name in trained[kind].trained_names)
        assert memory["adapters"][kind] == saved + tokens.numel() * tokens.element_size()
    places = {place for kind in ADAPTATIONS for place in memory_of(full_bank.network(kind)).values()}
    assert sum(size for _, size in places) == memory["base"] + sum(memory["adapters"].values())


def test_memory_of_the_base(bank: AdapterBank, trained: Networks) -> None:
    whole = sum(tensor.numel() * tensor.element_size() for tensor in trained["none"].state_dict().values())
    memory = bank.memory()
    assert memory["adapters"] == {}
    assert 0 <= memory["base"] - whole < 2000  # position numbers, which no file holds


def test_names(bank: AdapterBank, files: Files) -> None:
    assert bank.names == ()
    bank.load("b", files["shallow"])
    bank.load("a", files["dense v"])
    assert bank.names == ("b", "a")
    assert "a" in bank
    assert "c" not in bank
    settings = bank.settings("a")
    assert settings == read_settings(files["dense v"])
    settings["adaptation"]["width"] = 99
    assert bank.settings("a") == read_settings(files["dense v"])
    bank.unload("b")
    assert bank.names == ("a",)
    assert list(bank.memory()["adapters"]) == ["a"]


def test_a_taken_name(bank: AdapterBank, files: Files) -> None:
    bank.load("a", files["shallow"])
    before = bank.network("a")
    with pytest.raises(AdapterNameError, match="the name 'a' is taken; unload"):
        bank.load("a", files["dense v"])
    assert bank.network("a") is before


@pytest.mark.parametrize("ask_for", ["network", "settings", "unload"])
def test_an_unknown_name(ask_for: str, bank: AdapterBank, files: Files) -> None:
    with pytest.raises(AdapterNameError, match="no model is called 'b'; loaded: none"):
        getattr(bank, ask_for)("b")
    bank.load("a", files["shallow"])
    with pytest.raises(AdapterNameError, match="no model is called 'b'; loaded: a"):
        getattr(bank, ask_for)("b")


def test_a_folder_that_moved(backbone: Path, tmp_path: Path, files: Files, trained: Networks) -> None:
    bank = AdapterBank(shutil.copytree(backbone, tmp_path / "moved"))
    bank.load("a", files["decoder"])
    torch.testing.assert_close(ask(bank.network("a")), ask(trained["decoder"]), atol=1e-6, rtol=1e-5)


def test_random_numbers_are_left_alone(bank: AdapterBank, files: Files) -> None:
    before = torch.get_rng_state()
    for kind in ("dense vlc", "shallow"):
        bank.load(kind, files[kind])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_base_is_hashed_once(bank: AdapterBank, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def count(*arguments: Any) -> str:
        calls.append(arguments)
        return base_fingerprint(*arguments)

    monkeypatch.setattr(bank_module, "base_fingerprint", count)
    for name, kind in enumerate(("dense v", "shallow", "decoder", "dense vlc", "decoder")):
        bank.load(str(name), files[kind])
    assert len(calls) == 2  # whole, and without the decoder


def test_half_precision_files_become_float32(bank: AdapterBank, trained: Networks, tmp_path: Path) -> None:
    state = TrainedState(trained["dense v"]).state_dict()
    half = {name: value.half() if isinstance(value, torch.Tensor) else value for name, value in state.items()}
    torch.save(seal(half), tmp_path / "half.pt")
    bank.load("half", tmp_path / "half.pt")
    network = bank.network("half")
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert torch.allclose(ask(network), ask(trained["dense v"]), atol=1e-2)


def test_another_base(bank: AdapterBank, trained: Networks, tmp_path: Path) -> None:
    other = CLIPSegNet(tiny.write_backbone(tmp_path / "other", seed=5), adaptation=ADAPTATIONS["dense v"])
    file = save(other, tmp_path / "model.pt")
    theirs, ours = read_settings(file)["base"][:12], TrainedState(trained["dense v"]).fingerprint[:12]
    with pytest.raises(ModelMismatchError, match=rf"model\.pt is a model of another base.*{theirs}.*{ours}"):
        bank.load("a", file)
    assert bank.names == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network": "CRISNet"}, "the unknown setting adaptation of CRISNet"),
        ({"adaptation": {"type": "DenseAdaptation", "width": 10**30}}, "no adaptation: width must be at most 8192"),
        ({"adaptation": DenseAdaptation("v", width=8192).settings()}, r"must be \(8192, 12\)"),
        ({"image_size": 33}, r"fit no CLIPSegNet.*multiple of 16"),
    ],
)
def test_damaged_files(
    changed: dict[str, Any], message: str, full_bank: AdapterBank, trained: Networks, tmp_path: Path
) -> None:
    state = TrainedState(trained["dense v"]).state_dict()
    torch.save(seal({**state, SETTINGS_KEY: {**state[SETTINGS_KEY], **changed}}), tmp_path / "model.pt")
    with pytest.raises(ModelMismatchError, match=rf"(?s){tmp_path}/model\.pt.*({message})"):
        full_bank.load("a", tmp_path / "model.pt")
    assert full_bank.names == tuple(ADAPTATIONS)


def test_no_file(full_bank: AdapterBank, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"absent\.pt: there is no such file"):
        full_bank.load("a", tmp_path / "absent.pt")
    with pytest.raises(ModelNotFoundError, match="it is a folder"):
        full_bank.load("a", tmp_path)


NETWORKS: dict[str, Any] = {
    "san": lambda: SANNet("san-mini", default_prompt="brain"),
    "san official": lambda: SANNet("san-mini", default_prompt="brain", fusion="official"),
    "cris": lambda: CRISNet("cris-mini", default_prompt="brain", mask_padding=False),
    "unet": lambda: TargetUNet("unet-mini", targets=["brain", "white matter"], default_prompt="brain"),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_without_adapters(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    networks: list[PromptedNet] = [NETWORKS[kind]().eval() for _ in range(2)]
    bank = AdapterBank(networks[0].backbone)
    for name, network in zip("ab", networks, strict=True):
        bank.load(name, save(network, tmp_path / f"{name}.pt"))
    image = torch.randn(1, 3, networks[0].image_size, networks[0].image_size)
    with torch.no_grad():
        for name, network in zip("ab", networks, strict=True):
            torch.testing.assert_close(bank.network(name)(image), network(image), atol=1e-6, rtol=1e-5)
    frozen = set(networks[0].state_dict()) - set(networks[0].trained_names)
    places = [memory_of(bank.network(name)) for name in "ab"]
    assert {name for name in networks[0].state_dict() if places[0][name] == places[1][name]} == frozen
    assert bool(frozen) == kind.startswith("san")
