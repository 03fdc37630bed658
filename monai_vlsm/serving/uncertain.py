# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How sure a prediction is: a map of entropy and a number for each mask, slice by slice."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from PIL import Image
from torch import Tensor

from monai_vlsm.data.volumes import from_stack
from monai_vlsm.networks import PromptedNet
from monai_vlsm.outputs import Outputs
from monai_vlsm.transforms import PromptPostprocessing
from monai_vlsm.transforms.naming import is_nifti
from monai_vlsm.transforms.save import file_stem, mask_stems, write_nifti
from monai_vlsm.transforms.volume_masks import VolumeMasks
from monai_vlsm.uncertainty import Doubt, binary_entropy, entropy_codes, make_members
from monai_vlsm.uncertainty.entropy import STEPS

__all__ = ["Doubter", "Uncertainty", "UncertaintyOfOne", "save_maps", "uncertainty_files"]

FOLDER = "uncertainty"


@dataclass(frozen=True, repr=False)
class Uncertainty:
    """How sure K masks are.

    Args:
        codes: maps with the axes of the file, uint8, 255 for an entropy of one bit: one for each prompt, or one for all
            where several prompts name one thing.
        numbers: K numbers from 0 to 1, see `monai_vlsm.uncertainty.Doubt`.
        predictions: of how many predictions each is.
    """

    codes: Sequence[np.ndarray]
    numbers: Sequence[float]
    predictions: Sequence[int]

    def entropy(self, prompt: int = 0) -> np.ndarray:
        """The map of a prompt in bits, float32, to 1/255 bit."""
        return np.asarray(self.codes[prompt if len(self.codes) > 1 else 0], np.float32) / STEPS


class Doubter:
    """Makes the predictions that an uncertainty comes from.

    Args:
        method: one of `monai_vlsm.uncertainty.METHODS`; with ``prompts`` all prompts of a record name one thing.
        network: on its device, in evaluation mode.
        before: the transforms in front of it.
        amp: mixed precision.
        draws: for ``dropout``: how many.
        seed: of the draws.
        amp_dtype: type of the mixed precision on a GPU.

    Raises:
        UncertaintyError: the network has no such uncertainty.
    """

    def __init__(
        self,
        method: str,
        network: PromptedNet,
        before: Compose,
        amp: bool = True,
        draws: int = 10,
        seed: int = 0,
        amp_dtype: str = "bfloat16",
    ) -> None:
        self.method, self.members = method, make_members(method, network, amp, draws, seed, amp_dtype)
        self.device = next(network.parameters()).device
        self.after = PromptPostprocessing(before, temperature=network.temperature)

    def ways(self, prompts: Sequence[str]) -> list[Sequence[str]]:
        """Prompts by what they name."""
        return [prompts] if self.method == "prompts" else [[prompt] for prompt in prompts]

    def require(self, prompts: Sequence[str]) -> None:
        """Check, before any work, that prompts have an uncertainty of this kind.

        Raises:
            UncertaintyError: they have not.
        """
        self.members.require([self.ways(prompts)])

    def begin(self, prompts: Sequence[str], name: str, masks: VolumeMasks | None = None) -> UncertaintyOfOne:
        """For one image or volume.

        Args:
            prompts: K texts.
            name: of the record.
            masks: of a volume.
        """
        return UncertaintyOfOne(self, prompts, name, masks)


