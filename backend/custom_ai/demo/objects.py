"""The invented things of the demo scenes: mugs, leaves and tools, drawn from polygons with shading.

Local coordinates: x to the right, y down, the longer side of an object spans -0.5..0.5.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = ("mug", "leaf", "tool")

Shading = Literal["flat", "round", "ridge"]
Points = NDArray[np.float64]
"""(n, 2) x y in local coordinates."""
Colour = tuple[float, float, float]
"""Red, green, blue, 0..255."""


@dataclass(frozen=True, slots=True)
class Part:
    """One polygon of an object; ``holes`` are cut out of it."""

    outline: Points
    colour: Colour
    shading: Shading = "flat"
    holes: tuple[Points, ...] = ()


def draw_parts(label: str, random: np.random.Generator) -> list[Part]:
    """The polygons of one new individual of a class, back to front."""
    makers: dict[str, Callable[[np.random.Generator], list[Part]]] = {
        "mug": _mug,
        "leaf": _leaf,
        "tool": _tool,
    }
    return makers[label](random)


def paint(canvas: NDArray[np.float32], parts: list[Part], place: Points, light: float) -> NDArray[np.bool_]:
    """Paint an object; returns (height, width) where it covers the canvas.

    canvas: (height, width, 3) float32 RGB 0..255, changed in place. place: (2, 3) affine map from local
    coordinates to pixels. light: the direction of the light in radians.
    """
    covered = np.zeros(canvas.shape[:2], bool)
    back = np.linalg.inv(place[:, :2])
    rows, columns = np.mgrid[: canvas.shape[0], : canvas.shape[1]].astype(np.float32)
    for part in parts:
        mask = np.zeros(canvas.shape[:2], np.uint8)
        for number, outline in enumerate((part.outline, *part.holes)):
            pixels = np.round(outline @ place[:, :2].T + place[:, 2]).astype(np.int32)
            cv2.fillPoly(mask, [pixels], 0 if number else 1)
        where = mask.astype(bool)
        if not where.any():
            continue
        x, y = columns[where] - place[0, 2], rows[where] - place[1, 2]
        local_x = back[0, 0] * x + back[0, 1] * y
        glow = 1.0 + 0.25 * (np.cos(light) * x + np.sin(light) * y) / max(float(np.abs(place[:, :2]).max()), 1.0)
        if part.shading == "round":
            width = float(np.abs(part.outline[:, 0]).max()) + 1e-6
            bend = np.clip(local_x / width, -1, 1)
            glow = glow * (0.62 + 0.5 * np.sqrt(np.maximum(1 - (bend + 0.25) ** 2, 0)))
            glow = glow + 0.35 * np.exp(-((bend + 0.45) ** 2) / 0.01)
        elif part.shading == "ridge":
            glow = glow * np.where(local_x > 0, 1.12, 0.86)
        canvas[where] = np.asarray(part.colour, np.float32) * glow[:, None]
        covered |= where
    return covered


def colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return red * 255, green * 255, blue * 255


def _darker(base: Colour, factor: float) -> Colour:
    return base[0] * factor, base[1] * factor, base[2] * factor


def _ellipse(x: float, y: float, wide: float, high: float, first: float = 0, last: float = 2 * np.pi) -> Points:
    angle = np.linspace(first, last, 48)
    return np.stack([x + wide * np.cos(angle), y + high * np.sin(angle)], axis=1)


def _mug(random: np.random.Generator) -> list[Part]:
    glaze = colour(random.random(), random.uniform(0.25, 0.85), random.uniform(0.6, 0.95))
    half, foot = random.uniform(0.28, 0.34), random.uniform(0.78, 1.0)
    rim, tall = half * random.uniform(0.26, 0.42), random.uniform(0.38, 0.46)
    bottom = _ellipse(0, tall, half * foot, rim * 0.8, 0, np.pi)
    body = np.concatenate([[[half, -tall]], bottom, [[-half, -tall]]])
    away = 1.0 if random.random() < 0.5 else -1.0
    size, thick = random.uniform(0.17, 0.22), random.uniform(0.05, 0.075)
    ring = _ellipse(away * half * 0.98, 0.0, size, size * 1.25)
    hole = _ellipse(away * half * 0.98, 0.0, size - thick, size * 1.25 - thick)
    parts = [Part(ring, _darker(glaze, 0.85), "flat", (hole,)), Part(body, glaze, "round")]
    if random.random() < 0.5:
        top, low = sorted(random.uniform(-0.2, 0.3, 2))
        band = np.array(
            [[-half * 0.97, top], [half * 0.97, top], [half * 0.94, low + 0.04], [-half * 0.94, low + 0.04]]
        )
        accent = colour(random.random(), random.uniform(0.1, 0.9), random.uniform(0.3, 1.0))
        parts.append(Part(band, accent, "round"))
    drink = colour(random.uniform(0.05, 0.1), random.uniform(0.4, 0.9), random.uniform(0.15, 0.45))
    parts.append(Part(_ellipse(0, -tall, half, rim), _darker(glaze, 1.1)))
    parts.append(Part(_ellipse(0, -tall + 0.01, half * 0.87, rim * 0.8), drink))
    return parts


def _leaf(random: np.random.Generator) -> list[Part]:
    green = colour(random.uniform(0.02, 0.36), random.uniform(0.5, 0.85), random.uniform(0.4, 0.8))
    half, belly = random.uniform(0.2, 0.28), random.uniform(0.8, 1.3)
    along = np.linspace(0, 1, 40)
    width = half * np.sin(np.pi * along**belly) ** 0.85
    teeth = 1 + random.uniform(0, 0.09) * np.sin(along * np.pi * 22)
    y = along * 0.86 - 0.5
    blade = np.concatenate([np.stack([width * teeth, y], axis=1), np.stack([-width * teeth, y], axis=1)[::-1]])
    light_green = (min(green[0] * 1.35 + 25, 255), min(green[1] * 1.35 + 25, 255), green[2] * 1.2)
    bend = random.uniform(-0.08, 0.08)
    stem = np.array([[-0.014, 0.3], [0.014, 0.3], [bend + 0.02, 0.5], [bend - 0.02, 0.5]])
    middle = np.array([[0.0, -0.47], [0.016, 0.37], [-0.016, 0.37]])
    parts = [Part(stem, _darker(green, 0.6)), Part(blade, green, "ridge"), Part(middle, light_green)]
    for start in np.linspace(-0.24, 0.22, int(random.integers(4, 7))):
        reach = 0.8 * float(np.interp(start - 0.1, y, width))
        for away in (-1, 1):
            tip, root = [away * reach, start - 0.13], [0.0, start]
            vein = np.array([root, [root[0], root[1] + 0.014], tip])
            parts.append(Part(vein, light_green))
    return parts


def _tool(random: np.random.Generator) -> list[Part]:
    steel = colour(random.uniform(0.55, 0.65), random.uniform(0.02, 0.15), random.uniform(0.55, 0.85))
    half = random.uniform(0.07, 0.09)
    head = random.uniform(0.21, 0.25)
    jaw = head * random.uniform(0.42, 0.55)
    opening = np.array([[-jaw, -0.7], [jaw, -0.7], [jaw * 0.9, -0.36], [0, -0.33], [-jaw * 0.9, -0.36]])
    eye, bore = random.uniform(0.15, 0.17), random.uniform(0.075, 0.09)
    shaft = np.array([[-half, -0.3], [half, -0.3], [half * 0.85, 0.36], [-half * 0.85, 0.36]])
    parts = [
        Part(shaft, steel, "round"),
        Part(_ellipse(0, -0.36, head, head * 1.05), _darker(steel, 0.95), "flat", (opening,)),
        Part(_ellipse(0, 0.5 - eye, eye, eye), _darker(steel, 0.9), "flat", (_ellipse(0, 0.5 - eye, bore, bore),)),
    ]
    if random.random() < 0.6:
        grip = colour(random.random(), random.uniform(0.6, 0.95), random.uniform(0.45, 0.9))
        sleeve = np.array([[-half * 1.5, -0.12], [half * 1.5, -0.12], [half * 1.5, 0.27], [-half * 1.5, 0.27]])
        parts.append(Part(sleeve, grip, "round"))
    return parts
