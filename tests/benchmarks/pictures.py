"""Where the benchmarks get pictures with labels: any folder in YOLO format, or generated scenes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from custom_ai.dataset import Snapshot, make_snapshot
from custom_ai.demo.scenes import CLASSES, make_scenes
from custom_ai.training.contract import TrainImage
from custom_ai.types import Box, ImageSize, LabelledTask


def read_folder(folder: Path) -> tuple[tuple[str, ...], list[TrainImage]]:
    """The classes and pictures of ``images/``, ``labels/NAME.txt`` and ``classes.txt``, by name.

    A label line is: class index, x centre, y centre, width, height, in fractions of the picture.
    """
    classes = tuple((folder / "classes.txt").read_text(encoding="utf-8").split("\n"))
    classes = tuple(name.strip() for name in classes if name.strip())
    images = []
    for number, path in enumerate(sorted((folder / "images").iterdir()), start=1):
        boxes = []
        for line in (folder / "labels" / f"{path.stem}.txt").read_text(encoding="utf-8").splitlines():
            index, x, y, width, height = (float(word) for word in line.split()[:5])
            low, high = (max(x - width / 2, 0.0), max(y - height / 2, 0.0)), (x + width / 2, y + height / 2)
            boxes.append(Box(classes[int(index)], *low, min(high[0], 1.0), min(high[1], 1.0)))
        with Image.open(path) as file:
            images.append(TrainImage(number, path, ImageSize(*file.size), tuple(boxes)))
    return classes, images


def make_folder(folder: Path, count: int, seed: int = 7) -> tuple[tuple[str, ...], list[TrainImage]]:
    """Generated scenes, upright, always the same ones for the same seed."""
    folder.mkdir(parents=True)
    images = []
    for number, scene in enumerate(make_scenes(folder / "raw", count, seed=seed), start=1):
        path = folder / f"{number}.jpg"
        with Image.open(scene.path) as file:
            ImageOps.exif_transpose(file).convert("RGB").save(path, quality=95)
        images.append(TrainImage(number, path, scene.size, scene.boxes))
    return CLASSES, images


def choose(
    classes: Sequence[str], images: Sequence[TrainImage], per_class: int, test: int, seed: int
) -> tuple[list[TrainImage], list[TrainImage]]:
    """(to learn from, to test on), without common pictures.

    ``test`` random pictures are put aside first; of the others, in random order, those are taken that have a
    class with fewer than ``per_class`` labels so far, until every class has them (or nothing is left).
    """
    order = random.Random(seed).sample(list(images), len(images))
    tested, others = order[:test], order[test:]
    have: Counter[str] = Counter()
    taken = []
    for image in others:
        if any(have[box.label] < per_class for box in image.boxes):
            taken.append(image)
            have.update(box.label for box in image.boxes)
    short = [name for name in classes if have[name] < per_class]
    if short:
        raise SystemExit(f"too few pictures for {per_class} labels of {short}: got {have}; use a smaller --test")
    return taken, tested


def snapshot_of(classes: Sequence[str], images: Sequence[TrainImage]) -> Snapshot:
    """As if people had drawn these labels."""
    tasks = [
        LabelledTask(image.task_id, image.path.name, image.boxes, image.task_id, "2026-01-01T00:00:00Z", True)
        for image in images
    ]
    return make_snapshot(tasks, classes)
