# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether the values between dark and bright of a mask are smooth edges, or classes of a label map."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageFilter
from scipy import ndimage

from monai_vlsm.counts import counted

__all__ = ["between_fault", "label_fault", "label_map_fault", "populated"]

# after lossy compression, and for smooth masks
TOLERATED = 0.002  # share of the image that may have values in between without being an edge
FLAT = 38  # of 255, span of 5 x 5 pixels below which they are an area and not an edge
MOST_BETWEEN = 0.15  # share of the image in between from which on it is no mask, edges or not

# of values as they were saved
SAME = 0.99  # of the highest value, above which a value counts as the highest (254 and 255)
LABELS_MAX = 20  # up to here, more than two whole numbers are labels: edges have no such steps
FEW = 16  # values that a label map of large numbers or of grey may have; smooth masks have more
OFF_EDGE = 0.25  # of the pixels in between, that may be darkest or brightest among their neighbours
NOISE = 0.08  # of the highest value, within which a former JPEG has values at both ends
FAINT = 0.1  # of the highest value, up to which something of a smooth mask may be an echo of its edges
DIM = 0.25  # and up to which thin things are held to be no part of what they touch
ECHO = 16  # pixels from a structure within which a former JPEG has dim values, since it is made of blocks
CLASSES = 0.5  # of the pixels in between, from which on areas of one value make a label map of many values

NAMED = 4  # values that a message names

EIGHT = np.ones((3, 3), bool)


def label_fault(values: np.ndarray) -> str | None:
    """Why values that are exactly those that somebody saved are more than background, structure and smooth edges.

    Two values are a mask, whatever they are, and so are values within 1 % of the highest. Else pixels in between must
    be edges: they have a darker and a brighter neighbour, and belong to something that is brighter than half of the
    highest value, so that nothing that is there becomes nothing. Whole numbers up to 20 are labels whatever they look
    like. Masks of more than 16 values, and those that were a JPEG, may be smooth: :func:`between_fault`.

    Args:
        values: ``(rows, columns)``, finite and at least 0.
    """
    levels, ranks = _ranked(values)
    if len(levels) > 2 and levels[-1] <= LABELS_MAX and (levels == np.round(levels)).all():
        return label_map_fault(values)
    top = int(np.searchsorted(levels, SAME * levels[-1], "right"))  # from here on, values count as the highest
    if top <= 1:
        return None
    ranks = np.minimum(ranks, top)
    darkest, brightest = _neighbours(ranks)
    between = (ranks > 0) & (ranks < top)
    flat = between & (darkest == brightest)
    smooth = top >= FEW or _was_lossy(levels)
    if smooth and flat.sum() < CLASSES * between.sum():
        reach = ECHO if _was_lossy(levels) else 0
        return between_fault(values) or next(
            filter(None, (_lost(values, share, reach) for share in (FAINT, DIM))), None
        )
    off_edge = between & ((darkest == ranks) | (brightest == ranks))
    if smooth or flat.any() or off_edge.sum() > OFF_EDGE * between.sum():
        return label_map_fault(values)
    return _lost(values, float(levels[0] / levels[-1]))


def _ranked(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different values in order, and the place of each pixel's value among them."""
    if values.dtype.kind != "u" or values.dtype.itemsize > 2:
        levels, ranks = np.unique(values, return_inverse=True)
        return levels, ranks.reshape(values.shape)
    there = np.bincount(values.ravel(), minlength=256) > 0  # quicker than sorting
    places = np.cumsum(there) - 1
    return np.flatnonzero(there), (places.astype(np.uint8) if places[-1] < 256 else places)[values]


def _neighbours(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest of each pixel and its eight neighbours."""
    if ranks.max() > 255:
        return ndimage.minimum_filter(ranks, 3, mode="nearest"), ndimage.maximum_filter(ranks, 3, mode="nearest")
    image = Image.fromarray(ranks.astype(np.uint8))  # Pillow is quicker
    lowest, highest = image.filter(ImageFilter.MinFilter(3)), image.filter(ImageFilter.MaxFilter(3))
    return np.asarray(lowest), np.asarray(highest)


def between_fault(values: np.ndarray) -> str | None:
    """Why a mask with noise or smooth edges is none: values from a quarter to three quarters make areas.

    Allowed are such values on edges (they are not flat) and elsewhere on 0.2 % of the image; on 15 % in all.

    Args:
        values: ``(rows, columns)``, finite floats of at least 0.
    """
    if _middle(values, float(values.max())).mean() <= TOLERATED:
        return None
    return f"more than two values, {populated(values)}; a mask has one bright structure on dark ground"


def populated(values: np.ndarray) -> str:
    """The most frequent values and their share of the image."""
    unique, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:4]
    shares = ", ".join(f"{unique[i]:g} ({_share(int(counts[i]), values.size)})" for i in order)
    return f"{counted(len(unique), 'value')}: {shares}{', ...' if len(unique) > 4 else ''}"


def _share(count: int, size: int) -> str:
    if count >= size / 1000:
        return f"{count / size:.1%}"
    return counted(int(count), "pixel")


def label_map_fault(values: np.ndarray) -> str:
    """That an image is a label map, and what to do with it."""
    there = [value for value in np.unique(values) if value]
    numbers = ", ".join(f'"{value:g}": "NAME"' for value in there[:NAMED])
    rest = ", ..." if len(there) > NAMED else ""
    named = f", or name the values in labels.json beside the list, {{{numbers}{rest}}}"
    whole = all(value == round(value) for value in there)
    return f"a label map, {populated(values)}; write one mask for each value{named if whole else ''}"


def _was_lossy(levels: np.ndarray) -> bool:
    """Whether several values near both ends tell that the file was a JPEG before."""
    span = NOISE * levels[-1]
    dark, bright = levels[levels < levels[0] + span], levels[levels > levels[-1] - span]
    noise = len(dark) - 1, len(bright) - 1
    return min(noise) >= 1 and sum(noise) >= 3


def _lost(values: np.ndarray, share: float, reach: int = 0) -> str | None:
    """Say what of the structures would be nothing, since they are nowhere brighter than half of the brightest.

    Args:
        values: of the mask.
        share: of the highest value, above which pixels are something.
        reach: pixels from what is brighter than half, within which dim things are nothing.
    """
    high = values.max()
    labels, count = ndimage.label(values > share * high, EIGHT)
    index = np.arange(1, count + 1)
    brightest = ndimage.maximum(values, labels, index)
    lost = brightest <= high / 2
    if reach and lost.any():
        near = ndimage.maximum_filter(values > high / 2, 2 * reach + 1)
        lost &= (brightest > DIM * high) | (ndimage.maximum(near, labels, index) == 0)
    if not lost.any():
        return None
    which = f"{lost.sum()} of {count} structures that are nowhere brighter than half of the brightest and would be lost"
    return f"{which}, {populated(values)}; save the mask with 0 and 1"


def _middle(values: np.ndarray, high: float) -> np.ndarray:
    """Pixels between dark and bright that are no edge but part of a flat area, bool of the same shape."""
    between = (values > high / 4) & (values < high * 3 / 4)
    if not between.any() or between.mean() > MOST_BETWEEN:
        return between
    grey = Image.fromarray((values * (255 / high)).astype(np.uint8))
    span = np.asarray(ImageChops.subtract(grey.filter(ImageFilter.MaxFilter(5)), grey.filter(ImageFilter.MinFilter(5))))
    return between & (span < FLAT)
