# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Every format, in both modes, through MONAI's own LoadImage."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, Invertd, LoadImaged, Resized, SaveImage
from PIL import Image

from monai_vlsm.data import DatasetProblems, ImageFileReader, is_supported
from monai_vlsm.data.reader import verify_image
from tests.data.files import COLUMNS, ROWS, colour, ramp, save, save_dicom, save_nifti, square

GREY = ramp()[None]
RGB = colour().transpose(2, 0, 1)
DEEP = ramp("uint16")[None] * 300


def load(files: Path | list[Path], mode: str = "image") -> MetaTensor:
    reader = LoadImaged("x", reader=ImageFileReader(mode), ensure_channel_first=True, dtype=None, image_only=True)
    return reader({"x": files})["x"]


def write_mode(mode: str, name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        Image.fromarray(colour()).convert(mode).save(folder / name)
        return folder / name

    return write


def palette(folder: Path) -> Path:
    image = Image.fromarray((ramp() > 60).astype(np.uint8), mode=None)
    image = image.convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(folder / "a.png")
    return folder / "a.png"


def transparent(folder: Path) -> Path:
    alpha = np.full((ROWS, COLUMNS), 255, np.uint8)
    alpha[0] = 0
    return save(np.dstack([colour(), alpha]), folder / "a.png")


def grey_transparent(folder: Path) -> Path:
    Image.fromarray(np.dstack([ramp(), np.where(ramp() > 60, 255, 0).astype(np.uint8)])).save(folder / "a.png")
    return folder / "a.png"


def cmyk(folder: Path) -> Path:
    Image.new("CMYK", (COLUMNS, ROWS), (255, 0, 0, 0)).save(folder / "a.jpg")
    return folder / "a.jpg"


def turned(folder: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: rows of the file are columns of the image
    return save(np.rot90(ramp()), folder / "a.png", exif=exif)


def one_bit(folder: Path) -> Path:
    return save(ramp() > 60, folder / "a.png")


def big_endian(folder: Path) -> Path:
    return save(DEEP[0].astype(">u2"), folder / "a.tif")


BLACK_ROW = RGB.copy()
BLACK_ROW[:, 0] = 0
TWO_COLOURS = np.where(ramp() > 60, np.array([200, 100, 50])[:, None, None], np.array([10, 20, 30])[:, None, None])
CYAN = np.broadcast_to(np.array([0, 255, 255])[:, None, None], (3, ROWS, COLUMNS))

EXACT = [
    pytest.param(lambda d: save(ramp(), d / "a.png"), GREY, id="png"),
    pytest.param(lambda d: save(colour(), d / "a.png"), RGB, id="png-rgb"),
    pytest.param(lambda d: save(DEEP[0], d / "a.png"), DEEP, id="png-16"),
    pytest.param(lambda d: save(ramp(), d / "a.bmp"), GREY, id="bmp"),
    pytest.param(lambda d: save(colour(), d / "a.BMP"), RGB, id="bmp-rgb"),
    pytest.param(lambda d: save(ramp(), d / "a.tif"), GREY, id="tiff"),
    pytest.param(lambda d: save(colour(), d / "a.tiff", compression="tiff_lzw"), RGB, id="tiff-rgb-lzw"),
    pytest.param(lambda d: save(DEEP[0], d / "a.tif"), DEEP, id="tiff-16"),
    pytest.param(big_endian, DEEP, id="tiff-16-big-endian"),
    pytest.param(lambda d: save(ramp("float32") / 7, d / "a.tif"), ramp("float32")[None] / 7, id="tiff-float"),
    pytest.param(one_bit, (GREY > 60) * 255, id="one-bit"),
    pytest.param(palette, TWO_COLOURS, id="palette"),
    pytest.param(transparent, BLACK_ROW, id="rgba"),
    pytest.param(grey_transparent, np.where(GREY > 60, GREY, 0), id="grey-alpha"),
    pytest.param(turned, GREY, id="exif"),
    pytest.param(lambda d: save_dicom(ramp(), d / "a.dcm"), GREY * 2.0 - 10, id="dicom"),
    pytest.param(lambda d: save_dicom(DEEP[0], d / "noname"), DEEP * 2.0 - 10, id="dicom-16-no-suffix"),
    pytest.param(lambda d: save_dicom(colour(), d / "a.dcm", "RGB"), RGB, id="dicom-rgb"),
    pytest.param(
        lambda d: save_dicom(ramp(), d / "a.dcm", "MONOCHROME1"), (255.0 - GREY) * 2 - 10, id="dicom-monochrome1"
    ),
    pytest.param(lambda d: save_nifti(ramp("int16"), d / "a.nii"), GREY, id="nifti-2d"),
    pytest.param(
        lambda d: save_nifti(np.dstack([ramp()] * 4), d / "a.nii.gz"), np.stack([GREY] * 4, -1), id="nifti-3d"
    ),
    pytest.param(lambda d: save_nifti(ramp(">i2"), d / "a.nii"), GREY, id="nifti-big-endian"),
]


@pytest.mark.parametrize(("write", "expected"), EXACT)
def test_image_is_upright_and_exact(write: Callable[[Path], Path], expected: np.ndarray, tmp_path: Path) -> None:
    image = load(write(tmp_path))
    np.testing.assert_allclose(image.numpy(), expected)
    assert image.shape[1:] == tuple(image.meta["spatial_shape"])
    assert Path(image.meta["filename_or_obj"]).parent == tmp_path


@pytest.mark.parametrize(
    ("write", "expected", "tolerance"),
    [
        pytest.param(lambda d: save(ramp(), d / "a.jpg", quality=95), GREY, 8, id="jpeg"),
        pytest.param(write_mode("RGB", "a.jpeg"), RGB, 60, id="jpeg-rgb"),
        pytest.param(cmyk, CYAN, 40, id="jpeg-cmyk"),
        pytest.param(write_mode("P", "a.png"), RGB, 60, id="palette-256"),
        pytest.param(write_mode("LA", "a.png"), np.asarray(Image.fromarray(colour()).convert("L"))[None], 0, id="la"),
        pytest.param(write_mode("YCbCr", "a.tif"), RGB, 60, id="ycbcr"),
    ],
)
def test_image_is_close(write: Callable[[Path], Path], expected: np.ndarray, tolerance: float, tmp_path: Path) -> None:
    image = load(write(tmp_path)).numpy()
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= tolerance


def test_dicom_affine_belongs_to_rows_and_columns(tmp_path: Path) -> None:
    affine = load(save_dicom(ramp(), tmp_path / "a.dcm")).affine.numpy()
    # DICOM is LPS, MONAI RAS: the first pixel lies at (-10, -20, 30); one row on is 0.5 mm back, one column 0.25 left
    np.testing.assert_allclose(affine @ [0, 0, 0, 1], [-10, -20, 30, 1])
    np.testing.assert_allclose(affine @ [1, 0, 0, 0], [0, -0.5, 0, 0])
    np.testing.assert_allclose(affine @ [0, 1, 0, 0], [-0.25, 0, 0, 0])


def test_dicom_leaves_the_patient_behind(tmp_path: Path) -> None:
    assert "Nobody" not in str(load(save_dicom(ramp(), tmp_path / "a.dcm")).meta)


def test_nifti_keeps_affine(tmp_path: Path) -> None:
    image = load(save_nifti(np.dstack([ramp()] * 4), tmp_path / "a.nii.gz"))
    np.testing.assert_allclose(image.affine.numpy(), np.diag([-2.0, 3.0, 4.0, 1.0]))


MASKS = [
    pytest.param(lambda d: save(square(), d / "a.png"), 255, id="grey"),
    pytest.param(lambda d: save(square(value=1), d / "a.png"), 1, id="zero-one"),
    pytest.param(lambda d: save(square() > 0, d / "a.bmp"), 255, id="one-bit"),
    pytest.param(lambda d: save(np.dstack([square() // 3, square() // 2, square() * 0]), d / "a.png"), 127, id="rgb"),
    pytest.param(lambda d: save(np.dstack([square()] * 4), d / "a.png"), 255, id="rgba"),
    pytest.param(lambda d: save(square() * np.uint16(257), d / "a.tif"), 65535, id="sixteen"),
]


@pytest.mark.parametrize(("write", "top"), MASKS)
def test_mask_has_one_channel(write: Callable[[Path], Path], top: int, tmp_path: Path) -> None:
    mask = load(write(tmp_path), "mask")
    np.testing.assert_array_equal(mask.numpy(), (square() > 0)[None] * top)


def test_palette_mask_takes_the_brighter_colour_whatever_its_index(tmp_path: Path) -> None:
    image = Image.fromarray((square() == 0).astype(np.uint8)).convert("P")
    image.putpalette([0, 200, 0, 0, 0, 0])  # index 0 is the structure
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(load(tmp_path / "a.png", "mask").numpy(), (square() > 0)[None] * 200)


def test_masks_of_mixed_formats_stack(tmp_path: Path) -> None:
    image = Image.fromarray((square() > 0).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "palette.png")
    files = [
        tmp_path / "palette.png",
        save(np.dstack([255 - square()] * 3), tmp_path / "colour.jpg", quality=100),
        save(square() > 0, tmp_path / "bit.png"),
        save(square() * np.uint16(257), tmp_path / "deep.png"),
    ]
    masks = load(files, "mask")
    assert masks.shape == (4, 40, 60)
    inside = [bool(mask[16, 20] > mask.max() / 2) for mask in masks]
    outside = [bool(mask[2, 2] > mask.max() / 2) for mask in masks]
    assert (inside, outside) == ([True, False, True, True], [False, True, False, False])
    assert load(files[:1], "mask").shape == (1, 40, 60)


def broken(kind: str, folder: Path) -> Path:
    """A file that cannot be read."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    whole = {
        "png": lambda: save(noise, folder / "a.png"),
        "jpg": lambda: save(noise, folder / "a.jpg"),
        "dcm": lambda: save_dicom(noise, folder / "a.dcm"),
        "nii.gz": lambda: save_nifti(noise, folder / "a.nii.gz"),
        "nii": lambda: save_nifti(noise, folder / "a.nii"),
    }[kind]()
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return whole


@pytest.mark.parametrize("kind", ["png", "jpg", "dcm", "nii.gz", "nii"])
def test_truncated_file_is_named(kind: str, tmp_path: Path) -> None:
    file = broken(kind, tmp_path)
    with pytest.raises(DatasetProblems, match=rf"a\.{kind}: expected a readable image, found .") as caught:
        load(file)
    assert caught.value.problems[0].file == str(file)


def pages(folder: Path) -> Path:
    image = Image.fromarray(ramp())
    image.save(folder / "a.tif", save_all=True, append_images=[image])
    return folder / "a.tif"


def complex_nifti(folder: Path) -> Path:
    return save_nifti(np.zeros((4, 4), np.complex64), folder / "a.nii")


def file_with(content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "a.png").write_bytes(content)
        return folder / "a.png"

    return write


def white_and_red(folder: Path) -> Path:
    return save(np.dstack([np.full((40, 60), 255, np.uint8), 255 - square(), 255 - square()]), folder / "a.png")


@pytest.mark.parametrize(
    ("write", "mode", "match"),
    [
        (file_with(b""), "image", r"a\.png: .* found an empty file"),
        (file_with(b"no image at all"), "image", r"a\.png: .* cannot identify image file"),
        (pages, "image", r"a\.tif: .* 2 pages"),
        (lambda d: save_dicom(np.stack([ramp()] * 3), d / "a.dcm"), "image", r"a\.dcm: .* 3 frames"),
        (complex_nifti, "image", r"a\.nii: .* values of type"),
        (white_and_red, "mask", r"a\.png: expected a readable mask, found colours that are all equally bright"),
    ],
    ids=["empty", "text", "pages", "frames", "complex", "white-and-red"],
)
def test_refused(write: Callable[[Path], Path], mode: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetProblems, match=match):
        load(write(tmp_path), mode)


def test_missing_file_and_bad_lists(tmp_path: Path) -> None:
    a, b = save(ramp(), tmp_path / "a.png"), save(square(), tmp_path / "b.png")
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        load(tmp_path / "nothing.png")
    with pytest.raises(DatasetProblems, match=r"b\.png: expected the size \(6, 9\) of a\.png, found \(40, 60\)"):
        load([a, b], "mask")
    with pytest.raises(DatasetProblems, match="expected one image, found a list of 2 files"):
        load([a, b])
    with pytest.raises(ValueError, match=r"unknown mode 'masks'.*image, mask"):
        ImageFileReader("masks")


def test_error_keeps_its_message_between_processes() -> None:
    with pytest.raises(DatasetProblems) as caught:
        ImageFileReader().get_data([Path("a"), Path("b")])
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.problems) == (str(caught.value), caught.value.problems)
    assert str(DatasetProblems("as a worker sends it")) == "as a worker sends it"


@pytest.mark.slow
def test_works_in_spawned_workers(tmp_path: Path) -> None:
    records = [{"x": str(save(ramp(), tmp_path / f"{i}.png"))} for i in range(2)]
    transform = LoadImaged("x", reader=ImageFileReader(), ensure_channel_first=True, dtype=None)
    loader = DataLoader(Dataset(records, transform), batch_size=2, num_workers=1, multiprocessing_context="spawn")
    np.testing.assert_array_equal(next(iter(loader))["x"].numpy(), np.stack([GREY, GREY]))


@pytest.mark.parametrize(
    "write",
    [lambda d: save(square(), d / "a.png"), lambda d: save_dicom(square(), d / "a.dcm"), turned],
    ids=["png", "dicom", "exif"],
)
def test_resize_inverts_and_saves_upright(write: Callable[[Path], Path], tmp_path: Path) -> None:
    file = write(tmp_path)
    before = Compose(
        [
            LoadImaged("x", reader=ImageFileReader(), ensure_channel_first=True),
            Resized("x", (32, 32), mode="bilinear"),
        ]
    )
    data = before({"x": file})
    data["pred"] = data["x"].clone()
    inverted = Invertd("pred", before, orig_keys="x", nearest_interp=False)(data)["pred"]
    original = load(file)
    assert inverted.shape == original.shape
    torch.testing.assert_close(inverted.affine, original.affine)
    original = (original > original.max() / 2).to(torch.uint8)
    saver = SaveImage(tmp_path / "out", output_ext=".png", scale=255, resample=False, separate_folder=False)
    saver.set_options(write_kwargs={"reverse_indexing": False})
    saver(MetaTensor(original, meta=inverted.meta))
    written = np.asarray(Image.open(next((tmp_path / "out").glob("*.png"))))
    np.testing.assert_array_equal(written > 0, original[0].numpy() > 0)


@pytest.mark.parametrize(
    ("name", "supported"),
    [
        ("a.PNG", True),
        ("a.nii.gz", True),
        ("a.IMA", True),
        ("a.gz", False),
        ("a.NRRD", True),
        ("a.mha", True),
        ("a.vtk", False),
        ("notes.txt", False),
    ],
)
def test_supported_suffix(name: str, supported: bool, tmp_path: Path) -> None:
    assert is_supported(tmp_path / name) is supported
    assert ImageFileReader().verify_suffix([tmp_path / name, tmp_path / "a.png"]) is supported


VERIFIED = [
    "grey.png",
    "rgb.jpg",
    "rgba.png",
    "palette.png",
    "deep.png",
    "one_bit.png",
    "turned.jpg",
    "cmyk.jpg",
    "la.png",
]


@pytest.mark.parametrize("name", VERIFIED)
@pytest.mark.parametrize("cut", [False, True])
def test_verify_finds_what_reading_finds(name: str, cut: bool, tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    modes = {"grey": "L", "rgba": "RGBA", "palette": "P", "one_bit": "1", "cmyk": "CMYK", "la": "LA"}
    image = Image.fromarray(colour).convert(modes.get(name.partition(".")[0], "RGB"))
    if name == "deep.png":
        image = Image.fromarray(colour[..., 0].astype(np.uint16) * 200)
    exif = Image.Exif()
    exif[0x0112] = 6 if name == "turned.jpg" else 1
    path = tmp_path / name
    image.save(path, exif=exif)
    reader = ImageFileReader()
    if cut:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        errors = []
        for look in (lambda: verify_image(path), lambda: reader.get_data(path)):
            with pytest.raises(DatasetProblems) as raised:
                look()
            errors.append(raised.value.problems[0])
        # a JPEG at an eighth of its size misses another number of bytes
        assert str(errors[0]).partition("(")[0] == str(errors[1]).partition("(")[0]
        return
    array, _ = reader.get_data(path)
    assert verify_image(path) == (array.shape[:2], 1 if array.ndim == 2 else 3)
