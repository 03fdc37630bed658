# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Procedurally drawn scenes: images of simple things whose every attribute is known.

A scene is a square RGB image, an index map that says which thing is visible at each pixel, and the list of the
things. Nothing is taken from a photograph: the only inputs are a random generator and the tables of this module.
The attributes are those of the VLSM-Adapter paper's prompts (number, size, colour, shape, location).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

__all__ = ["COLOURS", "GREYS", "SHAPES", "SIZES", "Scene", "Thing", "draw_scene"]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 35),
    "green": (40, 165, 60),
    "blue": (40, 70, 215),
    "yellow": (235, 215, 45),
    "orange": (240, 135, 25),
    "purple": (125, 45, 165),
    "pink": (245, 150, 185),
    "brown": (120, 72, 35),
    "cyan": (60, 205, 220),
    "white": (242, 242, 242),
    "grey": (128, 128, 128),
    "black": (18, 18, 18),
}
GREYS: tuple[str, ...] = ("white", "grey", "black")
SHAPES: tuple[str, ...] = (
    "circle",
    "oval",
    "square",
    "rectangle",
    "triangle",
    "star",
    "cross",
    "ring",
    "crescent",
    "blob",
    "ribbon",
    "diamond",
)
# Shares of the image's area. The gaps between the classes keep the words unambiguous.
SIZES: dict[str, tuple[float, float]] = {"small": (0.008, 0.018), "medium": (0.032, 0.055), "large": (0.09, 0.17)}
HUGE = (0.28, 0.55)
_OVERSAMPLE = 2

Points = np.ndarray


@dataclass(frozen=True)
class Thing:
    """One nameable thing of a scene.

    Args:
        indexes: values of the index map that belong to the thing (several for a whole made of parts).
        shape: a name of ``SHAPES``, or ``"part"`` for a region inside a whole.
        colour: a name of ``COLOURS``, or ``""`` for a whole whose parts differ in colour.
        size: a name of ``SIZES``, or ``""`` where no size word applies.
        centre: centroid of the visible pixels as fractions (x, y) of the image, y pointing down.
        relation: ``"inner"``, ``"outer"`` or ``""``.
    """

    indexes: tuple[int, ...]
    shape: str
    colour: str
    size: str
    centre: tuple[float, float]
    relation: str = ""


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Args:
        image: uint8 RGB image of shape (S, S, 3).
        index: uint8 map of shape (S, S); 0 is the background.
        things: everything that a prompt may name.
    """

    image: np.ndarray
    index: np.ndarray
    things: tuple[Thing, ...]


def _polar(radius: np.ndarray) -> Points:
    angle = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def _waves(rng: np.random.Generator, low: int, high: int, strength: float, count: int = 180) -> np.ndarray:
    """Sum of cosines with random phase, scaled so that its largest value is ``strength``; shape (count,)."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    order = np.arange(low, high)
    weight = rng.uniform(0.3, 1.0, len(order)) / np.sqrt(order)
    waves = (weight[:, None] * np.cos(order[:, None] * angle + rng.uniform(0, 6.3, (len(order), 1)))).sum(0)
    return strength * waves / np.abs(waves).max()


def _blob(rng: np.random.Generator) -> Points:
    radius = 1 + _waves(rng, 2, 6, rng.uniform(0.15, 0.4))
    if rng.random() < 0.5:
        radius = radius * (1 + _waves(rng, 9, 22, rng.uniform(0.05, 0.15)))
    return _polar(radius)


