# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What was trained of a network as a state to save, and the checks on loading one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.module import _IncompatibleKeys

from monai_vlsm.adapters import base_fingerprint, tensors_digest
from monai_vlsm.checkpoints.content import (
    FORMAT,
    REMEMBERED,
    SETTINGS_KEY,
    ModelMismatchError,
    seal,
    tensors_of,
    verify,
)
from monai_vlsm.checkpoints.reading import ModelNotFoundError, naming, read
from monai_vlsm.counts import counted

__all__ = ["TrainedState", "load_trained"]

# settings that may differ between a file and the network that it is loaded into
# the fingerprint of the base says whether backbone and decoder are those of the file, wherever they are
_FREE = {"format", "base", "backbone", "decoder", "image_size", "default_prompt", "existence_threshold"}
_FREE |= {"temperature", *REMEMBERED}


class TrainedState:
    """What was trained of a network, as an object with ``state_dict`` and ``load_state_dict``.

    Give it to handlers that save or load: ``CheckpointSaver(save_dict={"model": TrainedState(network)})``. The state is
    flat, the name of each entry to its tensor, plus `SETTINGS_KEY` to plain values, a checksum of each entry among
    them, so it loads with ``torch.load(weights_only=True)`` and with MONAI's own loaders. For a network with adapters
    it holds only them.

    Args:
        network: a network with ``trained_names``, the entries of its state to hold, and a method ``settings()`` that
            returns plain values (`monai_vlsm.networks.PromptedNet`); or its DistributedDataParallel wrapper.
        fingerprint: `base_fingerprint` of the network, for whoever knows it. None computes it when it is needed.
        recorded: what the network shall record of `RECORDED`, as a run decided it; None leaves it as it is.
    """

    def __init__(
        self, network: nn.Module, fingerprint: str | None = None, recorded: Mapping[str, Any] | None = None
    ) -> None:
        self.network: Any = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
        self._fingerprint = fingerprint
        for name, value in (recorded or {}).items():
            setattr(self.network, name, value)

    @property
    def fingerprint(self) -> str:
        """`base_fingerprint` of the network, computed once: the base is frozen."""
        if self._fingerprint is None:
            known = getattr(self.network, "float32_fingerprints", {}).get("")
            self._fingerprint = known or base_fingerprint(self.network, self.network.trained_names)
        return self._fingerprint

    @property
    def existence_threshold(self) -> float:
        """Least existence score of a mask (`monai_vlsm.transforms.ExistenceScored`); 0 where none was set."""
        return float(self.network.existence_threshold)

    @existence_threshold.setter
    def existence_threshold(self, value: float) -> None:
        self.network.existence_threshold = value

    @property
    def temperature(self) -> float:
        """What logits are divided by (`monai_vlsm.transforms.Temperatured`); 1 where none was set."""
        return float(self.network.temperature)

    @temperature.setter
    def temperature(self, value: float) -> None:
        self.network.temperature = value

    def settings(self) -> dict[str, Any]:
        """What ``model.pt`` says about the network, as plain values."""
        return {"format": FORMAT, "base": self.fingerprint, **self.network.settings()}

    def digest(self) -> str:
        """`tensors_digest` of what was trained: the same for the network and for any file that was saved from it."""
        state = self.network.state_dict()
        return tensors_digest({name: state[name] for name in self.network.trained_names})

    def state_dict(self) -> dict[str, Any]:
        """The trained tensors on the CPU, and the settings with checksums under `SETTINGS_KEY`."""
        state = self.network.state_dict()
        tensors: dict[str, Any] = {name: state[name].detach().cpu().clone() for name in self.network.trained_names}
        return seal({**tensors, SETTINGS_KEY: self.settings()})

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> _IncompatibleKeys:
        """Copy trained tensors into the network, after checking that they belong to it.

        The existence threshold and the temperature of the file become those of the network, 0 and 1 if the file has
        none; so does what it records of volumes and precision (`REMEMBERED`), unless the network has been told already.
        To load a state whose values were changed on purpose, give it new checksums (`monai_vlsm.checkpoints.seal`).

        Args:
            state: what `state_dict` returned; it must always be complete.
            strict: only says what is returned.
            assign: as in ``torch.nn.Module``.

        Returns:
            As torch does, the keys that are missing and those that are unexpected: of all that was trained none; with
            ``strict=False`` the base, which such a state does not hold, counts as missing.

        Raises:
            ModelMismatchError: when a value does not fit its checksum, or base, settings, keys or shapes differ. The
                message says which.
        """
        self.check(state)
        loaded = nn.Module.load_state_dict(self.network, tensors_of(state), strict=False, assign=assign)
        self.existence_threshold = float(state[SETTINGS_KEY].get("existence_threshold", 0.0))
        self.temperature = float(state[SETTINGS_KEY].get("temperature", 1.0))
        for name in REMEMBERED:
            if getattr(self.network, name, None) is None:
                setattr(self.network, name, state[SETTINGS_KEY].get(name))
        return _IncompatibleKeys([], []) if strict else loaded

    def check(self, state: Mapping[str, Any]) -> None:
        """Check that trained tensors belong to the network; nothing is copied.

        Raises:
            ModelMismatchError: when base, settings, keys, shapes or kinds of numbers differ. The message says which.
        """
        content = verify(state)
        self._check_settings(content[SETTINGS_KEY])
        self.check_tensors(content)

    def check_file(self, path: str | Path | None) -> None:
        """`check` of a file, before a training that begins with it; nothing without a file.

        Raises:
            ModelMismatchError: as `check`, with the name of the file; or it cannot be read.
        """
        if path:
            state = read(path)
            with naming(path):
                self.check(state)

    def check_tensors(self, state: Mapping[str, Any]) -> None:
        """The part of `check` that needs no values of the base: names, shapes and kinds of numbers.

        Raises:
            ModelMismatchError: when they differ from those that the network trains.
        """
        tensors, own, expected = tensors_of(state), self.network.state_dict(), set(self.network.trained_names)
        frozen = set(tensors) & (set(own) - expected)
        if frozen:
            raise ModelMismatchError(
                f"a model file that holds {counted(len(frozen), 'weight')} of the frozen base too, the first is "
                f"{min(frozen)}; give the model.pt that training wrote, with adapters only"
            )
        missing, unexpected = sorted(expected - set(tensors)), sorted(set(tensors) - expected)
        if missing or unexpected:
            raise ModelMismatchError(
                f"a model file with {len(missing)} missing and {len(unexpected)} unexpected entries: "
                f"missing {missing[:3]}, unexpected {unexpected[:3]}. The file is damaged or of another network"
            )
        for name, value in tensors.items():
            if value.shape != own[name].shape or value.is_floating_point() != own[name].is_floating_point():
                raise ModelMismatchError(
                    f"a model file whose {name} must be {tuple(own[name].shape)} of {own[name].dtype}, and is "
                    f"{tuple(value.shape)} of {value.dtype}. The file is damaged or of another network"
                )

    def _check_settings(self, saved: Mapping[str, Any]) -> None:
        mine = self.network.settings()
        for key in (key for key in mine if key not in _FREE):
            if saved.get(key) != mine[key]:
                raise ModelMismatchError(
                    f"a model of another {key}: the file was trained with {saved.get(key)} "
                    f"(base {_short(saved['base'])}), this network has {mine[key]} (base {_short(self.fingerprint)}). "
                    f"Build the network with the file's {key}"
                )
        unknown = sorted(saved.keys() - mine.keys() - _FREE)
        if unknown:
            raise ModelMismatchError(f"a model with the setting {', '.join(unknown)}, which this network does not know")
        if saved["base"] != self.fingerprint:
            raise ModelMismatchError(
                f"a model of another base: the file was trained on {saved['backbone']} with fingerprint "
                f"{_short(saved['base'])}, this network is {mine['backbone']} with fingerprint "
                f"{_short(self.fingerprint)}. Load it on the backbone that it was trained on"
            )


def _short(fingerprint: str) -> str:
    return fingerprint[:12] or "none: everything trained"


def load_trained(network: nn.Module, path: str | Path, bundle: str = "bundles/vlsm_dense") -> None:
    """Load a ``model.pt`` into the network that it belongs to.

    Args:
        network: a `monai_vlsm.networks.PromptedNet`, or its DistributedDataParallel wrapper.
        path: a ``model.pt``.
        bundle: folder of the bundle that would make the file, for the message of the error.

    Raises:
        ModelNotFoundError: when there is no such file; the error says how to make it.
        ModelMismatchError: when the file belongs to another network.
    """
    if not Path(path).is_file():
        raise ModelNotFoundError(
            f"no trained model at {path}. Train it: "
            f"python -m monai.bundle run --config_file {bundle}/configs/train.json, "
            "or say where it is (--model_file FILE, --bundle_root FOLDER), or go without training (--zero_shot True)"
        )
    state = read(path)
    with naming(path):
        TrainedState(network).load_state_dict(state)
