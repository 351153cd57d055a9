"""The figures of reviewed pre-labels, from counts. Pure, standard library only."""

from __future__ import annotations


def figures(
    accepted: int, moved: int, relabelled: int, removed: int, added: int, *, iou_sum: float
) -> dict[str, float | None]:
    """Precision, recall, their F1 (the live score) and the mean overlap of what was kept; None while unknown.

    precision: share of the model's shapes that were right in class and (roughly) in place; recall: share
    of the shapes that people wanted which the model had drawn so. ``iou_sum`` is over accepted, moved and
    relabelled shapes.
    """
    right = accepted + moved
    predicted = right + relabelled + removed
    wanted = right + relabelled + added
    kept = right + relabelled
    return {
        "precision": right / predicted if predicted else None,
        "recall": right / wanted if wanted else None,
        "score": 2 * right / (predicted + wanted) if predicted + wanted else None,
        "mean_iou": iou_sum / kept if kept else None,
    }
