# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""DICOM in every photometric interpretation and transfer syntax that can be written here, as pydicom converts it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pydicom
import pytest
from monai.transforms import LoadImage
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixel_data_handlers import util
from pydicom.uid import (
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from monai_vlsm.data import DatasetProblems, ImageFileReader, check_records
from monai_vlsm.transforms import BinarizeMask, ToRGB
from tests.data.dicom_files import COLUMNS, NATIVE, RGB, ROWS, as_pydicom_has_it, dataset, grey, in_syntax, read
from tests.data.files import square, write_dicom


def stored_colour(photometric: str) -> np.ndarray:
    return np.asarray(util.convert_color_space(RGB, "RGB", "YBR_FULL")) if photometric == "YBR_FULL" else RGB


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless], ids=lambda uid: uid.name)
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colour(photometric: str, planar: int, syntax: str, tmp_path: Path) -> None:
    array = stored_colour(photometric)
    data = dataset(array, photometric, PlanarConfiguration=planar)
    if planar and syntax != RLELossless:
        array = np.ascontiguousarray(array.transpose(2, 0, 1))
        data.PixelData = array.tobytes()
    file = in_syntax(data, array, syntax, tmp_path / "a.dcm")
    found, _ = read(file)
    np.testing.assert_array_equal(found, as_pydicom_has_it(file))
    assert np.abs(found.astype(int) - RGB).max() <= (0 if photometric == "RGB" else 1)


def test_subsampled_colour(tmp_path: Path) -> None:
    ybr = stored_colour("YBR_FULL")[:, :40]
    pairs = ybr.reshape(ROWS, 20, 2, 3)
    packed = np.stack([pairs[:, :, 0, 0], pairs[:, :, 1, 0], pairs[:, :, 0, 1], pairs[:, :, 0, 2]], axis=-1)
    data = dataset(ybr, "YBR_FULL_422", PixelData=packed.tobytes())
    file = in_syntax(data, ybr, ExplicitVRLittleEndian, tmp_path / "a.dcm")
    found, _ = read(file)
    np.testing.assert_array_equal(found, as_pydicom_has_it(file))
    assert np.abs(found.astype(int) - RGB[:, :40]).max() < 16


@pytest.mark.parametrize(
    ("photometric", "syntax", "tolerance"),
    [
        ("YBR_FULL_422", JPEGBaseline8Bit, 60),
        ("YBR_FULL", JPEGBaseline8Bit, 60),
        ("YBR_RCT", JPEG2000Lossless, 0),
        ("YBR_ICT", JPEG2000Lossless, 0),
        ("RGB", JPEG2000Lossless, 0),
    ],
)
def test_coded_colour(photometric: str, syntax: str, tolerance: int, tmp_path: Path) -> None:
    file = in_syntax(dataset(RGB, photometric), RGB, syntax, tmp_path / "a.dcm")
    found, _ = read(file)
    np.testing.assert_array_equal(found, as_pydicom_has_it(file))
    assert np.abs(found.astype(int) - RGB).max() <= tolerance


DEPTHS = [("u1", 8), ("u1", 6), ("i1", 8), ("u2", 16), ("u2", 12), ("i2", 16), ("i2", 12), ("u4", 32), ("i4", 32)]


RESCALED: list[dict[str, float]] = [
    {},
    {"RescaleSlope": 1, "RescaleIntercept": 0},
    {"RescaleSlope": 2.5, "RescaleIntercept": -7},
]


@pytest.mark.parametrize(
    ("syntax", "rescale"),
    [*((syntax, {}) for syntax in (*NATIVE, RLELossless)), *((ExplicitVRLittleEndian, one) for one in RESCALED[1:])],
    ids=lambda one: getattr(one, "name", None),
)
@pytest.mark.parametrize(("dtype", "bits"), DEPTHS)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_grey(photometric: str, rescale: dict[str, float], dtype: str, bits: int, syntax: str, tmp_path: Path) -> None:
    if syntax == RLELossless and bits == 32:
        return  # not allowed by the standard
    array = grey(dtype, bits)
    file = in_syntax(dataset(array, photometric, bits, **rescale), array, syntax, tmp_path / "a.dcm")
    found, _ = read(file)
    expected = as_pydicom_has_it(file).astype(float)
    if photometric == "MONOCHROME1":  # pydicom leaves it dark as high; the array has both ends of its range
        expected = expected.min() + expected.max() - expected
    np.testing.assert_array_equal(found, expected)
    assert found.dtype.kind == ("f" if rescale.get("RescaleSlope", 1) != 1 else dtype[0])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_coded_grey(syntax: str, photometric: str, tmp_path: Path) -> None:
    array = grey("u1", 8)
    file = in_syntax(dataset(array, photometric), array, syntax, tmp_path / "a.dcm")
    expected = as_pydicom_has_it(file) if photometric == "MONOCHROME2" else 255 - as_pydicom_has_it(file)
    np.testing.assert_array_equal(read(file)[0], expected)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("dtype", ["u2", "i2"])
