# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which files may be shared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.adapters import FineTuning
from monai_vlsm.backbones import BackboneNotFoundError
from monai_vlsm.checkpoints import (
    SETTINGS_KEY,
    ModelMismatchError,
    TrainedState,
    read,
    seal,
    tensors_of,
)
from monai_vlsm.hub import HubError, push, read_adapters, write_upload
from monai_vlsm.hub.files import check_architecture, write_adapters
from monai_vlsm.networks import CLIPSegNet, SANNet, TargetUNet
from tests.hub.standin import TOKEN, Hub

State = dict[str, Any]
REPO = "anna/polyp"


class Evil:
    """Pickled code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran_the_code",)


def changed(key: str, value: Any) -> Callable[[State], Any]:
    return lambda state: {**state, key: value}


def settings(**values: Any) -> Callable[[State], Any]:
    return lambda state: {**state, SETTINGS_KEY: {**state[SETTINGS_KEY], **values}}


def without_first(state: State) -> State:
    return dict(list(state.items())[1:])


def with_the_base(state: State) -> State:
    network = CLIPSegNet(state[SETTINGS_KEY]["backbone"])
    return {**network.state_dict(), **state}


def sealed(content: Any) -> Any:
    """Content with new checksums, where there can be any."""
    try:
        return seal(content)
    except (AttributeError, TypeError):
        return content


BAD = {  # more of what `read` refuses: tests/checkpoints
    "code": (changed("x", Evil()), "could run code; it was not opened"),
    "half a fingerprint": (settings(base="abc"), "its fingerprint of the base is 'abc'"),
    "settings with a tensor": (settings(x=torch.ones(1)), "the unknown setting x"),
    "no tensor": (lambda state: {SETTINGS_KEY: state[SETTINGS_KEY]}, "holds no tensor"),
    "the base too": (with_the_base, r"holds \d+ weights of the frozen base"),
    "an entry missing": (without_first, "1 missing and 0 unexpected"),
    "an entry too much": (changed("x", torch.ones(1)), r"unexpected \['x'\]"),
    "an unknown network": (settings(network="Transformer"), "another network: .* Transformer"),
    "another width": (settings(adaptation={"type": "DenseAdaptation", "width": 5}), "must be .*, and is "),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_bad_files(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[State], Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    state = torch.load(tiny_file, weights_only=True)
    torch.save(sealed(change(state)), "bad.pt")
    with pytest.raises(ModelMismatchError, match=message):
        write_upload("bad.pt", REPO, tmp_path / "out")
    assert not (tmp_path / "ran_the_code").exists()
    assert not (tmp_path / "out").exists()


def save(network: torch.nn.Module, path: Path) -> Path:
    torch.save(TrainedState(network).state_dict(), path)
    return path


def test_whole_networks_are_not_adapters(backbone: Path, tmp_path: Path) -> None:
    full = save(CLIPSegNet(backbone, FineTuning("full")), tmp_path / "full.pt")
    unet = save(TargetUNet("unet-mini", targets=["polyp"]), tmp_path / "unet.pt")
    for path in (full, unet):
        with pytest.raises(ModelMismatchError, match="push_to_hf_hub"):
            read_adapters(path)


def test_nothing_is_sent_of_a_bad_file(hub: Hub, tiny_file: Path, tmp_path: Path) -> None:
    torch.save(with_the_base(torch.load(tiny_file, weights_only=True)), tmp_path / "bad.pt")
    with pytest.raises(ModelMismatchError):
        push(tmp_path / "bad.pt", REPO, token=TOKEN, endpoint=hub.url)
    assert hub.requests == []


def test_side_networks_are_adapters(tmp_path: Path) -> None:
    path = save(SANNet("san-mini", load_weights=False), tmp_path / "model.pt")
    write_upload(path, REPO, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "on top of SAN" in card
    assert "Side Adapter Network" in card
    assert "VLSM-Adapter" not in card


def test_hidden_memory_and_paths_stay_here(tiny_file: Path, tmp_path: Path) -> None:
    state = torch.load(tiny_file, weights_only=True)
    name = next(iter(state))
    secret = torch.full((state[name].numel() + 100_000,), 7.0)
    secret[: state[name].numel()] = state[name].flatten()
    state[name] = secret[: state[name].numel()].view(state[name].shape)
    torch.save(seal(state), tiny_file)
    assert tiny_file.stat().st_size > 400_000
    adapters = read_adapters(tiny_file)
    check_architecture(tiny_file, adapters)
    write_adapters(adapters, tmp_path / "new.pt")
    assert (tmp_path / "new.pt").stat().st_size < tiny_file.stat().st_size - 380_000
    new = torch.load(tmp_path / "new.pt", weights_only=True)
    assert all(torch.equal(new[key], value) for key, value in tensors_of(adapters).items())
    backbone = state[SETTINGS_KEY]["backbone"]
    settings = {key: value for key, value in state[SETTINGS_KEY].items() if key != "checksums"}
    assert read(tmp_path / "new.pt")[SETTINGS_KEY] == {**settings, "backbone": Path(backbone).name}
    assert backbone.encode() not in (tmp_path / "new.pt").read_bytes()


def test_a_backbone_that_is_gone(tiny_file: Path, tmp_path: Path) -> None:
    state = torch.load(tiny_file, weights_only=True)
    torch.save(seal(settings(backbone="/gone/away")(state)), tmp_path / "model.pt")
    with pytest.raises(BackboneNotFoundError, match="/gone/away"):
        write_upload(tmp_path / "model.pt", REPO, tmp_path / "out")


def test_errors_are_for_users(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="give OWNER/NAME"):
        write_upload(tmp_path / "none.pt", "polyp", tmp_path)
