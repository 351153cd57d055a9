"""What a run learned from, in figures that a person can read. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from custom_ai.training.contract import TrainImage
from custom_ai.training.recipes import SIZES, SMALL_PX


def data_report(classes: Sequence[str], images: Sequence[TrainImage], groups: Mapping[int, int]) -> dict[str, Any]:
    """Counts and sizes of a data set.

    ``groups``: the group of near-duplicates of each task id. Sides of objects are square roots of areas, in
    pixels of the stored image (``side_px``) and as a share of the image's longer side (``side_share``), both as
    smallest, median and largest. ``small`` counts, per side of a network's input, the objects that are smaller
    than ``small_px`` pixels in it, which are found badly.
    """
    sizes = Counter(f"{image.size.width}x{image.size.height}" for image in images)
    labels: dict[str, int] = dict.fromkeys(classes, 0)
    in_images: dict[str, set[int]] = defaultdict(set)
    sides: dict[str, list[float]] = defaultdict(list)
    shares: dict[str, list[float]] = defaultdict(list)
    for image in images:
        width, height = image.size.width, image.size.height
        for box in image.boxes:
            side = ((box.x2 - box.x1) * width * (box.y2 - box.y1) * height) ** 0.5
            labels[box.label] += 1
            in_images[box.label].add(image.task_id)
            sides[box.label].append(side)
            shares[box.label].append(side / max(width, height))
    return {
        "images": len(images),
        "labels": sum(labels.values()),
        "negatives": sum(not image.boxes for image in images),
        "sizes": dict(sizes.most_common(10)),
        "small_px": SMALL_PX,
        "classes": [
            {
                "name": name,
                "labels": labels[name],
                "images": len(in_images[name]),
                "side_px": _spread(sides[name], 1),
                "side_share": _spread(shares[name], 4),
                "small": {str(size): sum(share * size < SMALL_PX for share in shares[name]) for size in SIZES},
            }
            for name in classes
        ],
        "near_duplicates": _duplicates(images, groups),
    }


def _spread(values: Sequence[float], digits: int) -> list[float] | None:
    """Smallest, median and largest; None without values."""
    if not values:
        return None
    return [round(value, digits) for value in (min(values), median(values), max(values))]


def _duplicates(images: Sequence[TrainImage], groups: Mapping[int, int]) -> list[list[int]]:
    """The task ids of each group with more than one image."""
    together: dict[int, list[int]] = defaultdict(list)
    for image in images:
        together[groups.get(image.task_id, image.task_id)].append(image.task_id)
    return sorted(sorted(tasks) for tasks in together.values() if len(tasks) > 1)
