# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes are segmented slice by slice, in every format, and the masks lie on the grid of the file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
import pytest
import torch

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.data.volumes import open_stack, volume_files
from monai_vlsm.data.volumes.store import STACK, store_folder
from monai_vlsm.inferers import PromptInferer
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.outputs import PREDICTIONS, Outputs
from monai_vlsm.samples import sample_dir
from monai_vlsm.serving import Segmenter, UnfinishedError, find_records, predict_records
from monai_vlsm.serving.pipeline import preprocessing
from monai_vlsm.serving.records import OutputFolderError, Worklist, require_output
from monai_vlsm.transforms import PromptPostprocessing
from tests.data.volumes.series import canonical, slice_datasets, write_series
from tests.folders import visible
from tests.serving.images import write_model
from tests.serving.test_batches import infer

PROMPTS = ["brain", "white matter"]


@pytest.fixture(scope="module")
def segment() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(CLIPSegNet("clipseg-mini", DenseAdaptation("vl", width=4), default_prompt="brain"), device="cpu")


@pytest.fixture(scope="module")
def head() -> nib.Nifti1Image:
    """Nine slices of the sample, int16, with axes to the left, the back and the head."""
    volume = nib.load(sample_dir() / "volume.nii.gz").slicer[:, :, 30:39]
    codes = nib.orientations.axcodes2ornt("LPS")
    turned = volume.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(volume.affine), codes))
    values = np.asarray(turned.dataobj)
    image = nib.Nifti1Image((values / values.max() * 1000).astype(np.int16), turned.affine)
    image.set_sform(turned.affine, 1)
    return image


@pytest.fixture(scope="module")
def nifti(head: nib.Nifti1Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("nifti") / "head.nii.gz"
    nib.save(head, path)
    return path


def whole(segment: Segmenter, path: Path) -> np.ndarray:
    """Probabilities of a volume that goes through all steps at once."""
    before = preprocessing(segment.network)
    data: Any = before({"image": str(path), "prompt": PROMPTS, "name": "head"})
    tokens = {key: data[key][None] for key in ("input_ids", "attention_mask")}
    with torch.no_grad():
        logits = PromptInferer()(data["image"][None], segment.network, **tokens)[0]
    return np.asarray(PromptPostprocessing(before)({**data, "pred": logits})["pred"])


def test_masks_are_those_of_the_volume_at_once(segment: Segmenter, nifti: Path) -> None:
    """But for rounding: the size of a matrix product changes with the number of prompts in it."""
    result, expected = segment(nifti, PROMPTS), whole(segment, nifti)
    assert result.probabilities is None
    masks = np.asarray(result.masks)
    differ = masks != (expected >= 0.5)
    assert np.abs(expected[differ] - 0.5).max(initial=0) < 0.01
    assert differ.mean() < 1e-3
    assert result.pixels == [int(mask.sum()) for mask in masks]
    assert result.view.slice == int(masks.any(axis=0).sum(axis=(0, 1)).argmax()) + 1
    assert result.view.ends is not None and (result.view.ends.left, result.view.ends.top) == ("R", "A")
    assert result.areas == [pytest.approx(8 * count) for count in result.pixels]


def copies(head: nib.Nifti1Image, folder: Path) -> dict[str, Path]:
    """The same volume in other formats."""
    folder.mkdir(exist_ok=True)
    nib.save(head, folder / "copy.nii")
    image = itk.imread(str(folder / "copy.nii"))
    (folder / "copy.nii").unlink()
    for name in ("a.nrrd", "b.mha"):
        itk.imwrite(image, str(folder / name))
    series = write_series(folder / "series", slice_datasets(np.asarray(head.dataobj), head.affine))
    return {"nrrd": folder / "a.nrrd", "mha": folder / "b.mha", "dicom": series}


def test_every_format_gives_the_same_masks(
    segment: Segmenter, head: nib.Nifti1Image, nifti: Path, tmp_path: Path
) -> None:
    expected = np.asarray(segment(nifti, PROMPTS).masks)
    for kind, path in copies(head, tmp_path / "in").items():
        found = segment(path, PROMPTS)
        predict_records(segment, find_records(path, PROMPTS), tmp_path / kind)
        for name, mask in zip((*PROMPTS, "labels"), (*expected, None), strict=True):
            (file,) = (tmp_path / kind).glob(f"*_{name.replace(' ', '_')}.nii.gz")
            written = nib.load(file)
            np.testing.assert_allclose(
                *(canonical(np.zeros(head.shape), one.affine)[1] for one in (written, head)), atol=1e-4
            )
            if mask is not None:
                voxels = canonical(np.asanyarray(written.dataobj), written.affine)[0]
                np.testing.assert_array_equal(voxels, canonical(mask, head.affine)[0], err_msg=kind)
        assert found.pixels == [int(mask.sum()) for mask in expected]


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
def test_other_planes_lie_on_the_grid_of_the_file(
    segment: Segmenter, head: nib.Nifti1Image, plane: str, tmp_path: Path
) -> None:
    few = head.slicer[:, 45:53] if plane == "coronal" else head.slicer[36:44]
    nib.save(few, tmp_path / "few.nii")
    other = Segmenter(segment.network, device="cpu", plane=plane)(tmp_path / "few.nii", "brain")
    mask = other.masks[0]
    assert mask.shape == few.shape
    assert other.view.masks.shape[1:] == other.view.image.shape[:2]
    assert other.view.masks.sum() == mask.sum(axis=(0, 2) if plane == "coronal" else (1, 2)).max() > 0
    assert other.view.ends is not None and other.view.ends.top == "S"


def test_nothing_of_the_volume_stays_on_the_disk_but_what_was_there(segment: Segmenter, nifti: Path) -> None:
    def stored() -> list[Path]:
        return [path for path in volume_files(store_folder()) if path.suffix == STACK]

    before = stored()
    segment(nifti, "brain")
    assert stored() == before
    open_stack(nifti, "axial").slices[0]  # as training does
    kept = stored()
    assert len(kept) == len(before) + 1
    segment(nifti, "brain")
    assert stored() == kept


@pytest.mark.slow
def test_a_bundle_writes_the_same_for_a_series(segment: Segmenter, head: nib.Nifti1Image, tmp_path: Path) -> None:
    """In the plane that the model file names, by the prompts in the order that they were given."""
    segment.network.plane = "coronal"
    model = write_model(segment.network, tmp_path / "model.pt")
    segment.network.plane = None
    series = write_series(tmp_path / "series", slice_datasets(np.asarray(head.dataobj), head.affine))
    infer(model, series, tmp_path / "bundle", PROMPTS[::-1])
    predict_records(Segmenter(model, device="cpu"), find_records(series, PROMPTS[::-1]), tmp_path / "own")
    names = visible(tmp_path / "bundle") - {"existence.csv"}
    assert names == visible(tmp_path / "own") - {"areas.csv", "overlays"}
    assert {"series_labels.nii.gz", "series_brain.nii.gz"} < names
    for name in names - {"series_seg.dcm"}:  # which has UIDs of its own
        assert (tmp_path / "own" / name).read_bytes() == (tmp_path / "bundle" / name).read_bytes(), name
    tables = [
        [(row["name"], row["prompt"], row["existence"], row["pixels"]) for row in csv.DictReader(path.open())]
        for path in (tmp_path / "bundle" / "existence.csv", tmp_path / "own" / "areas.csv")
    ]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 2


def test_slices_of_nothing_but_nan_are_empty(segment: Segmenter, head: nib.Nifti1Image, tmp_path: Path) -> None:
    values = np.asarray(head.dataobj).astype(np.float32)
    values[:, :, 3], values[:5] = np.nan, np.nan
    nib.save(nib.Nifti1Image(values, head.affine), tmp_path / "nan.nii")
    result = segment(tmp_path / "nan.nii", "brain")
    assert result.masks[0][:, :, 4].any()


def test_range_is_that_of_the_volume(segment: Segmenter, head: nib.Nifti1Image, tmp_path: Path) -> None:
    """A slice with one bright voxel does not make the others dark, and thick slices are slices too."""
    values = np.asarray(head.dataobj).copy()
    values[0, 0, 0] = 4000
    nib.save(nib.Nifti1Image(values, head.affine @ np.diag([0.5, 0.5, 10, 1])), tmp_path / "thick.nii")
    result = segment(tmp_path / "thick.nii", "brain")
    assert result.rows()[0]["shown"] == "0 to 4000, range of the image"
    assert result.view.image.max() < 0.3


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1e-9), ("meter", 1e9), ("sec", None)])
def test_units_of_the_file_count(
    segment: Segmenter, head: nib.Nifti1Image, unit: str, factor: float | None, tmp_path: Path
) -> None:
    image = nib.Nifti1Image(np.asarray(head.dataobj), head.affine)
    image.header["xyzt_units"] = {"micron": 3, "meter": 1, "sec": 5}[unit]
    nib.save(image, tmp_path / "head.nii")
    result = segment(tmp_path / "head.nii", "brain")
    assert result.areas == [None if factor is None else pytest.approx(8 * factor * result.pixels[0])]


