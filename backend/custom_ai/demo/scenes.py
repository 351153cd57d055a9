"""Invented photographs with known labels: a table top with mugs, leaves and tools on it.

The same seed and number always give the same picture. Twelve pictures in a row from a multiple of twelve
hold 11 or 12 objects of each class.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from custom_ai.demo.objects import CLASSES, colour, draw_parts, paint
from custom_ai.demo.truth import shape_of
from custom_ai.types import Box, ImageSize, LabelKind

__all__ = ["CLASSES", "Scene", "make_scenes"]

CYCLE = (2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 6)
"""Objects per picture, in an order that each cycle shuffles."""
SIZES = ((640, 480), (640, 480), (600, 450), (720, 480), (640, 512), (480, 640))
TURNED = 5
"""Of each twelve pictures, two (this one and the sixth after it) are stored turned, with an EXIF note."""
FINE = 2
"""Pictures are painted so many times larger and then scaled down, which smoothes the edges."""
HIDDEN = 0.3
"""At most this share of an object is hidden by one that lies on it ..."""
INSIDE = 0.8
"""... and at least this share of it lies within the picture."""
TILT = {"mug": 0.35, "leaf": np.pi, "tool": 0.9}
"""How far each class is turned from upright, in radians."""

Canvas = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture file; size and boxes are those of the upright picture, as a person sees it."""

    path: Path
    size: ImageSize
    boxes: tuple[Box, ...]


