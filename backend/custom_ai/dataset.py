"""What a run learns from: an immutable snapshot of the labels, its split, and the YOLO folder of a trainer."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from custom_ai.errors import N_, BadInput
from custom_ai.shapes import from_row, is_flat, tidy, to_row
from custom_ai.training.contract import TrainImage
from custom_ai.training.yolo_labels import label_line
from custom_ai.types import Box, LabelKind, LabelledTask

FORMAT = 1
DIGITS = 6
"""Decimal places of coordinates: a millionth of a picture's side is below any drawing precision."""
FEW = 5
"""So many held-out pictures are enough to let the plain rule by hash decide alone."""
MOST = 0.35
"""At most this share of the pictures is held out."""
WANTED_PER_CLASS = 2
"""Boxes of each class that the held-out side should have."""


@dataclass(frozen=True, slots=True)
class Example:
    """One task that a person answered; no boxes: a picture on which there is nothing to find."""

    task_id: int
    image: str
    boxes: tuple[Box, ...]
    annotation_id: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The labels of one moment, sorted by task; equal labels have equal ``sha256``. Made by make_snapshot."""

    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    kind: LabelKind = LabelKind.BOX
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hashlib.sha256(self._json()).hexdigest())

    def with_images(self, images: Mapping[int, str]) -> Snapshot:
        """The same labels on other addresses of images, where there are such (by task)."""
        examples = (replace(one, image=images.get(one.task_id, one.image)) for one in self.examples)
        return Snapshot(self.classes, tuple(examples), self.kind)

    @property
    def images(self) -> int:
        return len(self.examples)

    @property
    def negatives(self) -> int:
        """Pictures without any box of the chosen classes."""
        return sum(not example.boxes for example in self.examples)

    @property
    def counts(self) -> dict[str, int]:
        """Boxes per class, in the order of the classes."""
        counted = Counter(box.label for example in self.examples for box in example.boxes)
        return {label: counted[label] for label in self.classes}

    def _json(self) -> bytes:
        index = {label: number for number, label in enumerate(self.classes)}
        tasks = [
            [
                example.task_id,
                example.image,
                example.annotation_id,
                [[index[box.label], *to_row(box, box.untouched)[1:]] for box in example.boxes],
            ]
            for example in self.examples
        ]
        content = {"format": FORMAT, "kind": self.kind, "classes": self.classes, "tasks": tasks}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def dumps(self) -> bytes:
        """Compressed bytes that ``loads`` takes; the same snapshot always gives the same content."""
        return zlib.compress(self._json(), 9)

    @classmethod
    def loads(cls, data: bytes, sha256: str) -> Snapshot:
        """Raises BadInput when the bytes are damaged or not the snapshot with this hash."""
        try:
            text = zlib.decompress(data)
            if hashlib.sha256(text).hexdigest() != sha256:
                raise BadInput(what=N_("the stored data set"), why=f"its content is not {sha256[:12]}")
            content = json.loads(text)
        except (zlib.error, ValueError) as error:
            raise BadInput(what=N_("the stored data set"), why=str(error)) from error
        if content.get("format") != FORMAT:
            raise BadInput(what=N_("the stored data set"), why=f"format {content.get('format')} is not {FORMAT}")
        classes = tuple(content["classes"])
        examples = (
            Example(
                task_id,
                image,
                tuple(from_row([classes[row[0]], *row[1:]]) for row in boxes),
                annotation_id,
            )
            for task_id, image, annotation_id, boxes in content["tasks"]
        )
        return cls(classes, tuple(examples), LabelKind(content["kind"]))


def _corners(box: Box) -> list[float]:
    return [round(value, DIGITS) for value in (box.x1, box.y1, box.x2, box.y2)]


def make_snapshot(tasks: Iterable[LabelledTask], classes: Sequence[str], kind: LabelKind = LabelKind.BOX) -> Snapshot:
    """Keep the answered tasks and, of their shapes, those of ``classes`` (in this order, without doubles).

    Tasks whose shapes were all of other classes stay as negatives: a person looked and found nothing of
    what is asked for. Shapes that are thinner than a millionth of the picture are dropped. ``kind`` says
    what the shapes are; upright boxes have no outline. Raises BadInput when no class is given or a task
    appears twice.
    """
    if not classes:
        raise BadInput(what=N_("the data set"), why="no class was chosen")
    chosen = tuple(dict.fromkeys(classes))
    examples: dict[int, Example] = {}
    for task in tasks:
        if task.boxes is None:
            continue
        if task.task_id in examples:
            raise BadInput(what=N_("the data set"), why=f"task {task.task_id} appears twice")
        boxes = [_rounded(box, kind) for box in task.boxes if box.label in chosen]
        kept = sorted(
            (box for box in boxes if box is not None), key=lambda box: (box.label, *_corners(box), box.outline)
        )
        examples[task.task_id] = Example(task.task_id, task.image, tuple(kept), task.annotation_id)
    return Snapshot(chosen, tuple(examples[task_id] for task_id in sorted(examples)), kind)


def _rounded(box: Box, kind: LabelKind) -> Box | None:
    """None for what is too thin. Upright boxes lose their outlines: they would be scored by them."""
    x1, y1, x2, y2 = _corners(box)
    if not (x1 < x2 and y1 < y2):
        return None
    drawn = () if kind is LabelKind.BOX else box.outline
    outline = tidy((round(x, DIGITS), round(y, DIGITS)) for x, y in drawn)
    if outline and is_flat(outline):
        return None
    return Box(box.label, x1, y1, x2, y2, untouched=box.untouched, outline=outline)


def side(task_id: int) -> float:
    """A number in [0, 1) that belongs to this task for ever."""
    digest = hashlib.sha256(f"side of task {task_id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def held_out(snapshot: Snapshot, fraction: float = 0.2) -> frozenset[int]:
    """The ids of the tasks that are kept from training, to score the candidates on.

    A task is held out when ``side(task)`` is below ``fraction``: so it never changes sides while labels
    are added. Only while that gives fewer than 5 pictures (or less than their share), or fewer than 2 boxes
    of a class, the tasks with the next smallest sides join them. Never held out: more than 35 % of the
    pictures (but 1 of 2, and 2 of 4), and pictures without which the training side would have less than
    half of a class's boxes. Empty only when there are fewer than two pictures.
    """
    order = sorted(snapshot.examples, key=lambda example: (side(example.task_id), example.task_id))
    n = len(order)
    most = max(int(n * MOST), min(n // 2, 2))
    least = min(max(math.ceil(n * fraction), 2), FEW, most)
    taken: list[Example] = []
    have: Counter[str] = Counter()

    def take(example: Example) -> None:
        taken.append(example)
        have.update(box.label for box in example.boxes)

    def spares(example: Example) -> bool:
        """Whether training keeps at least half of the boxes of every class without this picture too."""
        own = Counter(box.label for box in example.boxes)
        return all(2 * (have[label] + own[label]) <= snapshot.counts[label] for label in own)

    for example in order:
        if len(taken) < most and (side(example.task_id) < fraction or len(taken) < least) and spares(example):
            take(example)
    for example in order:
        short = {label for label in snapshot.classes if have[label] < WANTED_PER_CLASS}
        helps = any(box.label in short for box in example.boxes)
        if len(taken) < most and helps and example not in taken and spares(example):
            take(example)
    for example in order:  # a class lives in one or two pictures only: a small score is better than none
        if len(taken) < least and example not in taken:
            take(example)
    return frozenset(example.task_id for example in taken)


def write_yolo(
    folder: Path, classes: Sequence[str], images: Iterable[TrainImage], kind: LabelKind = LabelKind.BOX
) -> None:
    """Write ``images/ID.jpg`` (links), ``labels/ID.txt`` and ``data.yaml`` for a YOLO trainer.

    A label file has a line per shape, see training.yolo_labels; that of a negative is empty. ``folder`` must
    be new or empty. Raises BadInput when an image file is missing.
    """
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    index = {label: number for number, label in enumerate(classes)}
    for image in images:
        if not image.path.is_file():
            raise BadInput(what=f"task {image.task_id}", why="its image file is missing")
        (folder / "images" / f"{image.task_id}{image.path.suffix.lower()}").symlink_to(image.path.resolve())
        lines = (label_line(index[box.label], box, image.size, kind) for box in image.boxes)
        (folder / "labels" / f"{image.task_id}.txt").write_text("".join(lines), encoding="utf-8")
    # JSON is YAML as well, so class names with quotes, colons or line breaks need no further care.
    content = {
        "path": str(folder.resolve()),
        "train": "images",
        "val": "images",
        "names": [*classes],
    }
    (folder / "data.yaml").write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
