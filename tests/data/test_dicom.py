# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""DICOM in every photometric interpretation and transfer syntax that can be written here, as pydicom converts it."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pydicom
import pytest
from monai.transforms import LoadImage
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixel_data_handlers import util
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from monai_vlsm.data import DatasetProblems, PictureReader, check_records
from monai_vlsm.transforms import BinarizeMask, ToRGB
from tests.data.files import save_dicom, square, write_dicom

ROWS, COLUMNS = 23, 41
Y, X = np.mgrid[:ROWS, :COLUMNS]
RGB = np.stack([X * 6, Y * 11, (X + Y) * 4], axis=-1).clip(0, 255).astype(np.uint8)
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)


def read(path: Path, mode: str = "image") -> tuple[np.ndarray, dict[str, Any]]:
    reader = PictureReader(mode)
    return reader.get_data(reader.read(path))


def dataset(array: np.ndarray, photometric: str, bits: int = 0, **tags: Any) -> FileDataset:
    """``(rows, columns[, 3])`` as stored."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PhotometricInterpretation, data.SamplesPerPixel = photometric, array.shape[2] if array.ndim == 3 else 1
    data.Rows, data.Columns = array.shape[:2]
    data.BitsAllocated = 8 * array.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(array.dtype.kind == "i")
    if array.ndim == 3:
        data.PlanarConfiguration = 0
    data.PixelData = array.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def in_syntax(data: FileDataset, array: np.ndarray, syntax: str, path: Path) -> Path:
    """Write the file, compressed by pydicom, Pillow or ITK where the syntax asks for it."""
    if syntax == RLELossless:
        data.compress(RLELossless)
    elif syntax in (JPEGBaseline8Bit, JPEG2000Lossless):
        file = io.BytesIO()
        kind, options = ("JPEG", {"quality": 95}) if syntax == JPEGBaseline8Bit else ("JPEG2000", {})
        Image.fromarray(array).save(file, kind, **options)
        data.PixelData = encapsulate([file.getvalue()])
        data["PixelData"].is_undefined_length = True
    elif syntax == ExplicitVRBigEndian:
        data["PixelData"].VR = "OB" if array.itemsize == 1 else "OW"
        data.PixelData = array.astype(array.dtype.newbyteorder(">")).tobytes()
    data.file_meta.TransferSyntaxUID = syntax
    return write_dicom(data, path)


def as_pydicom_has_it(path: Path) -> np.ndarray:
    """What pydicom's documentation says to do with pixels of each kind."""
    data = pydicom.dcmread(path)
    photometric = data.PhotometricInterpretation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom 3 has the functions in another place, and here too
        if photometric == "PALETTE COLOR":
            return util.apply_color_lut(data.pixel_array, data)
        if photometric.startswith("YBR_FULL") and pydicom.__version__.startswith("2."):
            return util.convert_color_space(data.pixel_array, photometric, "RGB")
        return util.apply_modality_lut(data.pixel_array, data)


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


def grey(dtype: str, bits: int) -> np.ndarray:
    """From the lowest to the highest value of the bits."""
    ramp = (X + COLUMNS * Y) * (2**bits - 1) // (ROWS * COLUMNS - 1)
    return (ramp - (2 ** (bits - 1) if dtype[0] == "i" else 0)).astype(dtype)


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


def test_a_codec_that_nothing_has_is_named(tmp_path: Path) -> None:
    data = dataset(grey("u1", 8), "MONOCHROME2", PixelData=encapsulate([b"no frame at all"]))
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    write_dicom(data, tmp_path / "a.dcm")
    with pytest.raises(DatasetProblems, match=r"a\.dcm: .* found pixels in JPEG-LS Lossless.* pip install python-gdcm"):
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
    # colour keeps its hue: its range is that of the bits, not of the picture
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
        load = LoadImage(reader=PictureReader(mode), ensure_channel_first=True, dtype=None)
        np.testing.assert_array_equal(convert(load(file))[0], bits)
    assert check_records([{"image": str(file), "label": str(file)}]) == []


def test_float_pixels(tmp_path: Path) -> None:
    data = dataset(grey("u4", 32), "MONOCHROME2")
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    values = (grey("i2", 16) / 7).astype("<f4")
    data.FloatPixelData = values.tobytes()
    np.testing.assert_array_equal(read(write_dicom(data, tmp_path / "a.dcm"))[0], values)


def item(**tags: Any) -> Dataset:
    data = Dataset()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


