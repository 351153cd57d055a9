"""Generated pictures with known faces in them: how large, how turned, whether masked or seen from the side."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

DATA = Path(__file__).parents[1] / "data"
SIZE = (1280, 960)
ANGLES = (0, 30, 60, 90, 120, 150, 180)
PLAIN, MASKED, SIDEWAYS = "plain", "masked", "sideways"
Truth = tuple[float, float, float, float]


@dataclass
class Picture:
    """Pixels (height, width, 3) RGB, the faces in pixels, and by how much they are turned."""

    pixels: np.ndarray
    faces: list[Truth]
    angle: int = 0
    persons: list[int] = field(default_factory=list)
    """For each face, whose it is."""
    kinds: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Head:
    """A head with hair, and the face in it as detectors frame it."""

    pixels: np.ndarray
    face: tuple[int, int, int, int]


def heads() -> list[Head]:
    """Of four people; see tests/data/README.md."""
    return [
        Head(_photo("astronaut.jpg")[22:196, 62:194], (21, 39, 111, 154)),
        Head(_photo("faces/hopper.jpg"), (57, 68, 182, 218)),
        Head(_photo("faces/obama.jpg"), (47, 42, 152, 192)),
        Head(_photo("faces/biden.jpg"), (47, 66, 152, 216)),
    ]


def _photo(name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO((DATA / name).read_bytes())).convert("RGB"))


def scenes(count: int, seed: int) -> Iterator[Picture]:
    """Pictures with faces of all sizes, upright but for a little; then two for each angle."""
    draw = random.Random(seed)
    known = heads()
    for _ in range(count):
        yield _scene(draw, known, [draw.choice((9, 15, 27, 70)) for _ in range(12)], 0)
    for angle in ANGLES:
        for _ in range(2):
            yield _scene(draw, known, [draw.randint(28, 90) for _ in range(8)], angle)


def _scene(draw: random.Random, known: Sequence[Head], sizes: Sequence[int], angle: int) -> Picture:
    pixels = background(draw, SIZE)
    picture = Picture(pixels, [], angle)
    for number, size in enumerate(sizes):
        left, top = 40 + number % 4 * 310, 40 + number // 4 * 300
        person = draw.randrange(len(known))
        kind = draw.choices((PLAIN, MASKED, SIDEWAYS), (8, 1, 1))[0]
        face = _paste(draw, pixels, _varied(draw, known[person], kind), size * draw.uniform(0.8, 1.2), angle, left, top)
        picture.faces.append(face)
        picture.persons.append(person)
        picture.kinds.append(kind)
    noisy = pixels + np.random.default_rng(draw.randrange(10**9)).normal(0, draw.uniform(1, 6), pixels.shape)
    quality = draw.choice((70, 80, 90, 95))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    picture.pixels = np.asarray(Image.open(buffer))
    return picture


def background(draw: random.Random, size: tuple[int, int]) -> np.ndarray:
    """Soft colours with rectangles and circles, as nature has none; (width, height)."""
    colours = np.random.default_rng(draw.randint(0, 10**9)).integers(30, 225, (12, 16, 3), np.uint8)
    pixels = cv2.resize(colours, size, interpolation=cv2.INTER_CUBIC)
    for number in range(40):
        x, y = draw.randrange(size[0]), draw.randrange(size[1])
        colour, line = [draw.randrange(256) for _ in range(3)], draw.choice((-1, 2, 5))
        if number % 2:
            cv2.rectangle(pixels, (x, y), (x + draw.randint(10, 250), y + draw.randint(10, 250)), colour, line)
        else:
            sides = (draw.randint(5, 60), draw.randint(5, 80))
            cv2.ellipse(pixels, (x, y), sides, draw.randrange(180), 0, 360, colour, line)
    return pixels


def _varied(draw: random.Random, head: Head, kind: str) -> Head:
    """Another light, sharpness and side; half covered, or narrower as from the side."""
    pixels, (x1, y1, x2, y2) = head.pixels.copy(), head.face
    if kind == MASKED:  # from under the eyes to the chin
        top, middle = y1 + round(0.52 * (y2 - y1)), (x1 + x2) // 2
        corners = [(x1, top), (middle, top - 6), (x2, top), (x2 - 8, y2 - 14), (middle, y2 + 2), (x1 + 8, y2 - 14)]
        cv2.fillPoly(pixels, [np.array(corners)], draw.choice(((225, 235, 240), (120, 170, 205), (40, 40, 45))))
    if kind == SIDEWAYS:
        share = draw.uniform(0.55, 0.7)
        pixels = cv2.resize(pixels, (round(pixels.shape[1] * share), pixels.shape[0]), interpolation=cv2.INTER_AREA)
        x1, x2 = round(x1 * share), round(x2 * share)
    if draw.random() < 0.5:
        pixels = pixels[:, ::-1]
        x1, x2 = pixels.shape[1] - x2, pixels.shape[1] - x1
    grey = pixels.mean()
    light = (pixels - grey) * draw.uniform(0.6, 1.2) + grey * draw.uniform(0.5, 1.2)
    return Head(np.clip(light, 0, 255).astype(np.uint8), (x1, y1, x2, y2))


def _paste(draw: random.Random, pixels: np.ndarray, head: Head, size: float, angle: int, x: int, y: int) -> Truth:
    """Put the head, its face ``size`` pixels high, somewhere near x, y; returns the box of the face."""
    x1, y1, x2, y2 = head.face
    scale = size / (y2 - y1)
    turn = angle * draw.choice((-1, 1)) + draw.uniform(-10, 10)
    height, width = head.pixels.shape[:2]
    side = max(round(1.5 * max(height, width) * scale), 8)
    way = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
    way[:, 2] += side / 2 - np.array([width / 2, height / 2])
    sharp = cv2.GaussianBlur(head.pixels, (0, 0), max(0.4 / scale, 0.3)) if scale < 0.7 else head.pixels
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, (width // 2, height // 2), (round(width * 0.45), round(height * 0.48)), 0, 0, 360, 1.0, -1)
    placed = cv2.warpAffine(sharp, way, (side, side), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if draw.random() < 0.3:
        placed = cv2.GaussianBlur(placed, (0, 0), draw.uniform(0.3, 0.8))
    alpha = cv2.warpAffine(cv2.GaussianBlur(mask, (0, 0), 4), way, (side, side))[..., None]
    x, y = x + draw.randint(0, 60), y + draw.randint(0, 60)
    part = pixels[y : y + side, x : x + side]
    part[...] = (alpha * placed + (1 - alpha) * part).astype(np.uint8)[: part.shape[0], : part.shape[1]]
    # the ellipse in the box, turned: its bounds are tighter than those of the turned box
    centre = way @ np.array([(x1 + x2) / 2, (y1 + y2) / 2, 1.0])
    sine, cosine = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    a, b = (x2 - x1) / 2 * scale, (y2 - y1) / 2 * scale
    across, down = np.hypot(a * cosine, b * sine), np.hypot(a * sine, b * cosine)
    return (x + centre[0] - across, y + centre[1] - down, x + centre[0] + across, y + centre[1] + down)
