# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A slice and its neighbours on their way: from the file to the channels, through the network, in whole volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from monai_vlsm.adapters import DenseAdaptation, SliceContextAdaptation
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.data import ImageFileReader
from monai_vlsm.data.volumes import Address, EncodedSlices, middle_slice
from monai_vlsm.inferers import PromptInferer
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.serving import Segmenter
from monai_vlsm.transforms import NormalizeImaged, ToRGB
from tests import tiny
from tests.adapters.test_slice_context import opened

DENSE = DenseAdaptation("v", width=4)
SLICES = 7


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT whose slice n has the values 10 n to 10 n + 8."""
    values = np.arange(9).reshape(3, 3, 1) + 10 * np.arange(SLICES)
    path = tmp_path_factory.mktemp("volume") / "ct.nii.gz"
    nib.save(nib.Nifti1Image(values.astype(np.int16), np.diag([-1, -1, 3, 1])), path)
    return path


def read(file: Path, index: int, context: int) -> MetaTensor:
    reader = ImageFileReader()
    array, meta = reader.get_data(reader.read(str(Address(str(file), "axial", index, context))))
    return MetaTensor(torch.as_tensor(array if array.ndim == 3 else array[None]), meta=dict(meta))


@pytest.mark.parametrize("index", range(SLICES))
@pytest.mark.parametrize("context", [1, 2])
def test_neighbours_are_channels(context: int, index: int, file: Path) -> None:
    out = ToRGB((0, 100))(read(file, index, context))
    near = [min(max(index + step, 0), SLICES - 1) for step in (-context, 0, context)]
    assert out.shape == (3, 3, 3) and "context" not in out.meta
    assert (out[:, 0, 0] * 100).tolist() == pytest.approx([10.0 * one for one in near])


@pytest.mark.parametrize("context", [1, 2])
def test_slices_that_attend_have_three_channels_each(context: int, file: Path) -> None:
    slices = 2 * context + 1
    out = ToRGB((0, 100), slices)(read(file, 0, context))
    first = [10 * max(step, 0) for step in range(-context, context + 1)]
    assert (out[:, 0, 0] * 100).tolist() == pytest.approx([value for value in first for _ in range(3)])
    three = ToRGB([(0, 100), (0, 200), (0, 400)], slices)(read(file, 3, context))
    assert (three[-3:, 0, 0]).tolist() == pytest.approx([(30 + 10 * context) / high for high in (100, 200, 400)])
    assert (middle_slice(three)[:, 0, 0]).tolist() == pytest.approx([30 / high for high in (100, 200, 400)])


def test_an_image_without_neighbours_is_its_own(file: Path) -> None:
    out = ToRGB((0, 100), 3)(read(file, 3, 0))
    assert out.shape == (9, 3, 3) and (out[:, 0, 0] * 100).tolist() == pytest.approx([30] * 9)
    assert ToRGB(slices=3)(torch.zeros(1, 2, 2, 4)).shape == (3, 2, 2, 4)  # a volume has its neighbours


def test_another_number_of_slices_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match=r"ct\.nii\.gz|image: expected 3 slices, as the network takes, got 5"):
        ToRGB((0, 100), 3)(read(file, 3, 2))


def test_each_slice_is_normalised_alike() -> None:
    image = torch.rand(9, 2, 2)
    out = NormalizeImaged("image", (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))({"image": image})["image"]
    for at in range(3):
        alone = NormalizeImaged("image", (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))({"image": image[3 * at : 3 * at + 3]})
        assert torch.equal(out[3 * at : 3 * at + 3], alone["image"])


def network(backbone: Path, context: int, attend: bool) -> CLIPSegNet:
    torch.manual_seed(0)
    adaptation = SliceContextAdaptation(DENSE, context, 8) if attend else DENSE
    made = CLIPSegNet(backbone, adaptation, default_prompt="one polyp").eval()
    made.context = context
    return opened(made)


def one_by_one(made: CLIPSegNet, volume: Tensor, context: int, attend: bool) -> Tensor:
    """Each slice with its neighbours as training shows it."""
    last, logits = volume.shape[-1] - 1, []
    for index in range(last + 1):
        near = [volume[..., min(max(index + step, 0), last)] for step in range(-context, context + 1)]
        channels = torch.stack([near[0][0], near[context][1], near[-1][2]])
        logits.append(made((torch.cat(near) if attend else channels)[None])[0])
    return torch.stack(logits, dim=-1)


@pytest.mark.parametrize("attend", [False, True])
@pytest.mark.parametrize("context", [1, 2])
def test_whole_volumes(context: int, attend: bool, backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = network(backbone, context, attend), []
    states = made._vision_states
    monkeypatch.setattr(made, "_vision_states", lambda image: seen.append(len(image)) or states(image))
    volume = torch.randn(1, 3, tiny.SIZE, tiny.SIZE, SLICES)
    with torch.no_grad():
        found = PromptInferer(False, slice_batch=2, keep_slices=True)(volume, made)
        encoded = sum(seen)
        torch.testing.assert_close(found[0], one_by_one(made, volume[0], context, attend), rtol=1e-4, atol=1e-4)
    assert encoded == (SLICES + 2 * context if attend else SLICES)  # the ends are repeated
    assert found.std(dim=-1).max() > 0


def test_gradients_flow_through_the_neighbours(backbone: Path) -> None:
    made = network(backbone, 1, attend=True)
    image = torch.randn(2, 9, tiny.SIZE, tiny.SIZE, requires_grad=True)
    PromptInferer(False)(image, made).sum().backward()
    assert all(image.grad[:, 3 * at : 3 * at + 3].abs().sum() > 0 for at in range(3))  # type: ignore[index]


ROWS = [  # rows of slices, how many of each are encoded
    ([[0, 0, 1], [0, 1, 2], [1, 2, 3]], [3, 1, 1]),
    ([[0, 1, 2], [0, 1, 2], [5, 6, 7], [6, 7, 8]], [3, 0, 3, 1]),
    ([[4, 4, 4]], [3]),
]


@pytest.mark.parametrize(("rows", "new"), ROWS)
@pytest.mark.parametrize("keep", [False, True])
def test_slices_that_come_again_are_encoded_once(rows: Any, new: list[int], keep: bool) -> None:
    counts: list[int] = []

    def encode(slices: Tensor) -> Tensor:
        counts.append(len(slices))
        return slices[:, :, 0, 0] * 2

    given = torch.tensor(rows, dtype=torch.float32)[:, :, None, None, None].expand(-1, -1, 3, 2, 2)
    known = EncodedSlices(keep)
    assert torch.equal(known(given, encode), 2 * given[..., 0, 0]) and sum(counts) == sum(new)
    assert torch.equal(known(given[-1:], encode), 2 * given[-1:, ..., 0, 0])
    assert sum(counts[1:]) == (0 if keep else 3)
    known(given[-1:], encode, who="another network")
    assert counts[-1] == 3


def test_a_volume_through_the_segmenter(file: Path, backbone: Path, tmp_path: Path) -> None:
    """Slice by slice in batches: the same as the network makes of each slice by itself."""
    made = network(backbone, 1, attend=True)
    TrainedState(made, recorded={"window": [0.0, 100.0], "context": 1, "plane": "axial"})
    torch.save(TrainedState(made).state_dict(), tmp_path / "model.pt")
    segment = Segmenter(tmp_path / "model.pt", device="cpu", amp=False)
    result = segment(file, "one polyp")
    for index in (0, 3, SLICES - 1):
        record = {"image": str(Address(str(file), "axial", index, 1)), "prompt": "one polyp", "name": "a"}
        data: Any = segment._before(record)
        assert data["image"].shape == (9, tiny.SIZE, tiny.SIZE)
        with torch.no_grad():
            logits = made(data["image"].as_tensor()[None], data["input_ids"][None], data["attention_mask"][None])
        mask = segment._after({**data, "pred": MetaTensor(logits[0]).copy_meta_from(data["image"])})["pred"] >= 0.5
        assert np.array_equal(np.asarray(result.masks)[0, :, :, index].T, mask[0].numpy())
