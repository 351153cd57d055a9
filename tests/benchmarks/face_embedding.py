"""Whether a face can still be told: dlib's network for recognising people, where it is installed.

    pip install --no-deps dlib-bin face_recognition_models

Both are free of installing a compiler; the models (100 MB) are in the public domain.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SAME = 0.6
"""Distances below are the same person: https://dlib.net/face_recognition.py.html"""
LEAST = 28
"""Pixels; of smaller faces nobody can be told, hidden or not."""


class Embedding:
    """128 numbers for a face."""

    def __init__(self) -> None:
        """Raises ImportError."""
        import dlib

        found = importlib.util.find_spec("face_recognition_models")  # not imported: it needs setuptools
        if found is None or found.origin is None:
            raise ImportError("face_recognition_models")
        models = Path(found.origin).parent / "models"
        self._dlib = dlib
        self._shape = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def __call__(self, pixels: np.ndarray, face: Sequence[float]) -> np.ndarray:
        """pixels: (height, width, 3) RGB; face: x1, y1, x2, y2 in them."""
        around = self._dlib.rectangle(*(round(side) for side in face))
        pixels = np.ascontiguousarray(pixels)
        return np.array(self._network.compute_face_descriptor(pixels, self._shape(pixels, around)))


def embedding() -> Embedding | None:
    try:
        return Embedding()
    except ImportError:
        return None


def nearest(one: np.ndarray, gallery: Sequence[np.ndarray]) -> tuple[int, float]:
    """Who of the gallery it is most like, and the distance."""
    distances = [float(np.linalg.norm(one - other)) for other in gallery]
    return int(np.argmin(distances)), min(distances)