def test_codecs_that_pydicom_lacks(dtype: str, photometric: str, tmp_path: Path) -> None:
    """JPEG lossless is what many archives hold; ITK decodes it."""
    array = grey(dtype, 8 * np.dtype(dtype).itemsize)
    codec = itk.GDCMImageIO.New()
    codec.SetCompressionType(0)  # JPEG, lossless
    image = itk.image_from_array(array[None])
    writer = itk.ImageFileWriter.New(image, FileName=str(tmp_path / "a.dcm"), ImageIO=codec, UseCompression=True)
    writer.Update()
    data = pydicom.dcmread(tmp_path / "a.dcm")
    assert data.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    data.PhotometricInterpretation, data.RescaleSlope, data.RescaleIntercept = photometric, 2, -3
    data.save_as(tmp_path / "a.dcm")
    turned = array if photometric == "MONOCHROME2" else int(array.min()) + int(array.max()) - array.astype(int)
    np.testing.assert_array_equal(read(tmp_path / "a.dcm")[0], turned.astype(float) * 2 - 3)


@pytest.mark.skipif(find_spec("gdcm") is not None, reason="GDCM is installed, and has the codec")
def test_a_codec_that_nothing_has_is_named(tmp_path: Path) -> None:
    data = dataset(grey("u1", 8), "MONOCHROME2", PixelData=encapsulate([b"no frame at all"]))
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = HTJ2KLossless
    write_dicom(data, tmp_path / "a.dcm")
    with pytest.raises(
        DatasetProblems, match=r"a\.dcm: .* found pixels in High-Throughput JPEG 2000.* pip install python-gdcm"
    ):
        read(tmp_path / "a.dcm")


@pytest.mark.parametrize("photometric", ["CMYK", "HSV", "ARGB", "YBR_PARTIAL_422", "YBR_PARTIAL_420"])
def test_retired_colour_is_refused(photometric: str, tmp_path: Path) -> None:
    write_dicom(dataset(RGB, photometric), tmp_path / "a.dcm")
    with pytest.raises(DatasetProblems, match=r"a\.dcm: .*"):
        read(tmp_path / "a.dcm")


def palette(bits: int) -> dict[str, Any]:
    tables = [np.linspace(0, 2**bits - 1, 256)[::step] for step in (1, -1, 1)]
    tables[2] = tables[2] // 3
    tags: dict[str, Any] = {}
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        tags[f"{colour}PaletteColorLookupTableData"] = table.astype(f"<u{bits // 8}").tobytes()
    return tags


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless], ids=lambda uid: uid.name
)
def test_palette(syntax: str, bits: int, tmp_path: Path) -> None:
    array = grey("u1", 8)
    file = in_syntax(dataset(array, "PALETTE COLOR", **palette(bits)), array, syntax, tmp_path / "a.dcm")
    found, meta = read(file)
    np.testing.assert_array_equal(found, as_pydicom_has_it(file))
    assert found.shape == (ROWS, COLUMNS, 3)
    # colour keeps its hue: its range is that of the bits, not of the image
    assert ("range" in meta) == (bits == 16)
    if bits == 16:
        np.testing.assert_array_equal(meta["range"], [0, 65535])


def modality_lut() -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [256, 0, 16], "US"
    item.LUTData = (np.arange(256) ** 2).astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    return item


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_modality_lut(photometric: str, tmp_path: Path) -> None:
    array = grey("u1", 8)
    file = write_dicom(dataset(array, photometric, ModalityLUTSequence=[modality_lut()]), tmp_path / "a.dcm")
    expected = as_pydicom_has_it(file)
    np.testing.assert_array_equal(expected, array.astype(int) ** 2)
    np.testing.assert_array_equal(read(file)[0], expected if photometric == "MONOCHROME2" else 65535 - expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 9), (8, 8), (13, 17)])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_one_bit_of_any_size(photometric: str, size: tuple[int, int], tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, size, dtype=np.uint8)
    bits[0, 0] = 1
    data = dataset(bits, photometric, PixelData=np.packbits(bits.ravel(), bitorder="little").tobytes() + b"\0")
    data.PixelData = data.PixelData[: len(data.PixelData) // 2 * 2]
    data.BitsAllocated, data.BitsStored, data.HighBit = 1, 1, 0
    file = write_dicom(data, tmp_path / "a.dcm")
    found, _ = read(file)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, bits if photometric == "MONOCHROME2" else 1 - bits)


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    bits = (square((40, 64)) > 0).astype(np.uint8)
    data = dataset(bits, "MONOCHROME2", PixelData=np.packbits(bits.ravel(), bitorder="little").tobytes())
    data.BitsAllocated, data.BitsStored, data.HighBit = 1, 1, 0
    file = write_dicom(data, tmp_path / "a.dcm")
    for mode, convert in (("image", ToRGB()), ("mask", BinarizeMask())):
        load = LoadImage(reader=ImageFileReader(mode), ensure_channel_first=True, dtype=None)
        np.testing.assert_array_equal(convert(load(file))[0], bits)
    assert check_records([{"image": str(file), "label": str(file)}]) == []


def test_float_pixels(tmp_path: Path) -> None:
    data = dataset(grey("u4", 32), "MONOCHROME2")
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    values = (grey("i2", 16) / 7).astype("<f4")
    data.FloatPixelData = values.tobytes()
    np.testing.assert_array_equal(read(write_dicom(data, tmp_path / "a.dcm"))[0], values)
