"""YuNet: a small network that knows faces from 10 to 300 pixels. Comes with this package, see weights/README.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from custom_ai.errors import N_, ModelError
from custom_ai_deid.areas import Area
from custom_ai_deid.runtime import Pixels, compile_network

WEIGHTS = Path(__file__).with_name("weights") / "face_detection_yunet_2023mar.onnx"
_STRIDES = (8, 16, 32)
_SCORE_POWER = 1.5
"""Its scores are put on RetinaFace's scale, so that one threshold does for both: at 0.3, which is 0.45 of its own, it
finds fewer areas that are no faces than RetinaFace does."""


class YuNet:
    """See ``faces.Network``."""

    name = WEIGHTS.stem
    largest = 320.0

    def __init__(self, threads: int = 1) -> None:
        """Raises ModelError."""
        try:
            content = WEIGHTS.read_bytes()
        except OSError as error:
            raise ModelError(model=self.name, why=N_("the file cannot be read")) from error
        self._runner = compile_network(content, self.name, threads, unneeded="kps")
        self.slots = self._runner.slots

    def find(self, pixels: Pixels, min_score: float) -> list[Area]:
        outputs = self._runner.run(pixels)
        found: list[Area] = []
        for stride in _STRIDES:
            columns = pixels.shape[1] // stride
            face, there = (np.clip(outputs[f"{kind}_{stride}"][0, :, 0], 0, 1) for kind in ("cls", "obj"))
            scores = np.sqrt(face * there) ** _SCORE_POWER
            sure = np.flatnonzero(scores >= min_score)
            box = outputs[f"bbox_{stride}"][0, sure]
            centre = (np.column_stack((sure % columns, sure // columns)) + box[:, :2]) * stride
            half = np.exp(box[:, 2:]) * stride / 2
            corners = np.hstack((centre - half, centre + half)).tolist()
            found += [
                Area(x1, y1, x2, y2, score)
                for (x1, y1, x2, y2), score in zip(corners, scores[sure].tolist(), strict=True)
                if x1 < x2 and y1 < y2
            ]
        return found
