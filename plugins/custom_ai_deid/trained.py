"""What else is to be hidden: classes of a model that `custom-ai export-model` wrote, badges or number plates, say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom_ai.errors import N_, BadInput, ModelError
from custom_ai.serving.engine import Model
from custom_ai_deid.areas import Area

SHARE_OF_THRESHOLD = 0.5
"""A model's own threshold weighs misses and false finds alike; here a miss costs more."""
WITHOUT_THRESHOLD = 0.25


class TrainedModel:
    """Finds some classes in images. May be called by any number of threads."""

    def __init__(self, path: Path, classes: Sequence[str] = (), threads: int = 1) -> None:
        """path: an ONNX file with its card. classes: names of those that are to be hidden; none: all.

        Raises ModelError when it cannot be used, BadInput when it knows none of the classes.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(model=str(path), why=N_("the file cannot be read")) from error
        card = _card(path)
        known = tuple(card["classes"])
        wanted = [name for name in known if name in classes] if classes else [*known]
        if not wanted:
            what = f"{', '.join(classes)} ({path.name}: {', '.join(known)})"
            raise BadInput(what=what, why=N_("the model knows only the classes in brackets"))
        thresholds = card.get("thresholds") or {}
        self._least = {name: SHARE_OF_THRESHOLD * thresholds.get(name, 2 * WITHOUT_THRESHOLD) for name in wanted}
        self._model = Model.load(path, known, int(card["image_size"]), threads)
        least = ", ".join(f"{name} {score:.3f}" for name, score in self._least.items())
        self.name = f"{path.name} {hashlib.sha256(content).hexdigest()[:12]} ({least})"

    @property
    def classes(self) -> tuple[str, ...]:
        """What it hides."""
        return tuple(self._least)

    def find(self, pixels: NDArray[np.uint8]) -> list[Area]:
        """Areas in an upright RGB image (height, width, 3), surest first; of turned shapes the upright box around."""
        height, width = pixels.shape[:2]
        (found,) = self._model.predict([pixels], min(self._least.values()))
        return [
            Area(one.x1 * width, one.y1 * height, one.x2 * width, one.y2 * height, one.score or 0.0)
            for one in found
            if one.label in self._least and (one.score or 0.0) >= self._least[one.label]
        ]


def load_models(paths: Sequence[Path], classes: Sequence[str], threads: int) -> tuple[TrainedModel, ...]:
    """Models to hide ``classes`` with; each class is known to one of them at least.

    Raises ModelError, and BadInput naming the classes that no model knows.
    """
    models = tuple(TrainedModel(path, classes, threads) for path in paths)
    unknown = {*classes} - {name for model in models for name in model.classes}
    if unknown:
        raise BadInput(what=", ".join(sorted(unknown)), why=N_("no model that is to hide it knows this class"))
    return models


def _card(path: Path) -> dict[str, Any]:
    import onnx

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's errors have no public common base
        raise ModelError(model=path.name, why=N_("it is not a readable ONNX file")) from error
    facts = {entry.key: entry.value for entry in model.metadata_props}
    why = N_("it does not say which classes it knows; write it with custom-ai export-model")
    try:
        card: dict[str, Any] = json.loads(facts["card"])
        right = bool(card["classes"]) and int(card["image_size"]) > 0
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(model=path.name, why=why) from error
    if not right:
        raise ModelError(model=path.name, why=why)
    return card
