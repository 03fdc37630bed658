# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Files that a stranger puts on the page."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian
from starlette.testclient import TestClient

from monai_vlsm.demo import Models, files
from monai_vlsm.demo.answers import ask
from tests.data.dicom_files import dataset
from tests.data.files import write_dicom
from tests.demo.test_page import asked, drop
from tests.serving.images import write_images

GREY = np.arange(48 * 40, dtype=np.uint16).reshape(48, 40)


def volume(shape: tuple[int, ...], path: Path, dtype: Any = np.int16) -> Path:
    values = np.random.default_rng(0).integers(0, 1000, shape).astype(dtype)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 2, 3, 1])), path)
    return path


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a::channel=1.png", "a_channel=1.png"),
        ("::series=1.png", "_series=1.png"),
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\images\\a.png", "a.png"),
        ("..", "image"),
        ("", "image"),
        ("a\nb\0.png", "a b .png"),
        (f"{'ä' * 200}.png", f"{'ä' * 98}.png"),
        (".hidden.png", "hidden.png"),
    ],
)
def test_any_name_is_a_name(client: TestClient, tmp_path: Path, name: str, shown: str) -> None:
    file = write_images(tmp_path) / "square.png"
    found = drop(client, file, name)
    assert found.json()["name"] == shown
    assert asked(client, found.json()["file"]).status_code == 200


def test_a_file_of_several_volumes(client: TestClient, models: Models, tmp_path: Path) -> None:
    file = volume((24, 20, 4, 3), tmp_path / "x.nii.gz")
    key = drop(client, file).json()
    assert key["channels"] == 3
    request = {"file": key["file"], "model": "polyps", "prompts": "brain"}
    for given, channel in ((None, 0), ("", 0), ("2", 2), (1, 1), ("x", 0)):
        assert client.post("/answer", json={**request, "channel": given}).json()["channel"] == channel
    found = ask(models.segmenter("polyps"), file, ["brain"], 2)
    truth = models.segmenter("polyps")(f"{file}::channel=2", ["brain"])
    assert found.result.pixels == truth.pixels != ask(models.segmenter("polyps"), file, ["brain"]).result.pixels
    refused = client.post("/answer", json={**request, "channel": 3})
    assert refused.text == "x.nii.gz: expected a readable image, found no channel 3: it has 3 volumes, counted from 0"


def test_masks_of_a_file_that_is_gone(client: TestClient, tmp_path: Path) -> None:
    """At the threshold of the model they need no file; at another the geometry is read from it."""
    key = drop(client, volume((24, 20, 4), tmp_path / "x.nii.gz")).json()["file"]
    answer = asked(client, key).json()["answer"]
    for name in "ab":
        drop(client, write_images(tmp_path) / "square.png", f"{name}.png")
    assert client.get(f"/answer/{answer}/masks").status_code == 200
    gone = client.get(f"/answer/{answer}/masks", params={"threshold": 0.3})
    assert (gone.status_code, gone.text) == (400, "the file is gone from the server; drop it again")


def dicom(path: Path, deflated: bool = False, **tags: Any) -> Path:
    data = dataset(GREY, "MONOCHROME2", **tags)
    if deflated:
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return write_dicom(data, path)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"Rows": 24, "NumberOfFrames": 2}, "found 2 frames; split the file into single-frame DICOM files"),
        ({"Rows": 60_000, "Columns": 60_000}, "has more than 50,000,000 pixels; save it smaller"),
        ({"deflated": True}, "is a deflated DICOM file; save it in another transfer syntax"),
    ],
)
def test_dicom_that_is_not_taken(client: TestClient, tmp_path: Path, tags: dict[str, Any], words: str) -> None:
    found = drop(client, dicom(tmp_path / "x.dcm", **tags))
    assert found.status_code == 400 and found.text.startswith("x.dcm") and words in found.text


def test_a_spacing_without_end_is_unknown(client: TestClient, tmp_path: Path) -> None:
    key = drop(client, dicom(tmp_path / "x.dcm", PixelSpacing=["1e300", "1e300"])).json()["file"]
    (row,) = client.get(f"/answer/{asked(client, key, 'brain').json()['answer']}/rows").json()
    assert row["size"] is None


