"""What a trainer is given and what it must return. Standard library only.

A trainer is found by its entry point in the group ``custom_ai.trainers``; the name of the entry point
stands in ``Recipe.trainer``. New knowledge for trainers goes into ``TrainContext``, never into the
argument list of ``Trainer.train``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal, Protocol

from custom_ai.types import Box, ImageSize, LabelKind

Stage = Literal["preparing", "training", "exporting", "scoring"]

MASKS = 32
"""Prototype masks of a network for polygons, and so the coefficients of each of its anchors."""


@dataclass(frozen=True, slots=True)
class TrainImage:
    """One image file on disk with what people drew on it.

    The caller promises: the file is a JPEG or PNG in RGB that needs no EXIF rotation (it was applied and
    removed), ``size`` is its size, and it passed every configured pre-processor.
    """

    task_id: int
    path: Path
    size: ImageSize
    boxes: tuple[Box, ...]
    group: int | None = None
    """The same number for near-duplicates, which stay on one side of every split; None: it stands alone."""


@dataclass(frozen=True, slots=True)
class TrainSet:
    """What one run trains on. Trainers learn from ``train`` only; ``held_out`` is for the scores.

    ``kind`` says what is to be found: upright boxes (outlines are not looked at), rotated boxes or polygons.
    Raises ValueError when an image stands on both sides or a box has a class that was not chosen.
    """

    classes: tuple[str, ...]
    train: tuple[TrainImage, ...]
    held_out: tuple[TrainImage, ...]
    kind: LabelKind = LabelKind.BOX

    def __post_init__(self) -> None:
        both = {image.task_id for image in self.train} & {image.task_id for image in self.held_out}
        if both:
            raise ValueError(f"tasks {sorted(both)} are both trained on and held out")
        used = {box.label for image in (*self.train, *self.held_out) for box in image.boxes}
        if not used <= {*self.classes}:
            raise ValueError(f"expected only the classes {self.classes}, got {sorted(used)}")


@dataclass(frozen=True, slots=True)
class BaseWeights:
    """Weights to start from: a file, and a short text for people that says where they come from."""

    path: Path
    origin: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one candidate is trained; stored as JSON with the model.

    ``title`` is a message for people (marked with N_(), translated when shown). An empty
    ``base_weights`` means a random start; an empty ``architecture`` the architecture of the base weights.
    Both name a network for boxes, e.g. yolo11n; for other kinds of labels the trainer gives it another head,
    so that one recipe and one file of base weights serve all kinds.
    ``passes`` counts pictures shown to the network; ``seconds`` caps the training proper, and the
    schedule of the learning rate is fitted into whichever of the two ends first.
    """

    name: str
    title: str
    architecture: str
    base_weights: str
    image_size: int
    passes: int
    seconds: float
    warm_passes: int = 0
    """Enough passes for a start from base weights; 0: as many as from a random start."""
    trainer: str = "yolo"
    batch: int = 4
    learning_rate: float = 0.001
    head_rate: float = 25.0
    """How much faster the last layer learns when the others have base weights."""
    freeze: int = 0
    """How many of the first layers keep their weights, when there are base weights."""
    mosaic: float = 1.0
    """Probability that a training picture is composed of four; closed for the last quarter."""
    scale: float = 0.5
    """Random zoom: a picture is scaled by 1 - scale to 1 + scale."""
    degrees: float = 0.0
    """Random rotation, plus or minus."""
    flip: float = 0.5
    """Probability of a left-right flip."""
    flip_vertical: float = 0.0
    """Probability of an upside-down flip."""
    hue: float = 0.015
    """Random change of hue, as a share of the colour circle."""
    early_size: int = 0
    """Input side for the first three fifths of the budget, which cost less then; 0: image_size throughout."""
    piece: float = 1.0
    """What part of a picture's longer side the network looks at at once, see ``serving.pieces``; 1: all of it."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.image_size < 32 or self.image_size % 32:
            raise ValueError(f"expected an image size that is a multiple of 32, got {self.image_size}")
        if self.early_size % 32 or not 0 <= self.early_size <= self.image_size:
            raise ValueError(f"expected an early size up to {self.image_size}, by 32, got {self.early_size}")
        if self.passes < 1 or self.seconds <= 0 or self.batch < 1:
            raise ValueError(
                f"expected a positive budget, got {self.passes} passes, {self.seconds} s, batch {self.batch}"
            )
        if not 0.0 < self.piece <= 1.0:
            raise ValueError(f"expected pieces of more than 0 and at most 1 of a picture, got {self.piece}")
        if not (self.architecture or self.base_weights):
            raise ValueError(f"recipe {self.name!r} needs an architecture or base weights")

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Raises ValueError when a key is unknown or missing, or a value impossible."""
        values = json.loads(text)
        unknown = {*values} - {entry.name for entry in fields(cls)}
        if unknown:
            raise ValueError(f"unknown keys {sorted(unknown)} in a recipe")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"incomplete recipe: {error}") from error


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one candidate is: the stage, its share (0..1) that is done, and an outlook in seconds."""

    stage: Stage
    fraction: float
    seconds_left: float | None = None
    loss: float | None = None


class Tell(Protocol):
    """Takes a message for people (a template marked with N_, and its values) that stays with the candidate."""

    def __call__(self, template: str, **params: object) -> None: ...


def say_nothing(template: str, **params: object) -> None:
    """For those who do not want to be told."""


def _ignore(progress: Progress) -> None:
    return


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class TrainContext:
    """What a trainer may use: everything it writes stays in ``work_dir``, which the caller owns.

    ``device`` is "cpu", "cuda:0", ... or empty for the best there is. ``report`` must be called at least
    once a second or once a batch, ``cancelled`` as often; when it says True the trainer raises
    Cancelled. ``weights`` are the base weights that were found, by the name a recipe gives them. ``tell`` is
    for what people should know although it stops nothing, such as a smaller batch for lack of memory.
    """

    work_dir: Path
    device: str = "cpu"
    threads: int = 1
    report: Callable[[Progress], None] = _ignore
    cancelled: Callable[[], bool] = _never
    weights: Mapping[str, BaseWeights] = field(default_factory=dict)
    tell: Tell = say_nothing


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of a trainer; both files lie in the context's work_dir.

    ``onnx_path``: one input "images" (n, 3, h, w) float32, RGB, 0..1, h and w multiples of 32; n, h, w are
    free. The first output is (n, 4 + classes + extra, anchors) float32, before non-maximum suppression: centre
    x, centre y, width, height in input pixels, one score 0..1 per class, then what the kind of labels adds:

    - box: nothing.
    - rotated box: one row, the angle in radians by which the box of that centre, width and height is turned,
      clockwise on the screen; any real number.
    - polygon: 32 rows, the coefficients of the mask. A second output (n, 32, h / 4, w / 4) float32 has the
      prototypes: the mask is where the sum of coefficient times prototype is above 0, within the box.

    The metadata of the file name the ``kind`` (box when it is missing), the ``names`` of the classes as a
    list, the ``image_size``, the ``recipe`` as JSON, and ``piece`` when the network looks at pictures in pieces.
    """

    weights_path: Path
    onnx_path: Path
    base_weights: str
    """Where the base weights came from, for people."""
    image_size: int
    seconds: float
    passes: int
    """Pictures that were really shown."""
    batch: int = 0
    """Pictures per step that there was memory for; 0: as the recipe says."""


@dataclass(frozen=True, slots=True)
class TrainerSpec:
    """What a trainer can do."""

    name: str
    kinds: tuple[LabelKind, ...]
    second_process: bool = False
    """Whether a second process, which finds the trainer by its entry point, may train beside the first."""


class Trainer(Protocol):
    """Trains one candidate. Made without arguments from its entry point."""

    spec: TrainerSpec

    def train(self, recipe: Recipe, data: TrainSet, context: TrainContext) -> Trained:
        """Train on ``data.train`` only. Raises TrainingError with a reason, or Cancelled."""
        ...
