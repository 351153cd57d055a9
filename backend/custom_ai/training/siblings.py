"""The siblings of a candidate: trained without one fold each, and asked about it. See training.folds.

They can be trained in a second process while the candidate itself is trained in this one. With batches of four,
the threads of one training wait for each other more than they help: on two cores 1,200 passes take 40 s with two
threads, and two trainings of 1,200 passes side by side, with a thread each, take 53 s.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from custom_ai.errors import Cancelled, CustomAIError, ImageError
from custom_ai.serving.engine import Model
from custom_ai.training.contract import Progress, Recipe, TrainContext, Trained, Trainer, TrainImage, TrainSet
from custom_ai.training.folds import SHARE
from custom_ai.types import Box

SCORING_MIN_SCORE = 0.005
"""Average precision needs the uncertain boxes too."""
CHUNK = 8
OVERHEAD_S = 3.0
"""Seconds that a training takes besides its passes: setting up, export, scoring a dozen pictures."""
START_S = 6.0
"""Seconds until a second process has imported what it needs."""
MODULE = "custom_ai.training.siblings"

Found = dict[int, tuple[Box, ...]]
"""Predicted boxes by task."""
Report = Callable[[float], None]
"""Is told which share (0..1) is done."""


def predict(trained: Trained, data: TrainSet, images: Sequence[TrainImage], context: TrainContext) -> Found:
    """What the exported model sees on ``images``. Raises Cancelled, ImageError."""
    model = Model.load(trained.onnx_path, data.classes, trained.image_size, context.threads)
    found: Found = {}
    for start in range(0, len(images), CHUNK):
        if context.cancelled():
            raise Cancelled
        context.report(Progress("scoring", start / len(images)))
        some = images[start : start + CHUNK]
        boxes = model.predict([read_pixels(image) for image in some], SCORING_MIN_SCORE)
        found.update(zip((image.task_id for image in some), boxes, strict=True))
    return found


def read_pixels(image: TrainImage) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB. Raises ImageError; the file has no EXIF rotation by contract."""
    try:
        with Image.open(image.path) as file:
            return np.asarray(file.convert("RGB"))
    except OSError as error:
        raise ImageError(image=f"of task {image.task_id}", why="its file cannot be read") from error


@dataclass(frozen=True, slots=True)
class Siblings:
    """What there is to train. ``recipe`` has the candidate's passes; ``seconds`` are for all siblings together."""

    recipe: Recipe
    data: TrainSet
    folds: Sequence[tuple[TrainImage, ...]]
    seconds: float

    def train(self, trainer: Trainer, context: TrainContext, report: Report) -> Found:
        """One after another, in folders of their own below context.work_dir. Raises like Trainer.train."""
        ends_at = time.monotonic() + self.seconds
        passes = max(round(self.recipe.passes * SHARE), 1)
        found: Found = {}
        for number, fold in enumerate(self.folds):
            seconds = (ends_at - time.monotonic()) / (len(self.folds) - number) - OVERHEAD_S
            sibling = replace(
                self.recipe, passes=passes, seconds=max(seconds, 0.2 * self.seconds / len(self.folds), 0.1)
            )
            share = replace(
                self.data, train=tuple(one for one in self.data.train if one not in fold), held_out=tuple(fold)
            )
            if not any(one.boxes for one in share.train):  # all labels are in this fold: nothing can be learned
                found |= {one.task_id: () for one in fold}
                continue
            folder = context.work_dir / f"fold-{number}"
            folder.mkdir(exist_ok=True)

            def tell(progress: Progress, number: int = number) -> None:
                done = {"preparing": 0.0, "training": 0.9 * progress.fraction, "exporting": 0.9, "scoring": 0.95}
                report((number + done[progress.stage]) / len(self.folds))

            part = replace(context, report=tell, work_dir=folder)
            found |= predict(trainer.train(sibling, share, part), share, fold, part)
            shutil.rmtree(folder)
        report(1.0)
        return found


class Beside:
    """Siblings in a process of their own, which ends when this one does. Use as a context manager.

    The process gets its work through its standard input and prints the share that is done, a line each time.
    """

    def __init__(self, siblings: Siblings, context: TrainContext, trainer: str, threads: int) -> None:
        """Start. ``trainer``: the name of an entry point in custom_ai.trainers."""
        self.fraction = 0.0
        self._result_path = context.work_dir / "siblings.pickle"
        self._result_path.unlink(missing_ok=True)
        plain = TrainContext(context.work_dir, context.device, threads, weights=context.weights)
        job = pickle.dumps((siblings, plain, trainer, str(self._result_path)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None  # as asked for
        with suppress(BrokenPipeError), self._process.stdin as stdin:  # it died at once: `result` tells
            stdin.write(job)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def result(self, context: TrainContext, report: Report) -> Found | None:
        """Wait for the end. None: the process was killed (out of memory?). Raises like Trainer.train."""
        while self._process.poll() is None:
            if context.cancelled():
                raise Cancelled
            report(self.fraction)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.3)
        if not self._result_path.exists():
            return None
        outcome: Found | CustomAIError = pickle.loads(self._result_path.read_bytes())  # ours, from our own folder
        if isinstance(outcome, CustomAIError):
            raise outcome
        return outcome

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with suppress(ValueError):  # libraries print, too
                self.fraction = float(line)


def main() -> None:
    """The second process."""
    siblings, context, name, result = pickle.loads(sys.stdin.buffer.read())
    parent = os.getppid()
    (found,) = (one for one in entry_points(group="custom_ai.trainers") if one.name == name)
    out = sys.stdout  # trainers silence sys.stdout while they work

    def report(fraction: float) -> None:
        out.write(f"{fraction:.4f}\n")
        out.flush()

    context = replace(context, cancelled=lambda: os.getppid() != parent)
    outcome: Found | CustomAIError
    try:
        outcome = siblings.train(found.load()(), context, report)
    except CustomAIError as error:
        outcome = error
    half = Path(f"{result}.part")
    half.write_bytes(pickle.dumps(outcome))
    half.replace(result)
    out.flush()
    os._exit(0)  # without waiting for threads of libraries


if __name__ == "__main__":
    main()
