# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images with transparency as images without."""

from __future__ import annotations

from PIL import Image

__all__ = ["without_alpha"]


def without_alpha(image: Image.Image, mode: str = "image") -> Image.Image:
    """Lay an image with transparency on black; what would be black all over is told, or read as it is meant.

    Where nothing is opaque, the colours count alone: some programs write images of 32 bits with an unused, empty
    fourth channel. A mask whose colours are black all over is in its opacity: opaque is the structure.

    Args:
        image: loaded, of any mode; without transparency it comes back as it is.
        mode: ``"image"`` or ``"mask"``.

    Returns:
        an image of mode RGB, if there was transparency.

    Raises:
        ValueError: the image is not of one colour, but what is opaque of it is black; or a mask of one colour that
            is not opaque anywhere, which may mean "nothing" or "everything".
    """
    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    colours, alpha = rgba.convert("RGB"), rgba.getchannel("A")
    shown = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), rgba).convert("RGB")
    if _is_black(shown) and not _is_black(colours):
        return _hidden(colours, alpha, mode)
    if _is_black(colours) and not _is_uniform(alpha):
        return _in_alpha(alpha, mode)
    return shown


def _hidden(colours: Image.Image, alpha: Image.Image, mode: str) -> Image.Image:
    """There are colours, and none of them is visible."""
    if not _is_black(alpha):
        raise ValueError("colours that are all transparent, and the rest is black; save it without transparency")
    if mode == "mask" and _is_uniform(colours):
        raise ValueError("one colour that is transparent all over; save the mask as black and white")
    return colours


def _in_alpha(alpha: Image.Image, mode: str) -> Image.Image:
    """Black all over, more or less opaque."""
    if mode != "mask":
        raise ValueError("black all over, only transparency differs; save it without transparency")
    return Image.merge("RGB", [alpha] * 3)


def _is_black(image: Image.Image) -> bool:
    return image.getbbox() is None


def _is_uniform(image: Image.Image) -> bool:
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(low == high for low, high in bands)