def _ribbon(rng: np.random.Generator) -> Points:
    along = np.linspace(-1, 1, 60)
    centre = np.stack([along, rng.uniform(0.15, 0.45) * np.sin(rng.uniform(3, 7) * along + rng.uniform(0, 6.3))], 1)
    tangent = np.gradient(centre, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / np.linalg.norm(tangent, axis=1, keepdims=True)
    width = rng.uniform(0.07, 0.14)
    return np.concatenate([centre + width * normal, (centre - width * normal)[::-1]])


def _outline(shape: str, rng: np.random.Generator) -> tuple[Points, Points | None]:
    """Outline of a shape around the origin, and the outline of what is cut out of it."""
    round_points = _polar(np.ones(72))
    if shape in ("circle", "oval"):
        stretch = rng.uniform(1.5, 2.2) if shape == "oval" else rng.uniform(0.95, 1.05)
        return round_points * [stretch, 1.0], None
    if shape == "ring":
        return round_points, round_points * rng.uniform(0.5, 0.78)
    if shape == "crescent":
        return round_points, round_points * 0.95 + [rng.uniform(0.5, 0.75), 0.0]
    if shape in ("square", "rectangle", "diamond"):
        stretch = {"square": 1.0, "rectangle": rng.uniform(1.7, 2.6), "diamond": rng.uniform(0.65, 0.8)}[shape]
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
        if shape == "diamond":
            corners = corners @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
        return corners * [stretch, 1.0], None
    if shape == "triangle":
        return _polar(np.ones(3)) @ np.diag([1.0, rng.uniform(0.85, 1.1)]), None
    if shape == "star":
        return _polar(np.where(np.arange(10) % 2, 0.42, 1.0)), None
    if shape == "cross":
        arm = rng.uniform(0.25, 0.36)
        quarter = np.array([[1, -arm], [1, arm], [arm, arm]])
        turn = np.array([[0, 1], [-1, 0]])
        return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)]), None
    return (_blob(rng) if shape == "blob" else _ribbon(rng)), None


def _turn(shape: str, rng: np.random.Generator) -> np.ndarray:
    """Rotation matrix; squares and diamonds stay near upright, because turning makes one the other."""
    limit = 0.2 if shape in ("square", "diamond") else np.pi
    angle = rng.uniform(-limit, limit)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _fill(points: Points, size: int) -> np.ndarray:
    """Anti-aliased coverage 0..1 of a polygon given in pixels; shape (size, size)."""
    canvas = Image.new("L", (size * _OVERSAMPLE,) * 2)
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in (points * _OVERSAMPLE).tolist()], fill=255)
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX), np.float32) / 255


def _cover(shape: str, area: float, centre: tuple[float, float], size: int, rng: np.random.Generator) -> np.ndarray:
    """Coverage of a shape of the given area (share of the image) at a centre (fractions); shape (size, size)."""
    outer, hole = _outline(shape, rng)
    turn = _turn(shape, rng)
    x, y = outer[:, 0], outer[:, 1]
    polygon = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    # Rings and crescents are measured with their hole, as the eye does.
    scale = size * np.sqrt(area / polygon)
    place = np.array(centre) * size
    cover = _fill(outer @ turn * scale + place, size)
    return cover if hole is None else cover * (1 - _fill(hole @ turn * scale + place, size))


@lru_cache(maxsize=4)
def _clouds(size: int) -> np.ndarray:
    """Bank of smooth random fields with zero mean and unit deviation; shape (96, size, size)."""
    rng = np.random.default_rng(7)
    fields = [
        ndimage.gaussian_filter(rng.normal(size=(size, size)), rng.uniform(1, 14), mode="wrap") for _ in range(96)
    ]
    return np.stack([(f - f.mean()) / f.std() for f in fields]).astype(np.float32)


def _cloud(size: int, rng: np.random.Generator) -> np.ndarray:
    field = _clouds(size)[rng.integers(96)]
    return np.roll(field, tuple(rng.integers(0, size, 2)), (0, 1))[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]


