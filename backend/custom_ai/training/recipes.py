"""Which four candidates are tried. Pure: looks at nothing but its arguments.

What was measured (mAP50 on held-out pictures) and led to these four, with about ten labels per class:
more picture passes are worth more than more labels; pre-trained weights help most on rare and small things;
whether mosaic helps depends on the data; a higher learning rate than 0.001 did not help; twice the picture
size costs five times the time and pays only for small things.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass

from custom_ai.errors import N_
from custom_ai.settings import Settings
from custom_ai.training.contract import Recipe, TrainSet

CUSTOM_WEIGHTS = "custom"
"""The name of the administrator's own weights (settings.base_weights) in a recipe."""
SMALL_PX = 16
"""Classes with a smaller median side in the network's input are found badly: use a larger input."""
SIZES = (192, 256, 320, 448, 640)
"""Sides of the network's input. On a CPU, 640 costs eleven times as much as 192."""


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What the choice depends on."""

    images: int
    boxes: int
    small_side: float
    """The median side (square root of the area) of the class with the smallest boxes, as a fraction of the
    picture's longer side. A fifth of 1 when there are no boxes."""


def summarise(data: TrainSet) -> DataSummary:
    """Describe the pictures to train on."""
    sides: dict[str, list[float]] = defaultdict(list)
    for image in data.train:
        width, height = image.size.width, image.size.height
        for box in image.boxes:
            area = (box.x2 - box.x1) * width * (box.y2 - box.y1) * height
            sides[box.label].append(area**0.5 / max(width, height))
    smallest = min((statistics.median(some) for some in sides.values()), default=0.2)
    return DataSummary(len(data.train), sum(len(some) for some in sides.values()), smallest)


def image_size_for(data: DataSummary) -> int:
    """The smallest input in which half of the boxes of every class have sides of at least 16 pixels."""
    fitting = [size for size in SIZES if data.small_side * size >= SMALL_PX]
    return fitting[0] if fitting else SIZES[-1]


def choose_recipes(data: DataSummary, settings: Settings) -> tuple[Recipe, Recipe, Recipe, Recipe]:
    """Four candidates that differ in network, starting weights, composition of pictures and input size.

    Recipes name the base weights that they want; when those cannot be had the start is random and
    nothing is frozen. With settings.base_weights all four start from that file and have its network.
    """
    size = image_size_for(data)
    larger = next((other for other in SIZES if other > size), size)
    own = settings.base_weights is not None

    def recipe(name: str, title: str, network: str, **values: float) -> Recipe:
        return Recipe(
            name=name,
            title=title,
            architecture="" if own else network,
            base_weights=CUSTOM_WEIGHTS if own else _weights_of(network),
            **{  # type: ignore[arg-type]
                "image_size": size,
                "passes": settings.candidate_passes,
                "seconds": settings.candidate_seconds,
                **values,
            },
        )

    return (
        recipe("mixed", N_("YOLOv5n, mixed pictures"), "yolov5n"),
        recipe("single", N_("YOLO11n, single pictures"), "yolo11n", mosaic=0.0),
        recipe("fine", N_("YOLOv8n, finer pictures"), "yolov8n", image_size=larger),
        recipe("free", N_("YOLO26n, from any side"), "yolo26n", mosaic=0.5, flip_vertical=0.5),
    )


def _weights_of(network: str) -> str:
    """The file name under which ultralytics publishes the COCO weights of a network."""
    return {"yolov5n": "yolov5nu.pt"}.get(network, f"{network}.pt")
