# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether the values between dark and bright of a mask are smooth edges, or classes of a label map."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageFilter
from scipy import ndimage

__all__ = ["between_fault", "label_fault", "populated"]

# after lossy compression, and for smooth masks
TOLERATED = 0.002  # share of the picture that may have values in between without being an edge
FLAT = 38  # of 255, span of 5 x 5 pixels below which they are an area and not an edge
MOST_BETWEEN = 0.15  # share of the picture in between from which on it is no mask, edges or not

# of values as they were saved
SAME = 0.99  # of the highest value, above which a value counts as the highest (254 and 255)
LABELS_MAX = 20  # up to here, more than two whole numbers are labels: edges have no such steps
FEW = 16  # values that a label map of large numbers or of grey may have; smooth masks have more
OFF_EDGE = 0.25  # of the pixels in between, that may be darkest or brightest among their neighbours
NOISE = 0.08  # of the highest value, within which a former JPEG has values at both ends
CLASSES = 0.5  # of the pixels in between, from which on areas of one value make a label map of many values

EIGHT = np.ones((3, 3), bool)


def label_fault(values: np.ndarray) -> str | None:
    """Why values that are exactly those that somebody saved are more than background, structure and smooth edges.

    Two values are a mask, whatever they are, and so are values within 1 % of the highest. Else pixels in between must
    be edges: they have a darker and a brighter neighbour, and belong to something that is brighter than half of the
    highest value, so that nothing that is there becomes nothing. Whole numbers up to 20 are labels whatever they look
    like. Masks of more than 16 values, and those that were a JPEG, may be smooth: :func:`between_fault`.

    Args:
        values: ``(rows, columns)``, finite floats of at least 0.
    """
    high = values.max()
    levels = np.unique(values)
    if len(levels) > 2 and high <= LABELS_MAX and (levels == np.round(levels)).all():
        return _label_map(values)
    former_jpeg = _was_lossy(levels)
    merged = np.where(values > SAME * high, high, values)
    levels = np.unique(merged)
    if len(levels) <= 2:
        return None
    between = (merged > levels[0]) & (merged < high)
    smooth = len(levels) > FEW or former_jpeg
    if smooth and _flat(merged, between).sum() < CLASSES * between.sum():
        return between_fault(values) or _lost(values, values > high / 4)
    if smooth or _off_edge(merged, between):
        return _label_map(values)
    return _lost(merged, merged > levels[0])


def between_fault(values: np.ndarray) -> str | None:
    """Why a mask with noise or smooth edges is none: values from a quarter to three quarters make areas.

    Allowed are such values on edges (they are not flat) and elsewhere on 0.2 % of the picture; on 15 % in all.

    Args:
        values: ``(rows, columns)``, finite floats of at least 0.
    """
    if _middle(values, float(values.max())).mean() <= TOLERATED:
        return None
    return f"more than two values, {populated(values)}; a mask has one bright structure on dark ground"


def populated(values: np.ndarray) -> str:
    """The most frequent values and their share of the picture."""
    unique, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:4]
    shares = ", ".join(f"{unique[i]:g} ({_share(int(counts[i]), values.size)})" for i in order)
    return f"{len(unique)} values: {shares}{', ...' if len(unique) > 4 else ''}"


def _share(count: int, size: int) -> str:
    if count >= size / 1000:
        return f"{count / size:.1%}"
    return f"{count} pixel{'s' if count > 1 else ''}"


def _label_map(values: np.ndarray) -> str:
    return f"a label map, {populated(values)}; write one mask for each value"


def _was_lossy(levels: np.ndarray) -> bool:
    """Whether several values near both ends tell that the file was a JPEG before."""
    span = NOISE * levels[-1]
    dark, bright = levels[levels < levels[0] + span], levels[levels > levels[-1] - span]
    noise = len(dark) - 1, len(bright)  # the brightest are one value already
    return min(noise) >= 1 and sum(noise) >= 3


def _flat(values: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Pixels in between whose eight neighbours have their value."""
    return between & (_neighbours(values, ndimage.minimum_filter) == _neighbours(values, ndimage.maximum_filter))


def _off_edge(values: np.ndarray, between: np.ndarray) -> bool:
    darkest, brightest = (_neighbours(values, kind) for kind in (ndimage.minimum_filter, ndimage.maximum_filter))
    if (between & (darkest == brightest)).any():
        return True
    off = between & ((darkest == values) | (brightest == values))
    return bool(off.sum() > OFF_EDGE * between.sum())


def _neighbours(values: np.ndarray, kind: object) -> np.ndarray:
    found: np.ndarray = kind(values, size=3, mode="nearest")  # type: ignore[operator]
    return found


def _lost(values: np.ndarray, there: np.ndarray) -> str | None:
    """Say what of the structures would be nothing, since they are nowhere brighter than half of the brightest."""
    labels, count = ndimage.label(there, EIGHT)
    brightest = ndimage.maximum(values, labels, np.arange(1, count + 1))
    lost = int((brightest <= values.max() / 2).sum())
    if not lost:
        return None
    which = f"{lost} of {count} structures that are nowhere brighter than half of the brightest and would be lost"
    return f"{which}, {populated(values)}; save the mask with 0 and 1"


def _middle(values: np.ndarray, high: float) -> np.ndarray:
    """Pixels between dark and bright that are no edge but part of a flat area, bool of the same shape."""
    between = (values > high / 4) & (values < high * 3 / 4)
    if not between.any() or between.mean() > MOST_BETWEEN:
        return between
    grey = Image.fromarray((values * (255 / high)).astype(np.uint8))
    span = np.asarray(ImageChops.subtract(grey.filter(ImageFilter.MaxFilter(5)), grey.filter(ImageFilter.MinFilter(5))))
    return between & (span < FLAT)