def _paint(rgb: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Float image (size, size, 3) of one colour with a texture of its own."""
    kind = rng.random()
    texture: np.ndarray = np.zeros((size, size), np.float32)
    if kind < 0.5:
        texture = rng.uniform(2, 14) * _cloud(size, rng)
    elif kind < 0.65:
        grid = np.mgrid[:size, :size] / size
        angle = rng.uniform(0, 6.3)
        wave = np.cos(angle) * grid[0] + np.sin(angle) * grid[1]
        texture = (rng.uniform(6, 14) * np.sin(rng.uniform(1, 90) * wave)).astype(np.float32)
    return rgb[None, None].astype(np.float32) + texture[..., None]


def _rgb(colour: str, rng: np.random.Generator) -> np.ndarray:
    base = np.array(COLOURS[colour], float)
    if colour in GREYS:
        return np.clip(base + rng.uniform(-26, 26), 0, 255) + rng.normal(0, 1.5, 3)
    return np.clip(base + rng.normal(0, 11, 3), 0, 255)


class _Canvas:
    """An image in the making: colours are composited, the index map follows the coverage."""

    def __init__(self, size: int, background: str, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.image = _paint(_rgb(background, rng), size, rng)
        self.index = np.zeros((size, size), np.uint8)
        self.parts: list[tuple[tuple[int, ...], str, str, str, str]] = []
        self.count = 0

    def lay(self, cover: np.ndarray, colour: str) -> int:
        """Paint a coverage with a colour and return its new index."""
        self.count += 1
        alpha = cover[..., None]
        self.image = (1 - alpha) * self.image + alpha * _paint(_rgb(colour, self.rng), self.size, self.rng)
        self.index[cover > 0.5] = self.count
        return self.count

    def name(self, indexes: tuple[int, ...], shape: str, colour: str, size: str, relation: str = "") -> None:
        """Declare that the indexes form a thing with these attributes."""
        self.parts.append((indexes, shape, colour, size, relation))

    def finish(self) -> Scene:
        """Apply the image-wide disturbances and measure the centroids; things of under 12 pixels are dropped."""
        rng, size, image = self.rng, self.size, self.image
        if rng.random() < 0.4:
            image = ndimage.gaussian_filter(image, (*(rng.uniform(0.3, 1.1),) * 2, 0))
        if rng.random() < 0.4:
            image = image * (1 + rng.uniform(0.03, 0.1) * _cloud(size, rng)[..., None])
        if rng.random() < 0.6:
            grey = rng.random() < 0.5
            image = image + rng.normal(0, rng.uniform(1, 14), (size, size, 1 if grey else 3))
        things = []
        for indexes, shape, colour, size_word, relation in self.parts:
            ys, xs = np.nonzero(np.isin(self.index, indexes))
            if len(xs) >= 12:
                centre = (float(xs.mean() + 0.5) / size, float(ys.mean() + 0.5) / size)
                things.append(Thing(indexes, shape, colour, size_word, centre, relation))
        return Scene(np.clip(image, 0, 255).astype(np.uint8), self.index, tuple(things))


def _palette(rng: np.random.Generator, grey: bool) -> tuple[str, list[str]]:
    """A background colour and the colours that stand out from it."""
    names = list(GREYS) if grey else list(COLOURS)
    background = str(rng.choice(["black", "black", "grey", "white"] if grey or rng.random() < 0.6 else names))
    return background, [n for n in names if n != background]


def _place(
    taken: list[tuple[float, float, float]], radius: float, rng: np.random.Generator
) -> tuple[float, float] | None:
    """A free centre for a disc of this radius (fractions), or None after 40 tries."""
    margin = min(0.85 * radius, 0.45)
    for _ in range(40):
        x, y = rng.uniform(margin, 1 - margin, 2)
        if all(np.hypot(x - a, y - b) > radius + r for a, b, r in taken):
            return float(x), float(y)
    return None


def _objects(size: int, grey: bool, rng: np.random.Generator) -> Scene:
    """One to six separate things; they share colours and shapes often enough that one word does not decide."""
    background, colours = _palette(rng, grey)
    canvas = _Canvas(size, background, rng)
    colours = list(rng.choice(colours, min(len(colours), int(rng.integers(2, 5))), replace=False))
    shapes = list(rng.choice(SHAPES, int(rng.integers(2, 5)), replace=False))
    words = list(rng.choice(list(SIZES), int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.04, 0.16, 0.25, 0.25, 0.2, 0.1]))))
    taken: list[tuple[float, float, float]] = []
    for word in sorted(words, key=list(SIZES).index, reverse=True):
        area = rng.uniform(*SIZES[word])
        radius = 1.25 * float(np.sqrt(area / np.pi))
        centre = _place(taken, radius, rng)
        if centre is None:
            continue
        taken.append((*centre, radius))
        shape, colour = str(rng.choice(shapes)), str(rng.choice(colours))
        index = canvas.lay(_cover(shape, area, centre, size, rng), colour)
        canvas.name((index,), shape, colour, word)
    return canvas.finish()


def _nested(size: int, grey: bool, rng: np.random.Generator) -> Scene:
    """A very large thing with one to three others on it: the image of an organ with something inside."""
    background, colours = _palette(rng, grey)
    canvas = _Canvas(size, background, rng)
    outer_colour = str(rng.choice(colours))
    outer_shape = str(rng.choice(["circle", "oval", "square", "blob", "blob", "ring"]))
    centre = (float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.4, 0.6)))
    index = canvas.lay(_cover(outer_shape, rng.uniform(*HUGE), centre, size, rng), outer_colour)
    canvas.name((index,), outer_shape, outer_colour, "large", "outer")
    inside = [c for c in [*colours, background] if c != outer_colour]
    taken: list[tuple[float, float, float]] = []
    for _ in range(int(rng.integers(1, 4))):
        word = str(rng.choice(["small", "medium"]))
        area = rng.uniform(*SIZES[word])
        radius = 1.25 * float(np.sqrt(area / np.pi))
        x, y = np.array(centre) + rng.uniform(-0.17, 0.17, 2)
        if any(np.hypot(x - a, y - b) <= radius + r for a, b, r in taken):
            continue
        taken.append((x, y, radius))
        shape, colour = str(rng.choice(SHAPES)), str(rng.choice(inside))
        canvas.name((canvas.lay(_cover(shape, area, (x, y), size, rng), colour),), shape, colour, word, "inner")
    return canvas.finish()


def _layers(cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Split a filled outline into an inside and an outside with a wavy border; returns the inside, (S, S) bool."""
    size = cover.shape[0]
    body = cover > 0.5
    if rng.random() < 0.25:
        return body & (_cloud(size, rng) > rng.uniform(-0.5, 0.5))
    depth = ndimage.distance_transform_edt(body) / size
    folds = rng.uniform(0.0, 0.045) * _cloud(size, rng)
    return body & (depth + folds > rng.uniform(0.03, 0.11))


def _tissue(size: int, grey: bool, rng: np.random.Generator) -> Scene:
    """One whole made of two or three parts with irregular borders, sometimes in a shell."""
    background, colours = _palette(rng, grey)
    canvas = _Canvas(size, background, rng)
    names = [str(c) for c in rng.permutation(colours)]
    centre = (float(rng.uniform(0.44, 0.56)), float(rng.uniform(0.44, 0.56)))
    radius = 1 + _waves(rng, 2, 5, rng.uniform(0.0, 0.12)) + _waves(rng, 8, 26, rng.uniform(0.0, 0.07))
    outline = _polar(radius) * [1.0, rng.uniform(0.8, 1.25)]
    scale = size * np.sqrt(rng.uniform(0.2, 0.5) / np.pi)
    place = np.array(centre) * size
    if rng.random() < 0.3:
        gap = rng.uniform(1.1, 1.2)
        shell = _fill(outline * scale * (gap + rng.uniform(0.05, 0.15)) + place, size)
        shell = shell * (1 - _fill(outline * scale * gap + place, size))
        colour = str(rng.choice(colours))
        canvas.name((canvas.lay(shell, colour),), "ring", colour, "", "outer")
    cover = _fill(outline * scale + place, size)
    indexes = [canvas.lay(cover, names[0])]
    inner = _layers(cover, rng)
    soft = ndimage.gaussian_filter(inner.astype(np.float32), 0.6) * cover
    indexes.append(canvas.lay(soft, names[1]))
    if rng.random() < 0.3:
        word = "small"
        spot = _cover("blob", rng.uniform(*SIZES[word]), centre, size, rng)
        colour = names[2] if len(names) > 2 else background
        indexes.append(canvas.lay(spot, colour))
        canvas.name((indexes[-1],), "blob", colour, word, "inner")
    canvas.name(tuple(indexes), "blob", "", "large")
    canvas.name((indexes[0],), "part", names[0], "")
    canvas.name((indexes[1],), "part", names[1], "")
    return canvas.finish()


def draw_scene(seed: int, size: int = 160) -> Scene:
    """Draw the scene that belongs to a seed; the same seed gives the same scene.

    Args:
        seed: any non-negative integer.
        size: edge of the image in pixels.

    Raises:
        ValueError: if ``size`` is below 32 pixels.
    """
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels to hold the things of a scene, got {size}.")
    rng = np.random.default_rng(seed)
    kind, grey = rng.random(), bool(rng.random() < 0.3)
    if kind < 0.62:
        return _objects(size, grey, rng)
    if kind < 0.78:
        return _nested(size, grey, rng)
    return _tissue(size, grey or bool(rng.random() < 0.5), rng)