@pytest.mark.parametrize("shared", [True, False])
def test_functional_groups(shared: bool, tmp_path: Path) -> None:
    group = item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.25], SliceThickness=3)],
        PlanePositionSequence=[item(ImagePositionPatient=[10, 20, 30])],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=-1000, RescaleType="HU")],
        FrameVOILUTSequence=[item(WindowCenter=40, WindowWidth=401)],
    )
    where = "SharedFunctionalGroupsSequence" if shared else "PerFrameFunctionalGroupsSequence"
    array = grey("u2", 12)
    file = write_dicom(dataset(array, "MONOCHROME2", 12, NumberOfFrames=1, **{where: [group]}), tmp_path / "a.dcm")
    found, meta = read(file)
    np.testing.assert_array_equal(found, array * 2.0 - 1000)
    np.testing.assert_array_equal(meta["pixel_spacing"], [0.5, 0.25])
    np.testing.assert_array_equal(meta["window"], [-160.5, 239.5])
    np.testing.assert_allclose(meta["affine"], [[0, -0.25, 0, -10], [-0.5, 0, 0, -20], [0, 0, 1, 30], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("tags", "window"),
    [
        ({"WindowCenter": 40, "WindowWidth": 401}, (-160.5, 239.5)),
        ({"WindowCenter": [40, 500], "WindowWidth": [401, 2000]}, (-160.5, 239.5)),
        ({"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"}, (-160, 240)),
        ({"WindowCenter": 40}, None),
        ({"WindowCenter": 9000, "WindowWidth": 100}, None),  # beside all values
        ({"WindowCenter": -9000, "WindowWidth": 100}, None),
        ({"WindowCenter": 40, "WindowWidth": 0}, None),
        ({"WindowCenter": 40, "WindowWidth": 1}, None),
        ({"WindowCenter": "", "WindowWidth": ""}, None),
        ({}, None),
    ],
)
def test_window(tags: dict[str, Any], window: tuple[float, float] | None, tmp_path: Path) -> None:
    found, meta = read(write_dicom(dataset(grey("i2", 12), "MONOCHROME2", 12, **tags), tmp_path / "a.dcm"))
    if window is None:
        assert "window" not in meta
        return
    np.testing.assert_array_equal(meta["window"], window)
    turned, turned_meta = read(write_dicom(dataset(grey("i2", 12), "MONOCHROME1", 12, **tags), tmp_path / "b.dcm"))
    # what was in the window still is
    np.testing.assert_array_equal(turned_meta["window"], [-1 - window[1], -1 - window[0]])
    np.testing.assert_array_equal(turned, -1 - found.astype(int))


CT = np.full((ROWS, COLUMNS), -1000, np.int16)
CT[5:15, 10:30] = 0
CT[8:12, 15:20] = 400
OUTSIDE = X < 6


def padded(values: np.ndarray, value: int, path: Path, photometric: str = "MONOCHROME2", **tags: Any) -> Path:
    data = dataset(np.where(OUTSIDE, value, values).astype(values.dtype), photometric, **tags)
    return write_dicom(data, path)


@pytest.mark.parametrize("value", [-2000, -3024, -32768, 32767])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_has_the_lowest_value(value: int, photometric: str, tmp_path: Path) -> None:
    found, _ = read(padded(CT, value, tmp_path / "a.dcm", photometric, PixelPaddingValue=value))
    body = CT if photometric == "MONOCHROME2" else -1 - CT
    np.testing.assert_array_equal(found, np.where(OUTSIDE, body.min(), body))


def test_padding_range_and_sign(tmp_path: Path) -> None:
    values = np.where(X < 3, 65000, CT.astype(int) + 1024).astype(np.uint16)
    tags = {"PixelPaddingValue": 63536, "PixelPaddingRangeLimit": 65535, "RescaleIntercept": -1024, "RescaleSlope": 1}
    found, _ = read(padded(values, 63536, tmp_path / "a.dcm", **tags))
    np.testing.assert_array_equal(found, np.where(OUTSIDE, -1000, CT))
    data = pydicom.dcmread(padded(CT, -2000, tmp_path / "b.dcm"))
    data.add_new("PixelPaddingValue", "US", 63536)  # -2000 in 16 bits
    write_dicom(data, tmp_path / "b.dcm")
    np.testing.assert_array_equal(read(tmp_path / "b.dcm")[0], np.where(OUTSIDE, -1000, CT))


@pytest.mark.parametrize("value", [7, 0])
def test_padding_stays_where_the_rest_is_of_one_value(value: int, tmp_path: Path) -> None:
    found, _ = read(padded(np.full_like(CT, 7), value, tmp_path / "a.dcm", PixelPaddingValue=value))
    np.testing.assert_array_equal(found, np.where(OUTSIDE, value, 7))


@pytest.mark.parametrize("tags", [{"RescaleSlope": None, "RescaleIntercept": None}, {"RescaleSlope": 2}])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_rescaling_without_numbers_is_none(tags: dict[str, Any], photometric: str, tmp_path: Path) -> None:
    array = grey("u1", 8)
    found, _ = read(write_dicom(dataset(array, photometric, **tags), tmp_path / "a.dcm"))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array if photometric == "MONOCHROME2" else 255 - array)


@pytest.mark.parametrize(("value", "limits"), [(-2000, (-1024, 400)), (30000, (-1000, 3071)), (-1000, ())])
@pytest.mark.parametrize("tags", [{"Modality": "CT"}, {"SOPClassUID": CTImageStorage}])
def test_what_no_tissue_has_does_not_set_the_range_of_ct(
    tags: dict[str, Any], value: int, limits: tuple[float, ...], tmp_path: Path
) -> None:
    found, meta = read(padded(CT, value, tmp_path / "a.dcm", **tags))
    assert found.min() == min(-1000, value)  # the values themselves stay
    assert tuple(meta.get("range", ())) == limits
    assert "window" not in meta


def test_mask(tmp_path: Path) -> None:
    found, _ = read(save_dicom(255 - square(), tmp_path / "a.dcm", "MONOCHROME1"), "mask")
    np.testing.assert_array_equal(found > found.min(), square() > 0)