def test_one_slice_is_an_image(segment: Segmenter, head: nib.Nifti1Image, tmp_path: Path) -> None:
    nib.save(head.slicer[:, :, 4:5], tmp_path / "one.nii")
    result = segment(tmp_path / "one.nii", "brain")
    assert result.masks.shape == (1, *head.shape[:2], 1)
    assert result.probabilities is not None


def test_a_series_with_a_gap_does_not_stop_the_others(
    segment: Segmenter, head: nib.Nifti1Image, tmp_path: Path
) -> None:
    datasets = slice_datasets(np.asarray(head.dataobj), head.affine)
    del datasets[4]
    series = write_series(tmp_path / "series", datasets)
    nib.save(head, series / "whole.nii")
    records = find_records(series, "brain")
    assert len(records) == 2
    with pytest.raises(UnfinishedError, match=r"1 image done, 1 not:\n.*a slice may be missing"):
        predict_records(segment, Worklist.check(records), tmp_path / "out")
    (row,) = csv.DictReader((tmp_path / "out" / "areas.csv").open(encoding="utf-8"))
    assert row["name"] == "whole"
    assert visible(tmp_path / "out") == {"areas.csv", "overlays", "whole_brain.nii.gz"}


def test_results_do_not_go_among_the_files_of_a_series(head: nib.Nifti1Image, tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", slice_datasets(np.asarray(head.dataobj), head.affine))
    for image in (str(series), f"{series}::series=1.2.3"):
        record = {"image": image, "prompt": "brain", "name": "series"}
        for folder in (series, tmp_path / "series" / ".." / "series"):
            with pytest.raises(OutputFolderError):
                require_output(Outputs(folder, PREDICTIONS), [record], ["areas.csv"])