def make_scenes(
    folder: Path, count: int, seed: int = 0, start: int = 0, kind: LabelKind = LabelKind.BOX
) -> list[Scene]:
    """Write the pictures ``start`` to ``start + count - 1`` of the series ``seed`` as JPEG files.

    The pictures are the same for every ``kind``; only the shapes of the labels differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_make_scene(folder, number, seed, kind) for number in range(start, start + count)]


def _labels(number: int, seed: int) -> list[str]:
    """The classes of the objects of one picture; each three objects of a cycle are one of each class."""
    cycle, place = divmod(number, len(CYCLE))
    random = np.random.default_rng((seed, cycle, 1))
    counts = random.permutation(CYCLE)
    deck = [CLASSES[k] for _ in range(sum(CYCLE) // 3 + 1) for k in random.permutation(3)]
    first = int(counts[:place].sum())
    return deck[first : first + int(counts[place])]


def _make_scene(folder: Path, number: int, seed: int, kind: LabelKind) -> Scene:
    random = np.random.default_rng((seed, number, 2))
    width, height = SIZES[int(random.integers(len(SIZES)))]
    light = float(random.uniform(0, 2 * np.pi))
    canvas = _table(width * FINE, height * FINE, random)
    for _ in range(int(random.integers(3, 9))):
        _clutter(canvas, random)
    owner = np.full(canvas.shape[:2], -1, np.int16)
    labels = _labels(number, seed)
    tilts = [_add_object(canvas, owner, index, label, light, random) for index, label in enumerate(labels)]
    pixels = _photograph(canvas, width, height, light, random)
    boxes = [
        shape_of(label, owner == index, kind, tilt)
        for index, (label, tilt) in enumerate(zip(labels, tilts, strict=True))
    ]
    path = folder / f"scene-{number:04d}.jpg"
    _save(path, pixels, turned=number % 6 == TURNED, quality=int(random.integers(82, 94)))
    return Scene(path, ImageSize(width, height), tuple(boxes))


def _add_object(
    canvas: Canvas, owner: NDArray[np.int16], index: int, label: str, light: float, random: np.random.Generator
) -> float:
    """Paint one object where it leaves enough of itself and of the others to see. Always succeeds.

    Returns by how much it is turned, in radians, clockwise.
    """
    parts = draw_parts(label, random)
    height, width = owner.shape
    areas = {other: int((owner == other).sum()) for other in range(index)}
    for attempt in range(200):
        side = random.uniform(0.22, 0.42) * min(width, height) * 0.99**attempt
        tilt = random.uniform(-TILT[label], TILT[label])
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        radius = int(side * 0.75)
        x, y = int(random.uniform(0.06, 0.94) * width), int(random.uniform(0.08, 0.92) * height)
        squash = np.diag([random.uniform(0.85, 1.0), 1.0])
        place = np.column_stack([turn @ squash * side, [radius, radius]])
        sprite = np.zeros((2 * radius, 2 * radius, 3), np.float32)
        painted = paint(sprite, parts, place, light)
        top, left = max(y - radius, 0), max(x - radius, 0)
        here = np.s_[top : y + radius, left : x + radius]
        cut = np.s_[top - y + radius : height - y + radius, left - x + radius : width - x + radius]
        covered = np.zeros((height, width), bool)
        covered[here] = painted[cut]
        hidden = {other: int((covered & (owner == other)).sum()) for other in areas}
        crowded = any(hidden[other] > HIDDEN * areas[other] for other in areas)
        if crowded or covered.sum() < INSIDE * painted.sum():
            continue
        _shadow(canvas, covered, side, light)
        canvas[covered] = sprite[cut][painted[cut]]
        owner[covered] = index
        return tilt
    raise RuntimeError(f"no room for a {label}")


def _shadow(canvas: Canvas, covered: NDArray[np.bool_], side: float, light: float) -> None:
    """Darken what lies around ``covered``, away from the light."""
    x, y, width, height = cv2.boundingRect(covered.astype(np.uint8))
    blur = max(side * 0.06, 1.0)
    margin = int(4 * blur)
    near = np.s_[max(y - margin, 0) : y + height + margin, max(x - margin, 0) : x + width + margin]
    away = np.array([[1, 0, -np.cos(light) * blur], [0, 1, -np.sin(light) * blur]])
    mask = covered[near].astype(np.float32)
    dark = cv2.warpAffine(mask, away, mask.shape[::-1])
    canvas[near] *= 1 - 0.5 * cv2.GaussianBlur(dark, (0, 0), blur)[..., None]


def _table(width: int, height: int, random: np.random.Generator) -> Canvas:
    """A table top: wood, cloth, stone or plain paint, with uneven light."""
    hue = random.uniform(0.03, 0.13) if random.random() < 0.5 else random.random()
    base = np.array(colour(hue, random.uniform(0.05, 0.5), random.uniform(0.35, 0.9)), np.float32)
    kind = random.choice(["wood", "cloth", "stone", "paint"])
    x, y = np.meshgrid(np.linspace(0, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    pattern = 0.05 * _noise(width, height, 6, random)
    if kind == "wood":
        grain = _noise(width, height, 3, random) * 0.6 + y * random.uniform(12, 30)
        planks = np.floor(y * random.integers(3, 7))
        pattern = pattern + 0.07 * np.sin(grain * 6 + planks * 2.1) + 0.05 * np.cos(planks * 5.3)
        pattern = pattern - 0.25 * (np.mod(y * random.integers(3, 7), 1) < 0.012)
    elif kind == "cloth":
        lines = float(random.uniform(5, 14)) * np.pi
        pattern = pattern + 0.08 * np.sign(np.sin(x * lines * 1.33)) + 0.08 * np.sign(np.sin(y * lines))
    elif kind == "stone":
        pattern = pattern + 0.1 * _noise(width, height, 24, random) + 0.1 * _noise(width, height, 90, random)
    image = base * (1 + pattern)[..., None]
    return np.ascontiguousarray(image, np.float32)


def _noise(width: int, height: int, cells: int, random: np.random.Generator) -> Canvas:
    """Smooth noise of about -1..1, (height, width)."""
    coarse = random.normal(0, 0.6, (cells + 2, cells + 2)).astype(np.float32)
    smooth: Canvas = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return smooth


def _clutter(canvas: Canvas, random: np.random.Generator) -> None:
    """Something that is none of the classes: paper, a coin or plate, a pencil, a stain, a pebble."""
    height, width = canvas.shape[:2]
    x, y = int(random.uniform(0, width)), int(random.uniform(0, height))
    paint_colour = colour(random.random(), random.uniform(0, 0.8), random.uniform(0.2, 1.0))
    size = random.uniform(0.03, 0.16) * min(width, height)
    mask = np.zeros((height, width), np.uint8)
    kind = random.choice(["paper", "disc", "pencil", "blob"])
    if kind == "paper":
        sheet = ((x, y), (size * random.uniform(1, 2.4), size * random.uniform(1, 2)), random.uniform(0, 180))
        cv2.fillPoly(mask, [cv2.boxPoints(sheet).astype(np.int32)], 1)
    elif kind == "disc":
        axes = (int(size), int(size * random.uniform(0.7, 1)))
        cv2.ellipse(mask, (x, y), axes, random.uniform(0, 180), 0, 360, 1, -1)
    elif kind == "pencil":
        angle, length = random.uniform(0, 2 * np.pi), size * 3
        end = (int(x + np.cos(angle) * length), int(y + np.sin(angle) * length))
        cv2.line(mask, (x, y), end, 1, max(int(size * 0.14), 3))
    else:
        around = np.linspace(0, 2 * np.pi, 14)[:-1]
        reach = size * random.uniform(0.4, 0.9, len(around))
        points = np.stack([x + np.cos(around) * reach, y + np.sin(around) * reach], axis=1)
        cv2.fillPoly(mask, [points.astype(np.int32)], 1)
    where = mask.astype(bool)
    _shadow(canvas, where, size, 0.0)
    strength = random.uniform(0.55, 1.0)
    canvas[where] = canvas[where] * (1 - strength) + np.asarray(paint_colour, np.float32) * strength


def _photograph(
    canvas: Canvas, width: int, height: int, light: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Scale down, then light falloff, a little blur, grain and white balance."""
    image = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    x, y = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    slope = random.uniform(0.0, 0.22) * (np.cos(light) * x + np.sin(light) * y)
    image = image * (random.uniform(0.85, 1.12) + slope - 0.08 * (x**2 + y**2))[..., None]
    image = image * random.uniform(0.94, 1.06, 3).astype(np.float32)
    image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.1))
    image = image + random.normal(0, random.uniform(1, 6), image.shape).astype(np.float32)
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def _save(path: Path, upright: NDArray[np.uint8], turned: bool, quality: int) -> None:
    """``turned``: store it as a camera held on its side does; EXIF orientation 6 says "turn clockwise"."""
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
        upright = np.ascontiguousarray(np.rot90(upright))
    Image.fromarray(upright).save(path, quality=quality, exif=exif)