def test_deflated_dicom_without_the_mark_in_front(client: TestClient, tmp_path: Path) -> None:
    """pydicom reads, and would unpack, these too."""
    content = dicom(tmp_path / "x.dcm", deflated=True).read_bytes()[132:]
    (tmp_path / "x.dcm").write_bytes(content)
    assert "is a deflated DICOM file" in drop(client, tmp_path / "x.dcm").text


@pytest.mark.parametrize("packed", [True, False])
def test_a_volume_that_claims_more_than_it_has(client: TestClient, tmp_path: Path, packed: bool) -> None:
    file = volume((8, 8, 4), tmp_path / "x.nii")
    content = bytearray(file.read_bytes())
    content[42:48] = np.array([30_000, 30_000, 30_000], "<i2").tobytes()  # dim
    found = client.post(
        "/file", params={"name": "x.nii.gz"}, content=gzip.compress(content, mtime=0) if packed else bytes(content)
    )
    assert found.status_code == 400 and "cut short or damaged" in found.text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((9,), np.uint8), "an array of shape (9,), which is no image"),
        (np.zeros((9, 0, 4), np.uint8), "an array of shape (9, 0, 4), which is no image"),
        (np.zeros((2, 2, 2001), np.uint8), "has 2,001 voxels along an axis; the page takes 2,000"),
        (np.zeros((7100, 7100, 1), np.uint8), "has more than 50,000,000 pixels"),
        (np.full((8, 8, 4), 1e300), "values from 1e+300 to 1e+300, more than single precision holds"),
        (np.array([-3e38, 3e38], np.float32).repeat(64).reshape(8, 8, 2), "values from -3e+38 to 3e+38, more than"),
    ],
)
def test_volumes_that_are_not_taken(client: TestClient, tmp_path: Path, values: np.ndarray, words: str) -> None:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii.gz")
    found = drop(client, tmp_path / "x.nii.gz")
    assert found.status_code == 400 and found.text.startswith("x.nii.gz") and words in found.text


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [(40, np.array([0], "<i2"), "shape (0,)"), (42, np.array([-8], "<i2"), "shape (-8, 8, 4)")]
    + [(108, np.array([one], "<f4"), "a header that is damaged") for one in (np.nan, -5)]
    + [(70, np.array([9999], "<i2"), "a header that is damaged")],
)
def test_headers_that_mean_nothing(
    client: TestClient, tmp_path: Path, offset: int, value: np.ndarray, words: str
) -> None:
    content = bytearray(volume((8, 8, 4), tmp_path / "x.nii").read_bytes())
    content[offset : offset + value.nbytes] = value.tobytes()
    found = client.post("/file", params={"name": "x.nii"}, content=bytes(content))
    assert found.status_code == 400 and words in found.text


def test_an_image_of_values_that_float32_does_not_span(client: TestClient, tmp_path: Path) -> None:
    Image.fromarray(np.array([[-3e38, 3e38]] * 8, np.float32)).save(tmp_path / "x.tif")
    found = drop(client, tmp_path / "x.tif")
    assert found.status_code == 400 and "values from -3e+38 to 3e+38, more than single precision" in found.text


def test_volumes_of_colours_and_of_five_axes(client: TestClient, tmp_path: Path) -> None:
    assert drop(client, volume((8, 8, 4, 1, 3), tmp_path / "colours.nii.gz", np.uint8)).json()["channels"] == 1
    found = drop(client, volume((8, 8, 4, 2, 3), tmp_path / "five.nii.gz"))
    assert found.status_code == 400 and found.text.startswith("five.nii.gz")


def test_a_zip_bomb_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_UNPACKED", 3 * 2**20)
    answer = client.post("/file", params={"name": "bomb.nii.gz"}, content=gzip.compress(bytes(4 * 2**20), mtime=0))
    assert answer.status_code == 400 and answer.text.startswith("bomb.nii.gz unpacks to more than 3 MB")
