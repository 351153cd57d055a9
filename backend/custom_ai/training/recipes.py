"""Which four candidates are tried. Pure: looks at nothing but its arguments.

What was measured and led to these four. mAP50 on 100 pictures that no run had seen, ten labels per class; "cells"
is a data set of blood cells with a start from COCO weights, "scenes" are our generated ones. One or two seeds each,
so differences under 0.05 are no evidence.

- A head that learns 20 to 25 times faster than the layers that have base weights. Its bias starts near "nothing is
  here", and with one rate for all it takes thousands of passes until a rare class is found at all. Cells, 1200
  passes: .87 and .84 against .57 (rare class .86 against 0); 600 passes: .83 and .81. Factors of 10 and 50 are worse
  at 600 passes (.77 and .79 at best). No worse for scenes (.91 against .92), nor where the head's branch for boxes is
  trained, too; of no use from a random start.
- With that, 900 to 1200 passes are enough for ten pictures (2400: .82 and .84), 2000 for fifty (1000: .86, 2000: .89,
  4000: .88). From a random start more passes go on helping: scenes .49 at 1200, .56 at 4000.
- Five pictures and 900 passes: .85 and .79. Five pictures and 450 passes: .73 and .72. Passes are worth more
  than labels.
- Freezing the first five layers costs little (.84 against .87) and saves a tenth of the time; freezing the whole
  backbone costs much (.75).
- 320 pixels instead of 256 for cells whose smallest class is 16 to 20 pixels wide then: .86 and .81 against .77
  and .81.
- Batches of 4 instead of 8: optimizer steps are what a small budget lacks. Scenes, 2400 passes: .52 against .44.
  Cells in equal time (60 s): .80 against .74 at 256 pixels, .81 against .76 at 320; batches of 16: .55. Batches of
  2 in as many passes: .80 against .76, but a pass then takes half as long again.
- Showing pictures with rare classes more often (repeat factors as in LVIS, 1 / sqrt of the share of pictures, or by
  boxes): .78 against .76 for cells in 2400 passes, not more than chance, and left out.
- Twice the scale for "fine" although it halves the passes that there is time for: cells .87 against .85.
- Mosaic helps one data set and harms another, and so do upside-down pictures: hence candidates with and without.
- A learning rate of 0.003 was not better than 0.001. Twice the picture size costs four times the time.
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

FIRST_LAYERS = 5
"""Layers 0 to 4 of these networks see edges and textures, which are the same everywhere."""
WARM_PASSES = 700
WARM_PASSES_PER_IMAGE = 20
"""Passes that a start from base weights needs."""


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
    """Four candidates that differ in network, starting weights, composition of pictures, input size, freezing.

    Recipes name the base weights that they want; when those cannot be had the start is random and
    nothing is frozen. With settings.base_weights all four start from that file and have its network.
    """
    size = image_size_for(data)
    larger = next((other for other in SIZES if other > size), size)
    own = settings.base_weights is not None

    def recipe(name: str, title: str, own_title: str, network: str, **values: float) -> Recipe:
        return Recipe(
            name=name,
            title=own_title if own else title,
            architecture="" if own else network,
            base_weights=CUSTOM_WEIGHTS if own else _weights_of(network),
            **{  # type: ignore[arg-type]
                "image_size": size,
                "passes": settings.candidate_passes,
                "warm_passes": min(WARM_PASSES + WARM_PASSES_PER_IMAGE * data.images, settings.candidate_passes),
                "seconds": settings.candidate_seconds,
                **values,
            },
        )

    return (
        recipe("mixed", N_("YOLOv5n, mixed pictures"), N_("Own weights, mixed pictures"), "yolov5n"),
        recipe("single", N_("YOLO11n, single pictures"), N_("Own weights, single pictures"), "yolo11n", mosaic=0.0),
        recipe("fine", N_("YOLOv8n, finer pictures"), N_("Own weights, finer pictures"), "yolov8n", image_size=larger),
        recipe(
            "free",
            N_("YOLO26n, from any side"),
            N_("Own weights, from any side"),
            "yolo26n",
            mosaic=0.5,
            flip_vertical=0.5,
            freeze=FIRST_LAYERS,
        ),
    )


def _weights_of(network: str) -> str:
    """The file name under which ultralytics publishes the COCO weights of a network."""
    return {"yolov5n": "yolov5nu.pt"}.get(network, f"{network}.pt")
