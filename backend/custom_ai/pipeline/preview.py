"""What a threshold would let through: counted on images that the model had not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from custom_ai.pipeline.reports import Shapes, material
from custom_ai.services import Services

if TYPE_CHECKING:
    from custom_ai.training.report import Curve

THRESHOLDS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)


def thresholds(services: Services, candidate_id: int, also: Sequence[float] = ()) -> dict[str, Any]:
    """For the model's own thresholds and for some that hold for all classes (and ``also``): what would remain.

    ``labels`` and ``images`` (with at least one label) of ``of_images``; ``precision`` is the share of those
    labels that people drew too, ``recall`` the share of people's labels that are among them; None when
    nothing is left to divide by. Raises NotFound.
    """
    from custom_ai.training.report import curve  # brings shapely: only when it is asked for

    candidate, truth, predicted = material(services, candidate_id)
    curves = {name: curve(truth, predicted, name) for name in candidate.classes}
    drawn = sum(box.label in curves for boxes in truth.values() for box in boxes)
    own = {name: float((candidate.thresholds or {}).get(name, 1.1)) for name in candidate.classes}
    levels: list[tuple[float | None, Mapping[str, float]]] = [(None, own)]
    levels += [(level, dict.fromkeys(curves, level)) for level in sorted({*THRESHOLDS, *also})]
    return {
        "model": candidate.id,
        "version": candidate.version,
        "project": candidate.project_id,
        "of_images": len(truth),
        "of_labels": drawn,
        "rows": [{"threshold": level} | _remaining(predicted, curves, drawn, limits) for level, limits in levels],
    }


def _remaining(
    predicted: Shapes, curves: Mapping[str, Curve], drawn: int, limits: Mapping[str, float]
) -> dict[str, Any]:
    labels, right = 0, 0
    for name, curve in curves.items():
        kept = sum(score >= limits[name] for score in curve.thresholds)
        labels += kept
        right += round(curve.precision[kept - 1] * kept) if kept else 0
    images = sum(any((box.score or 0.0) >= limits.get(box.label, 1.1) for box in boxes) for boxes in predicted.values())
    return {
        "labels": labels,
        "images": images,
        "precision": right / labels if labels else None,
        "recall": right / drawn if drawn else None,
    }
