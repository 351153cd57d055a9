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
- A larger input than needed ("fine"): cells .86 and .81 in equally many passes, in 1.7 times the time. With the
  smaller input for the first three fifths .87 and .84, in 1.4 times the time; half the passes instead .76 and .79.
  The same trick below the size that is needed gains nothing in equal time.
- Objects of 2 % of the picture's longer side (cells, nine pictures in one), looked at in pieces of 320 pixels: .79 in
  26 s, as a whole in 640 pixels: .77 in 152 s (740 passes each). Objects of 0.9 % (scenes, shrunk): .15 in pieces and
  .02 as a whole in 800 passes, .36 in pieces in 2,000.
- Mosaic helps one data set and harms another, and so do upside-down pictures: hence candidates with and without.
- A start from ImageNet (MobileNetV2, 2.8 times the time per pass): cells .86 in 1200 passes. With the backbone frozen
  .82 in a third of that time, where a random start of YOLOv5n has .55; in the same time that one gets .85.
- A learning rate of 0.003 was not better than 0.001. Twice the picture size costs four times the time.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from custom_ai.errors import N_
from custom_ai.settings import Settings
from custom_ai.training import imagenet
from custom_ai.training.contract import Recipe, TrainSet
from custom_ai.training.weights import CUSTOM, IMAGENET, Start

SMALL_PX = 16
"""Classes with a smaller median side in the network's input are found badly: use a larger input."""
SIZES = (192, 256, 320, 448, 640)
"""Sides of the network's input. On a CPU, 640 costs eleven times as much as 192."""

PIECE_SIZE, LEAST_PIECE, LARGEST_PIECE = 320, 0.12, 0.7
"""Where pictures are looked at in pieces: the side of the network's input, and the bounds of a piece's share."""
FIRST_LAYERS = 5
"""Layers 0 to 4 of these networks see edges and textures, which are the same everywhere."""
WARM_PASSES = 700
WARM_PASSES_PER_IMAGE = 20
"""Passes that a start from base weights needs ..."""
WARM_TIMES_IN_PIECES = 2.5
"""... and so many times as many where each shows but a piece of a picture."""


_Style = Literal["mixed", "single", "finer", "any"]
_OWN = ""
"""The network of the administrator's own weights."""
_COCO = {"mixed": "yolov5n", "single": "yolo11n", "fine": "yolov8n", "free": "yolo26n"}
_NETWORKS: Mapping[Start, Mapping[str, str]] = {
    "custom": dict.fromkeys(_COCO, _OWN),
    "coco": _COCO,
    # a quick one with a frozen backbone, a slow one without, and two that learn everything here
    "imagenet": {**_COCO, "single": imagenet.ARCHITECTURE, "free": imagenet.ARCHITECTURE},
    "random": _COCO,
}
"""By the name of the recipe."""
_WEIGHTS = {
    _OWN: CUSTOM,
    imagenet.ARCHITECTURE: IMAGENET,
    "yolov5n": "yolov5nu.pt",
    "yolo11n": "yolo11n.pt",
    "yolov8n": "yolov8n.pt",
    "yolo26n": "yolo26n.pt",
}
"""The files under which ultralytics publishes COCO weights, and our names for the others."""
_TITLES: Mapping[tuple[str, _Style], str] = {
    (_OWN, "mixed"): N_("Own weights, mixed pictures"),
    (_OWN, "single"): N_("Own weights, single pictures"),
    (_OWN, "finer"): N_("Own weights, finer pictures"),
    (_OWN, "any"): N_("Own weights, from any side"),
    ("yolov5n", "mixed"): N_("YOLOv5n, mixed pictures"),
    ("yolo11n", "single"): N_("YOLO11n, single pictures"),
    ("yolov8n", "finer"): N_("YOLOv8n, finer pictures"),
    ("yolo26n", "any"): N_("YOLO26n, from any side"),
    (imagenet.ARCHITECTURE, "single"): N_("MobileNetV2, single pictures"),
    (imagenet.ARCHITECTURE, "any"): N_("MobileNetV2, from any side"),
}


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What the choice depends on."""

    images: int
    boxes: int
    small_side: float
    """The median side (square root of the area) of the class with the smallest boxes, as a fraction of the
    picture's longer side. A fifth of 1 when there are no boxes."""
    longer_px: float = 640.0
    """The median longer side of the pictures, in pixels."""


def summarise(data: TrainSet) -> DataSummary:
    """Describe the pictures to train on."""
    sides: dict[str, list[float]] = defaultdict(list)
    for image in data.train:
        width, height = image.size.width, image.size.height
        for box in image.boxes:
            area = (box.x2 - box.x1) * width * (box.y2 - box.y1) * height
            sides[box.label].append(area**0.5 / max(width, height))
    smallest = min((statistics.median(some) for some in sides.values()), default=0.2)
    longer = statistics.median([max(image.size.width, image.size.height) for image in data.train] or [640])
    return DataSummary(len(data.train), sum(len(some) for some in sides.values()), smallest, longer)


def image_size_for(data: DataSummary) -> int:
    """The smallest input in which half of the boxes of every class have sides of at least 16 pixels."""
    fitting = [size for size in SIZES if data.small_side * size >= SMALL_PX]
    return fitting[0] if fitting else SIZES[-1]


def piece_for(data: DataSummary) -> float:
    """What part of a picture to look at at once: all of it, unless even the largest input is too small for a class.

    Pieces are so small that the objects have sides of SMALL_PX in an input of PIECE_SIZE, but not so small that a
    picture is enlarged more than twice or falls into more than some hundred pieces.
    """
    if data.small_side * SIZES[-1] >= SMALL_PX:
        return 1.0
    share = max(data.small_side * PIECE_SIZE / SMALL_PX, PIECE_SIZE / (2 * data.longer_px), LEAST_PIECE)
    return round(share, 3) if share <= LARGEST_PIECE else 1.0


def choose_recipes(data: DataSummary, settings: Settings, start: Start = "coco") -> tuple[Recipe, ...]:
    """Four candidates that differ in network, starting weights, composition of pictures, input size, freezing.

    start: what there is to start from, see weights.best_start. Recipes name the base weights that they want; when
    those cannot be had after all the start is random and nothing is frozen. With settings.base_weights all four
    start from that file and have its network.
    """
    piece = piece_for(data)
    size = image_size_for(data) if piece == 1.0 else PIECE_SIZE
    larger = next((other for other in SIZES if other > size), size)
    warm = (WARM_PASSES + WARM_PASSES_PER_IMAGE * data.images) * (1 if piece == 1.0 else WARM_TIMES_IN_PIECES)
    if settings.base_weights is not None:
        start = "custom"

    def recipe(name: str, style: _Style, **values: float) -> Recipe:
        network = _NETWORKS[start][name]
        return Recipe(
            name=name,
            title=_TITLES[network, style],
            architecture=network,
            base_weights=_WEIGHTS[network],
            **{  # type: ignore[arg-type]
                "image_size": size,
                "passes": settings.candidate_passes,
                "warm_passes": min(round(warm), settings.candidate_passes),
                "seconds": settings.candidate_seconds,
                "piece": piece,
                **values,
            },
        )

    from_imagenet = start == "imagenet"
    return (
        recipe("mixed", "mixed"),
        recipe("single", "single", mosaic=0.0, freeze=imagenet.BACKBONE if from_imagenet else 0),
        recipe("fine", "finer", image_size=larger, early_size=size if larger > size else 0),
        recipe("free", "any", mosaic=0.5, flip_vertical=0.5, freeze=0 if from_imagenet else FIRST_LAYERS),
    )
