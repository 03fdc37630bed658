# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.checkpoints import (
    SETTINGS_KEY,
    ModelMismatchError,
    ModelNotFoundError,
    read,
    read_settings,
    run_settings,
    seal,
)

SETTINGS = {
    "format": 3,
    "network": "CLIPSegNet",
    "backbone": "b",
    "base": "0" * 64,
    "image_size": 32,
    "default_prompt": "",
}
MODEL = seal({"weight": torch.ones(40, 40), SETTINGS_KEY: SETTINGS})


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def write_pickle(file: Path) -> None:
    file.write_bytes(pickle.dumps({"weight": Trap(file.parent / "trap"), SETTINGS_KEY: SETTINGS}))


def write_pickle_in_an_archive(file: Path) -> None:
    torch.save({**MODEL, "trap": Trap(file.parent / "trap")}, file)


def write_truncated(file: Path) -> None:
    torch.save(MODEL, file)
    file.write_bytes(file.read_bytes()[:-2000])


def write_torchscript(file: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), file)


def saver(content: Any) -> Callable[[Path], None]:
    return lambda file: torch.save(content, file)


BAD = {
    "pickle": (write_pickle, "could run code; it was not opened"),
    "pickle in an archive": (write_pickle_in_an_archive, "could run code; it was not opened"),
    "truncated": (write_truncated, "it is damaged or cannot be read"),
    "empty": (Path.touch, "it is damaged or of another kind: EOFError"),
    "TorchScript": (write_torchscript, "it would unpack to more than it is"),
    "a training state": (saver({"epoch": 3, "rng": torch.ones(3)}), "it holds 'epoch', 'rng', and no such entry"),
    "weights": (saver({"weight": torch.ones(2)}), "a plain state_dict: it holds 'weight', and no entry"),
    "an empty dict": (saver({}), "it holds nothing, and no such entry"),
    "a tensor": (saver(torch.ones(2)), "it holds a Tensor"),
    "a list": (saver([1, 2]), "it holds a list"),
    "settings of another kind": (saver({SETTINGS_KEY: 3}), "its entry 'monai_vlsm' is a int"),
    "a number among tensors": (saver({**MODEL, "bias": 3}), "'bias' is not a plain tensor"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:.*torch.jit")
def test_bad_files(kind: str, tmp_path: Path) -> None:
    write, message = BAD[kind]
    write(tmp_path / "model.pt")
    with pytest.raises(ModelMismatchError, match=rf"model\.pt is not a model file of monai_vlsm.*{message}.*Train"):
        read(tmp_path / "model.pt")
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("key", [key for key in SETTINGS if key != "format"])
def test_incomplete_settings(key: str, tmp_path: Path) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != key}
    torch.save({**MODEL, SETTINGS_KEY: settings}, tmp_path / "model.pt")
    with pytest.raises(ModelMismatchError, match=f"'{key}' in its entry 'monai_vlsm' must be of type .*, got None"):
        read(tmp_path / "model.pt")


def test_files_that_unpack_to_more_than_they_are(tmp_path: Path) -> None:
    """Parts that are compressed or lie over each other, and one number that stands for many."""
    torch.save({"weight": torch.zeros(2**20), SETTINGS_KEY: SETTINGS}, tmp_path / "plain.pt")
    plain = zipfile.ZipFile(tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for one in plain.infolist():
            packed.writestr(one.filename, plain.read(one))
    with pytest.raises(ModelMismatchError, match=r"packed\.pt is not a model file .* unpack to more than it is"):
        read(tmp_path / "packed.pt")
    torch.save({"weight": torch.zeros(1).expand(10**6, 10**6), SETTINGS_KEY: SETTINGS}, tmp_path / "wide.pt")
    with pytest.raises(ModelMismatchError, match="its entry 'weight' is not a plain tensor"):
        read(tmp_path / "wide.pt")


def test_round_trip(tmp_path: Path) -> None:
    torch.save(MODEL, tmp_path / "model.pt")
    state = read(tmp_path / "model.pt")
    assert state.keys() == MODEL.keys()
    assert torch.equal(state["weight"], torch.ones(40, 40))
    assert state[SETTINGS_KEY] == read_settings(tmp_path / "model.pt") == SETTINGS


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model file at .*model\.pt: there is no such file"):
        read(tmp_path / "model.pt")
    with pytest.raises(ModelNotFoundError, match="it is a folder"):
        read(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(MODEL, tmp_path / "model.pt")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(ModelMismatchError, match=r"model\.pt.*it is damaged or cannot be read: Permission denied"):
        read(tmp_path / "model.pt")


def test_a_resumed_run_says_what_its_network_is(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "objects": {"model": MODEL}}, tmp_path / "last.pt")
    torch.save(seal({SETTINGS_KEY: {**SETTINGS, "backbone": "c"}}), tmp_path / "model.pt")
    assert run_settings(tmp_path / "last.pt", tmp_path / "model.pt") == SETTINGS
    assert run_settings(None, tmp_path / "model.pt")["backbone"] == "c"
    assert run_settings(None, None) == run_settings(tmp_path / "no.pt", tmp_path / "model.pt") == {}
    torch.save({"epoch": 1, "objects": {"model": torch.nn.Linear(2, 2).state_dict()}}, tmp_path / "toy.pt")
    assert run_settings(tmp_path / "toy.pt") == {}
    (tmp_path / "last.pt").write_bytes(b"no state")
    with pytest.raises(ModelMismatchError, match=r"last\.pt is damaged or not a training state .*without --resume"):
        run_settings(tmp_path / "last.pt")
