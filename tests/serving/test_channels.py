# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One volume of a 4D file is segmented as a file of that volume alone is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.commands import main
from monai_vlsm.data import DatasetProblems, ImageFileReader, ImagesNotFoundError, check_records
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.serving import AdapterBank, Segmenter, UnfinishedError
from tests.folders import visible
from tests.serving.images import write_model
from tests.serving.models import save
from tests.serving.test_batches import cause, infer

AFFINE = np.array([[-1.5, 0, 0, 9], [0, 2, 0, -4], [0, 0, 3, 1], [0, 0, 0, 1.0]])
PROMPT = "white matter"


def volumes() -> NDArray[np.int16]:
    """Three volumes whose values, and so their masks, differ."""
    return np.random.default_rng(0).integers(0, 1000, (24, 20, 4, 3)).astype(np.int16)


def write(values: NDArray[np.int16], path: Path) -> Path:
    image = nib.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``x.nii.gz`` with three volumes, and each of them alone."""
    (tmp_path / "images").mkdir()
    for channel in range(3):
        write(volumes()[..., channel], tmp_path / f"alone{channel}.nii.gz")
    write(volumes(), tmp_path / "images" / "x.nii.gz")
    return tmp_path


def network(channel: int | None = None, backbone: str | Path = "clipseg-mini") -> CLIPSegNet:
    torch.manual_seed(0)
    made = CLIPSegNet(backbone, DenseAdaptation("vl", width=4), default_prompt=PROMPT)
    for parameter in made.parameters():  # masks that the image decides
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    TrainedState(made, recorded={"channel": channel})
    return made


@pytest.fixture(scope="module", params=[None, 1])
def segment(request: pytest.FixtureRequest) -> Segmenter:
    return Segmenter(network(request.param), device="cpu")


@pytest.mark.parametrize("channel", [0, 2])
def test_a_path_names_a_volume(channel: int, segment: Segmenter, folder: Path) -> None:
    """Whatever the model says."""
    found = segment(f"{folder}/images/x.nii.gz::channel={channel}", PROMPT)
    expected = segment(folder / f"alone{channel}.nii.gz", PROMPT)
    assert found.name == "x" and found.masks.shape == (1, 24, 20, 4)
    np.testing.assert_array_equal(np.asarray(found.masks), np.asarray(expected.masks))
    assert 0 < found.pixels[0] < 24 * 20 * 4
    np.testing.assert_array_equal(found.meta["original_affine"], AFFINE)
    assert found.spacing == (1.5, 2, 3)


def test_the_model_knows_the_volume(folder: Path) -> None:
    file, segment = folder / "images" / "x.nii.gz", Segmenter(network(1), device="cpu")
    alone = [np.asarray(segment(folder / f"alone{channel}.nii.gz", PROMPT).masks) for channel in range(3)]
    np.testing.assert_array_equal(np.asarray(segment(file, PROMPT).masks), alone[1])
    given = Segmenter(segment.network, device="cpu", channel=2)
    np.testing.assert_array_equal(np.asarray(given(file, PROMPT).masks), alone[2])
    assert not np.array_equal(alone[1], alone[2])


def test_a_bank_knows_it(folder: Path, backbone: Path) -> None:
    bank = AdapterBank(backbone)
    bank.load("flair", save(network(2, backbone), folder / "flair.pt"))
    segment = Segmenter(bank.network("flair"), device="cpu")
    found = [segment(folder / name, PROMPT).masks for name in ("images/x.nii.gz", "alone2.nii.gz")]
    np.testing.assert_array_equal(np.asarray(found[0]), np.asarray(found[1]))


def test_nobody_says_which(folder: Path) -> None:
    segment = Segmenter(network(), device="cpu")
    with pytest.raises(DatasetProblems, match=r"x\.nii\.gz: .* 3 volumes; give FILE::channel=0 \.\. 2, or --channel"):
        segment(folder / "images" / "x.nii.gz", PROMPT)


WRONG: dict[str, tuple[str, Any, str]] = {
    "none such": ("images/x.nii.gz::channel=3", DatasetProblems, "no channel 3: it has 3 volumes, counted from 0"),
    "no file": ("images/y.nii.gz::channel=0", ImagesNotFoundError, r"no such file or folder: \S+y\.nii\.gz$"),
    "folder": ("images::channel=0", ImagesNotFoundError, r"::channel=N names a volume of one file, and \S+ is a fold"),
    "image": ("a.png::channel=0", DatasetProblems, "one image, which has no volumes to choose from; give it without"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_path_that_names_nothing(kind: str, segment: Segmenter, folder: Path) -> None:
    Image.new("L", (8, 8)).save(folder / "a.png")
    path, error, message = WRONG[kind]
    with pytest.raises(error, match=message):
        segment(folder / path, PROMPT)


def test_one_slice_is_an_image(segment: Segmenter, tmp_path: Path) -> None:
    for channel in range(3):
        write(volumes()[:, :, :1, channel], tmp_path / f"{channel}.nii.gz")
    file = write(volumes()[:, :, :1], tmp_path / "x.nii.gz")
    found, alone = (segment(path, PROMPT) for path in (f"{file}::channel=2", tmp_path / "2.nii.gz"))
    np.testing.assert_array_equal(np.asarray(found.masks), np.asarray(alone.masks))


def test_reader_and_check(folder: Path) -> None:
    name, reader = f"{folder}/images/x.nii.gz::channel=1", ImageFileReader()
    array = reader.get_data(reader.read(name))[0]
    np.testing.assert_array_equal(array, volumes()[..., 1])
    assert check_records([{"image": name}]) == []


def masks(folder: Path) -> dict[str, NDArray[np.uint8]]:
    return {path.name: np.asarray(nib.nifti1.load(path).dataobj) for path in folder.glob("*.nii.gz")}


@pytest.mark.parametrize(("path", "options"), [("", []), ("/x.nii.gz::channel=2", []), ("", ["--channel", "2"])])
def test_the_command_and_the_bundle_write_the_same(path: str, options: list[str], folder: Path) -> None:
    model, source = write_model(network(1), folder / "model.pt"), f"{folder}/images{path}"
    words = ["--prompt", PROMPT, "--adapters", str(model), "--output", f"{folder}/command", "--device", "cpu"]
    assert main(["predict", source, *words, *options]) == 0
    asked = {"channel": options[1]} if options else {}
    infer(model, Path(source), folder / "out", PROMPT, **asked)
    found, of_bundle = masks(folder / "command"), masks(folder / "out")
    alone = Segmenter(model, device="cpu")(folder / f"alone{2 if path or options else 1}.nii.gz", PROMPT)
    assert list(found) == list(of_bundle) == ["x_white_matter.nii.gz"]
    np.testing.assert_array_equal(found["x_white_matter.nii.gz"], np.asarray(alone.masks)[0])
    np.testing.assert_array_equal(of_bundle["x_white_matter.nii.gz"], found["x_white_matter.nii.gz"])
    assert visible(folder / "command" / "overlays") == {"x.png"}


def test_a_channel_that_is_no_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(network(), folder / "model.pt")
    words = ["--prompt", PROMPT, "--adapters", str(model), "--output", f"{folder}/out", "--channel", "FLAIR"]
    assert main(["predict", f"{folder}/images", *words]) == 1
    assert "channel must be the number of a volume of 4D files, from 0, got 'FLAIR'" in capsys.readouterr().err


def test_the_others_are_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(volumes()[..., 0], folder / "images" / "y.nii.gz")
    model = write_model(network(7), folder / "model.pt")
    words = ["--prompt", PROMPT, "--adapters", str(model), "--output", f"{folder}/out", "--device", "cpu"]
    assert main(["predict", f"{folder}/images", *words]) == 1
    assert "no channel 7: it has 3 volumes" in capsys.readouterr().err
    assert list(masks(folder / "out")) == ["y_white_matter.nii.gz"]
    with pytest.raises(RuntimeError) as caught:
        infer(model, folder / "images", folder / "bundle", PROMPT)
    assert isinstance(cause(caught.value), UnfinishedError) and "no channel 7: it has 3" in str(cause(caught.value))
    assert list(masks(folder / "bundle")) == ["y_white_matter.nii.gz"]
