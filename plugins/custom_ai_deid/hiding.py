"""Makes areas of an image unrecognisable.

A mosaic is only as good as it is coarse: from mosaics of 16 x 16 cells machines told 71 % of people apart (McPherson,
Shokri, Shmatikov 2016, arXiv:1609.00408). So the cells are counted by face, not by pixels: a face is a few cells wide,
whatever its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from custom_ai_deid.areas import Area, inside, widen

Style = Literal["mosaic", "blur", "solid"]
Form = Literal["box", "ellipse"]
Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Hiding:
    """How areas are hidden."""

    style: Style = "mosaic"
    form: Form = "box"
    """An ellipse shows more of the surroundings; it is drawn around the area, so that the area is hidden in full."""
    cells: int = 4
    """Cells of a mosaic along the longer side of an area, or how many times the radius of a blur fits into it."""

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= 16:
            raise ValueError(f"expected 1 to 16 cells, got {self.cells}")


def hide(pixels: Pixels, areas: Sequence[Area], how: Hiding) -> None:
    """Change ``pixels`` (height, width) or (height, width, channels), uint8 or uint16, where the areas are.

    An alpha channel of four is left as it is. Nothing outside of the areas changes; where areas overlap, what is hidden
    is hidden once more.
    """
    height, width = pixels.shape[:2]
    for area in areas:
        place = inside(_around(area) if how.form == "ellipse" else area, width, height)
        if place is None:
            continue
        x1, y1, x2, y2 = place
        part = pixels[y1:y2, x1:x2, :3] if pixels.ndim == 3 else pixels[y1:y2, x1:x2]
        hidden = _STYLES[how.style](part, how.cells)
        if how.form == "box":
            part[...] = hidden
        else:
            mask = _ellipse(_around(area), place)
            part[mask] = hidden[mask]


def _mosaic(part: Pixels, cells: int) -> Pixels:
    """The mean of each cell; cells at the right and lower edge may be cut off."""
    height, width = part.shape[:2]
    side = max(-(-max(height, width) // cells), 1)
    rows, columns = np.arange(0, height, side), np.arange(0, width, side)
    sums = np.add.reduceat(np.add.reduceat(part.astype(np.uint64), rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff([*rows, height]), np.diff([*columns, width])).astype(np.uint64)
    means: Pixels = (sums // (counts[..., None] if part.ndim == 3 else counts)).astype(part.dtype)
    return means.repeat(side, axis=0)[:height].repeat(side, axis=1)[:, :width]


def _blur(part: Pixels, cells: int) -> Pixels:
    """Gaussian, of the area alone: what is around it does not leak in, nor the face out."""
    import cv2

    sigma = max(max(part.shape[:2]) / cells, 2.0)
    blurred: Pixels = cv2.GaussianBlur(np.ascontiguousarray(part), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return blurred.reshape(part.shape)


def _solid(part: Pixels, cells: int) -> Pixels:
    return np.zeros_like(part)


_STYLES = {"mosaic": _mosaic, "blur": _blur, "solid": _solid}


def _around(area: Area) -> Area:
    """The box of the smallest ellipse around an area, of the same proportions."""
    return widen(area, 2**0.5)


def _ellipse(box: Area, place: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Which pixels of ``place`` lie in the ellipse that fills ``box``."""
    x1, y1, x2, y2 = place
    across = (np.arange(x1, x2) + 0.5 - (box.x1 + box.x2) / 2) / (box.width / 2)
    down = (np.arange(y1, y2) + 0.5 - (box.y1 + box.y2) / 2) / (box.height / 2)
    return across[None, :] ** 2 + down[:, None] ** 2 <= 1.0
