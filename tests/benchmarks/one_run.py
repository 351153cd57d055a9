"""One training of a benchmark, in a process of its own: ``python one_run.py JOB.json RESULT.json``.

Seconds are those of training and of what the run itself needs to know how good it is, without importing
torch and without the test on pictures that no run has seen.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from pictures import choose, make_folder, read_folder, snapshot_of

from custom_ai.dataset import write_yolo
from custom_ai.serving.engine import Model
from custom_ai.settings import load_settings
from custom_ai.training.candidate import train_candidate
from custom_ai.training.contract import TrainContext, TrainImage
from custom_ai.training.evaluation import evaluate
from custom_ai.training.folds import plan
from custom_ai.training.recipes import choose_recipes, summarise
from custom_ai.training.siblings import SCORING_MIN_SCORE, read_pixels
from custom_ai.training.yolo import YoloTrainer, prepare_environment
from custom_ai.types import Box

EPOCHS = 100
"""Ultralytics' default."""
DRAWS = 50
"""Simulated hold-outs ..."""
DRAWN = (3, 20)
"""... of so many test pictures each. Of a dozen labelled pictures one can spare three, not twenty."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to train. ``candidate``: the number of the recipe, or -1 for ultralytics' defaults."""

    data: str
    """A folder; empty: generated scenes."""
    pictures: int
    """How many scenes to generate."""
    weights: str
    per_class: int
    test: int
    seed: int
    candidate: int
    image_size: int
    passes: int
    seconds: float
    threads: int


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    map50: float
    """On the test pictures, as is map50_95."""
    map50_95: float
    score: float | None
    """The run's own, honest mAP50, with its interval and how it came about."""
    score_low: float | None
    score_high: float | None
    method: str
    seconds: float
    """Of everything that the run itself does, so with export and honest score ..."""
    training_seconds: float
    """... and without the score."""
    memory_mb: float
    images: int
    drawn: dict[str, list[float]]
    """mAP50 on each of the simulated hold-outs; the same pictures for all candidates of a seed."""


def run(job: Job, work: Path) -> Result:
    classes, images = read_folder(Path(job.data)) if job.data else make_folder(work / "scenes", job.pictures)
    learnt, tested = choose(classes, images, job.per_class, job.test, job.seed)
    ours = job.candidate >= 0
    prepare_environment(work)
    import ultralytics  # noqa: F401  # both start with it loaded

    name, seconds, training_seconds, predicted, own = (_candidate if ours else _defaults)(
        job, classes, learnt, tested, work
    )
    scores = evaluate([image.boxes for image in tested], predicted, classes, resamples=1)
    draw = random.Random(job.seed)
    drawn: dict[str, list[float]] = {str(count): [] for count in DRAWN}
    for count in DRAWN * DRAWS if ours else ():
        some = draw.sample(range(len(tested)), min(count, len(tested)))
        part = evaluate([tested[n].boxes for n in some], [predicted[n] for n in some], classes, resamples=1)
        drawn[str(count)].append(round(part.map50, 4))
    # ours trains siblings in a second process at the same time; the defaults have none on a CPU
    memory_mb = (
        sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    )
    low, score, high, method = own
    return Result(
        name=name,
        map50=scores.map50,
        map50_95=scores.map50_95,
        score=score,
        score_low=low,
        score_high=high,
        method=method,
        seconds=seconds,
        training_seconds=training_seconds,
        memory_mb=memory_mb,
        images=len(learnt),
        drawn=drawn,
    )


Outcome = tuple[str, float, float, list[tuple[Box, ...]], tuple[float | None, float | None, float | None, str]]


def _candidate(
    job: Job, classes: Sequence[str], learnt: list[TrainImage], tested: list[TrainImage], work: Path
) -> Outcome:
    """The product's own way."""
    settings = load_settings(
        state_dir=work,
        base_weights=job.weights or None,
        download_weights=False,
        candidate_passes=job.passes,
        candidate_seconds=job.seconds,
    )
    data = plan(snapshot_of(classes, learnt), learnt)
    recipe = replace(choose_recipes(summarise(data), settings)[job.candidate], seed=job.seed)
    context = TrainContext(work / "work", device="cpu", threads=job.threads)
    context.work_dir.mkdir()
    result = train_candidate(recipe, data, context, YoloTrainer(), settings)
    model = Model.load(result.trained.onnx_path, classes, result.trained.image_size, job.threads)
    predicted: list[tuple[Box, ...]] = []
    for image in tested:
        predicted += model.predict([read_pixels(image)], SCORING_MIN_SCORE)
    own = result.scores
    return (
        recipe.name,
        result.seconds,
        result.trained.seconds,
        predicted,
        (own.map50_low, own.map50, own.map50_high, own.method),
    )


def _defaults(
    job: Job, classes: Sequence[str], learnt: list[TrainImage], tested: list[TrainImage], work: Path
) -> Outcome:
    """As in ultralytics' documentation, without plots, which want fonts from the network.

    It validates after each epoch, as it does by default, on the pictures that it learns from: there are no others.
    """
    from ultralytics import YOLO

    write_yolo(work / "yolo", classes, learnt)
    started = time.monotonic()
    model = YOLO(job.weights or "yolov5n.yaml")
    model.train(
        data=str(work / "yolo" / "data.yaml"),
        epochs=EPOCHS,
        imgsz=job.image_size,
        seed=job.seed,
        device="cpu",
        project=str(work / "yolo"),
        plots=False,
        verbose=False,
    )
    seconds = time.monotonic() - started
    trained = YOLO(work / "yolo" / "train" / "weights" / "best.pt")
    predicted = []
    for image in tested:
        pixels = np.ascontiguousarray(read_pixels(image)[..., ::-1])  # it expects BGR
        (found,) = trained.predict(pixels, imgsz=job.image_size, conf=SCORING_MIN_SCORE, device="cpu", verbose=False)
        rows = zip(found.boxes.xyxyn.tolist(), found.boxes.cls.tolist(), found.boxes.conf.tolist(), strict=True)
        predicted.append(
            tuple(
                Box(classes[int(label)], x1, y1, x2, y2, score)
                for (x1, y1, x2, y2), label, score in rows
                if x1 < x2 and y1 < y2
            )
        )
    return "defaults", seconds, seconds, predicted, (None, None, None, "")


if __name__ == "__main__":
    job_path, result_path = Path(sys.argv[1]), Path(sys.argv[2])
    done = run(Job(**json.loads(job_path.read_text(encoding="utf-8"))), Path.cwd())
    result_path.write_text(json.dumps(asdict(done)), encoding="utf-8")
    os._exit(0)  # without waiting for threads of libraries