class UncertaintyOfOne:
    """The uncertainty of one image or volume; the maps of a volume are on the disk while it is worked on.

    Args:
        doubter: what predicts.
        prompts: K texts.
        name: of the record.
        masks: of a volume.
    """

    def __init__(self, doubter: Doubter, prompts: Sequence[str], name: str, masks: VolumeMasks | None) -> None:
        self._doubter, self._name, self._masks = doubter, name, masks
        self._ways, self._doubt = doubter.ways(prompts), Doubt(len(prompts))
        self._prompts, self._counts = len(prompts), [1] * len(prompts)
        self._codes: Sequence[np.ndarray] = ()
        self._batches = 0
        if masks is not None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115, gone with this object

    def means(self, batch: Sequence[Mapping[str, Any]], logits: Sequence[Tensor]) -> list[Tensor]:
        """Mean probabilities of each image of a batch, ``(M, ...)`` at the size of the file.

        Args:
            batch: what the network took.
            logits: what it answered, ``(K, S, S[, D])`` each.
        """
        device, members = self._doubter.device, self._doubter.members
        image = torch.stack([data["image"].as_tensor() for data in batch]).to(device)
        plain = torch.stack([torch.as_tensor(one).float() for one in logits]).to(device).sigmoid()
        found = members(image, self._ways, plain[:, : len(self._ways)], f"{self._name} {self._batches}")
        self._batches += 1
        self._counts = [count for count, names in zip(found.counts, self._ways, strict=True) for _ in names]
        return [self._at_file(data, one) for data, one in zip(batch, found.probabilities, strict=True)]

    def _at_file(self, data: Mapping[str, Any], mean: Tensor) -> Tensor:
        logits = MetaTensor(torch.logit(mean)).copy_meta_from(data["image"])
        found: Any = self._doubter.after({**data, "pred": logits})
        probabilities: Tensor = found["pred"].as_tensor().float().cpu()
        return probabilities

    def add(self, mean: Tensor, masks: Tensor, index: int | None = None) -> None:
        """Put in an image, or a slice of a volume.

        Args:
            mean: one of `means`.
            masks: 0 and 1, ``(K, ...)``.
            index: of the slice.
        """
        self._doubt.add(mean.expand(self._prompts, *mean.shape[1:]), masks)
        codes = entropy_codes(binary_entropy(mean))
        if index is None or self._masks is None:
            self._codes = list(codes)
            return
        for number, one in enumerate(codes):
            self._file.seek((number * self._masks.stack_shape[0] + index) * one.size)
            self._file.write(one.tobytes())

    def result(self) -> Uncertainty:
        """When all is in."""
        codes = self._codes
        if self._masks is not None:
            self._file.flush()
            stacks = np.memmap(self._file, np.uint8, "r", shape=(len(self._ways), *self._masks.stack_shape))
            codes = [from_stack(one, self._masks.affine, self._masks.plane) for one in stacks]
        return Uncertainty(codes, self._doubt.numbers, self._counts)


def uncertainty_files(record: Mapping[str, Any], method: str) -> list[str]:
    """The files that `save_maps` writes for a record ``{"name", "image": path, "prompt"}``, by their paths."""
    prompts = [record["prompt"]] if isinstance(record["prompt"], str) else record["prompt"]
    return _files(record["name"], prompts, 1 if method == "prompts" else len(prompts), is_nifti(record["image"]))


def _files(name: str, prompts: Sequence[str], maps: int, nifti: bool) -> list[str]:
    stems = mask_stems(name, prompts)[:maps] if maps == len(prompts) else [file_stem(name, "image")]
    return [f"{FOLDER}/{stem}{'.nii.gz' if nifti else '.png'}" for stem in stems]


def save_maps(
    found: Uncertainty, outputs: Outputs, name: str, prompts: Sequence[str], affine: np.ndarray | None
) -> None:
    """Write maps of entropy: PNG, where 255 is one bit, or NIfTI in bits.

    Args:
        found: the maps.
        outputs: the folder of the results; they go to ``uncertainty`` in it.
        name: of the record.
        prompts: K texts.
        affine: of NIfTI; None for an image.

    Raises:
        NotOursError: a file that monai_vlsm did not write has the name of one of them.
        WriteError: they cannot be written.
    """
    files = _files(name, prompts, len(found.codes), affine is not None)
    for file, codes in zip(files, found.codes, strict=True):
        with outputs.writing(file) as path:
            if affine is None:
                Image.fromarray(codes).save(path, format="PNG")
            else:
                image = nibabel.Nifti1Image(codes, affine)
                image.header.set_slope_inter(1 / STEPS, 0)
                write_nifti(image, path)
