# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Label maps of two axes: numbers, palettes and colours, and the mask of one class of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from monai.utils import MetaKeys
from PIL import Image

from monai_vlsm.data.alpha import without_alpha
from monai_vlsm.data.dicom import read_dicom
from monai_vlsm.data.formats import file_kind
from monai_vlsm.data.images import upright_image
from monai_vlsm.data.lossy import is_lossy
from monai_vlsm.data.slices import flat_slice
from monai_vlsm.data.volumes import Address, open_stack, read_any
from monai_vlsm.data.volumes.explained import explained
from monai_vlsm.data.volumes.numbers import as_labels, count_labels

__all__ = ["LabelImage", "class_mask", "read_label_map"]


@dataclass(frozen=True)
class LabelImage:
    """What a label map holds.

    Args:
        numbers: ``(rows, columns)``, whole; None for an image in colour.
        colours: ``(rows, columns, 3)``, uint8; None for numbers that are no grey of 8 bits.
    """

    numbers: np.ndarray | None
    colours: np.ndarray | None

    @property
    def size(self) -> tuple[int, ...]:
        """Rows and columns."""
        whole = self.colours if self.numbers is None else self.numbers
        assert whole is not None
        return whole.shape[:2]

    def number_counts(self) -> dict[int, int]:
        """Pixels of each number but 0; nothing for an image in colour."""
        return {} if self.numbers is None else count_labels(self.numbers)

    def colour_counts(self) -> dict[str, int]:
        """Pixels of each colour but black, by six hexadecimal digits."""
        if self.colours is None:
            return {}
        values, times = np.unique(_packed(self.colours), return_counts=True)
        return {f"{value:06x}": int(count) for value, count in zip(values, times, strict=True) if value}

    def mask(self, labels: tuple[int, ...], colour: str | None) -> np.ndarray:
        """Where one of the labels is, or the colour, or anything if none is named; ``(rows, columns)`` of 0 and 1.

        Raises:
            ValueError: numbers of an image in colour, or a colour of numbers that are none.
        """
        if colour is not None:
            if self.colours is None:
                raise ValueError(f"numbers beyond 8 bits, expected colours, of which one is #{colour}")
            return (_packed(self.colours) == int(colour, 16)).astype(np.uint8)
        if self.numbers is None:
            raise ValueError(
                "colours, expected numbers; name the colours in the table of labels, such as "
                '"labels": {"#ff0000": "NAME"}, or save the numbers'
            )
        return (np.isin(self.numbers, labels) if labels else self.numbers != 0).astype(np.uint8)


def class_mask(address: Address, known: dict[str, LabelImage]) -> np.ndarray:
    """Where a label map has what is meant, to the pixel.

    Args:
        address: of the class; without one all that is not 0.
        known: label maps that were read already, by their own addresses; what is read is added.

    Returns:
        ``(rows, columns)`` of 0 and 1.

    Raises:
        MissingFileError: no such file.
        DatasetProblems: no label map, see `read_label_map`.
        ValueError: no such slice, or a class that such a label map cannot have.
    """
    place = str(address.without_labels())
    if place not in known:
        known[place] = _slice_labels(address) if address.plane else read_label_map(address.file)
    return known[place].mask(address.labels, address.colour)


def _slice_labels(address: Address) -> LabelImage:
    stack = open_stack(address.file, address.plane or "", address.channel)
    return LabelImage(as_labels(stack.at(address.index or 0)), None)


def _packed(colours: np.ndarray) -> np.ndarray:
    packed: np.ndarray = colours.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    return packed


def read_label_map(file: str | Path) -> LabelImage:
    """A label map as it was meant: of a palette the indices are its numbers, of 1 bit 0 and 1.

    Args:
        file: an image, DICOM, or a volume of one slice.

    Raises:
        MissingFileError: no such file.
        DatasetProblems: a file that cannot be read, whose compression changes numbers, or whose values are none.
    """
    path = Path(file)
    with explained(path, "label map"):
        if is_lossy(path):
            raise ValueError("a file whose compression changes numbers, such as JPEG; save the label map as PNG")
        if file_kind(path) == "image":
            with upright_image(path) as (image, _):
                return _of_image(image)
        array = read_dicom(path)[0] if file_kind(path) == "dicom" else _flat(path)
        return LabelImage(as_labels(array), None) if array.ndim == 2 else _of_colours(array)


def _flat(path: Path) -> np.ndarray:
    array, meta = read_any(path)
    image = flat_slice(array, meta[MetaKeys.ORIGINAL_AFFINE])
    if image is None:
        raise ValueError(f"a volume of shape {array.shape}, of which no slice is named")
    return image


def _of_image(image: Image.Image) -> LabelImage:
    if image.mode.startswith("I") or image.mode == "F":
        return LabelImage(as_labels(np.asarray(image)), None)
    found = _of_colours(np.asarray(without_alpha(image, "mask").convert("RGB")))
    indices = np.asarray(image).astype(np.uint8) if image.mode in ("P", "1") else found.numbers
    return LabelImage(indices, found.colours)


def _of_colours(colours: np.ndarray) -> LabelImage:
    """Grey is a number too."""
    grey = all(np.array_equal(colours[..., 0], colours[..., index]) for index in (1, 2))
    return LabelImage(colours[..., 0] if grey else None, colours)
