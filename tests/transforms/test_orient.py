# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the patient's front and right end up, and that everything comes back."""

from __future__ import annotations

import pickle

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_vlsm.data.volumes import to_stack
from monai_vlsm.transforms import (
    OrientVolume,
    OrientVolumeD,
    OrientVolumed,
    OrientVolumeDict,
)
from tests.transforms.geometry import affine, volume

CODES = ["RAS", "LPS", "PLS", "LAS", "SRP", "AIR", "IPL"]
VIEWS = [  # through-plane direction of a single slice, codes of the result
    ("RAS", "PLS"),
    ("LPI", "PLI"),
    ("RSA", "ILA"),
    ("LIP", "ILP"),
    ("ASR", "IPR"),
    ("PIL", "IPL"),
]


@pytest.mark.parametrize("codes", CODES)
def test_volumes_are_turned_to_axial_slices(codes: str) -> None:
    source = volume(codes, (3, 4, 5))
    out = OrientVolume()(source)
    assert "".join(nib.orientations.aff2axcodes(out.affine.numpy())) == "PLS"
    reference = nib.Nifti1Image(source[0].numpy(), source.affine.numpy())
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(reference.affine), nib.orientations.axcodes2ornt("PLS")
    )
    expected = reference.as_reoriented(turn)
    assert np.array_equal(out[0].numpy(), expected.get_fdata())
    assert np.allclose(out.affine.numpy(), expected.affine)


def test_front_is_on_top_and_the_right_side_on_the_left() -> None:
    source = torch.zeros(1, 4, 5, 3)  # RAS: x to the right, y to the front, z up
    source[0, 3, 4, 2] = 1  # right, front, top
    out = OrientVolume()(MetaTensor(source, affine=affine("RAS")))
    assert out.shape == (1, 5, 4, 3)
    assert out[0, 0, 0, 2] == 1


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 1), (3, 4)])
def test_inverse_gives_the_same_array(codes: str, shape: tuple[int, ...]) -> None:
    source = volume(codes, shape)
    transform = OrientVolume()
    restored = transform.inverse(transform(source))
    assert torch.equal(restored.as_tensor(), source.as_tensor())
    assert torch.allclose(restored.affine, source.affine)
    assert restored.applied_operations == []
    assert torch.allclose(source.affine, affine(codes))  # the input is left alone


@pytest.mark.parametrize("shape", [(3, 4, 1), (3, 4)])
@pytest.mark.parametrize(("codes", "expected"), VIEWS)
def test_a_single_slice_keeps_its_plane(codes: str, expected: str, shape: tuple[int, ...]) -> None:
    out = OrientVolume()(volume(codes, shape))
    assert "".join(nib.orientations.aff2axcodes(out.affine.numpy())) == expected
    assert sorted(out.shape[1:3]) == [3, 4]
    assert out.ndim == 1 + len(shape)


def test_a_single_slice_along_another_axis() -> None:
    out = OrientVolume()(volume("RAS", (1, 4, 5)))
    assert out.shape == (1, 5, 4, 1)
    assert "".join(nib.orientations.aff2axcodes(out.affine.numpy())) == "IPR"


def test_affine_towards_left_posterior() -> None:
    source = volume("RAS", (3, 4, 5))
    source.meta["space"] = "LPS"  # the same numbers now mean L, P, S
    transform = OrientVolume()
    out = transform(source)
    assert torch.equal(out.as_tensor(), OrientVolume()(volume("LPS", (3, 4, 5))).as_tensor())
    assert torch.equal(transform.inverse(out).as_tensor(), source.as_tensor())


UNTOUCHED = [
    torch.rand(3, 4, 5),
    torch.rand(1, 4, 5, 6),  # no meta: nothing is known of the axes
    MetaTensor(torch.rand(3, 4, 5), meta={"filename_or_obj": "a.png"}),
    MetaTensor(torch.rand(3, 4, 5), affine=affine("LPS"), meta={"filename_or_obj": "a.dcm"}),
    MetaTensor(torch.rand(3, 4, 5)),
]


@pytest.mark.parametrize("image", UNTOUCHED)
def test_images_pass_untouched(image: torch.Tensor) -> None:
    transform = OrientVolume()
    out = transform(image)
    assert out is image
    assert transform.inverse(out) is image
    assert getattr(out, "applied_operations", []) == []


def test_singular_affine() -> None:
    broken = MetaTensor(torch.zeros(1, 2, 2, 2), affine=torch.diag(torch.tensor([1.0, 0, 1, 1])))
    broken.meta["filename_or_obj"] = "a.nii"
    with pytest.raises(ValueError, match=r"a.nii: the affine must map three axes, got \[\[1.0, 0.0"):
        OrientVolume()(broken)


def test_pickles() -> None:
    record = {"image": volume("RAS", (5, 6, 3))}
    transform = OrientVolumed("image")
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy(record)["image"], transform(record)["image"])


def test_missing_key() -> None:
    with pytest.raises(KeyError, match="image"):
        OrientVolumed("image")({})
    assert OrientVolumed("image", allow_missing_keys=True)({}) == {}


def test_aliases() -> None:
    assert OrientVolumeD is OrientVolumeDict is OrientVolumed


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_planes_are_those_of_stacks(plane: str) -> None:
    array, turn = np.random.default_rng(0).normal(size=(4, 5, 6)), np.diag([-1.0, 2.0, 3.0, 1.0])
    image = MetaTensor(array[None], affine=turn, meta={"xyzt_units": 2})
    transform = OrientVolume(plane)
    turned = transform(image)
    assert np.array_equal(turned[0].numpy().transpose(2, 0, 1), to_stack(array, turn, plane))
    assert np.array_equal(transform.inverse(turned)[0].numpy(), array)


def test_unknown_plane() -> None:
    with pytest.raises(ValueError, match=r"'oblique'.*coronal"):
        OrientVolume("oblique")
