"""How much work the loop saves: a simulated annotator, who knows the truth, labels a data set twice.

By hand alone, every shape is drawn. With the loop, the first images are labelled by hand until every class
has its ten; four candidates are trained; the one with the best honest score pre-labels what follows; its
pre-labels are corrected; and whenever the number of labelled images has doubled, it is trained again.
Counted is what a person must do: shapes drawn, moved (overlap with the truth under 0.8), removed, given
another class, and images that are merely accepted.

    python tests/benchmarks/effort.py [--data FOLDER] [--weights FILE] [--per-class 10] [--seed 0]

FOLDER has images/, labels/ and classes.txt in YOLO format; by default scenes are generated, sized so that
it takes a few minutes on two cores. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pictures import make_folder, read_folder, snapshot_of

from custom_ai.comparison import Comparison, compare, total
from custom_ai.serving.engine import Model
from custom_ai.settings import Settings, load_settings
from custom_ai.training.candidate import CandidateResult, train_candidate
from custom_ai.training.contract import TrainContext, TrainImage
from custom_ai.training.folds import plan
from custom_ai.training.recipes import choose_recipes, summarise
from custom_ai.training.siblings import read_pixels
from custom_ai.training.yolo import YoloTrainer, prepare_environment
from custom_ai.types import Box

MOVE_IOU = 0.8
"""A person leaves a shape where it is when it overlaps the truth at least this much."""


@dataclass
class Stage:
    """The images that one model pre-labelled, and what a person had to do on them."""

    trained_on: int
    honest_map50: float | None
    train_seconds: float
    images: int = 0
    accepted_images: int = 0
    by_hand: int = 0
    seen: list[Comparison] = field(default_factory=list)

    @property
    def actions(self) -> int:
        found = total(self.seen)
        return found.added + found.moved + found.removed + found.relabelled + self.accepted_images

    def add(self, predicted: Sequence[Box], truth: Sequence[Box]) -> None:
        found = compare(predicted, truth, MOVE_IOU)
        self.seen.append(found)
        self.images += 1
        self.by_hand += hand(truth)
        self.accepted_images += not (found.added or found.moved or found.removed or found.relabelled)


def hand(truth: Sequence[Box]) -> int:
    """Actions without pre-labels: each shape is drawn; an empty image is accepted."""
    return len(truth) or 1


def best_of_four(
    classes: Sequence[str], labelled: list[TrainImage], settings: Settings, count: int, seed: int, work: Path
) -> CandidateResult:
    """Train as the product does and keep the candidate with the best honest score."""
    data = plan(snapshot_of(classes, labelled), labelled)
    results = []
    for number, recipe in enumerate(choose_recipes(summarise(data), settings)[:count]):
        folder = work / f"{len(labelled)}-{number}"
        folder.mkdir()
        context = TrainContext(folder, device="cpu", threads=settings.cpu_threads)
        results.append(train_candidate(replace(recipe, seed=seed), data, context, YoloTrainer(), settings))
    return max(results, key=lambda result: result.scores.map50)


def label_all(arguments: argparse.Namespace, work: Path) -> list[Stage]:
    classes, images = read_folder(arguments.data) if arguments.data else make_folder(work / "scenes", arguments.images)
    settings = load_settings(
        state_dir=work,
        base_weights=arguments.weights,
        download_weights=False,
        candidate_passes=arguments.passes,
        candidate_seconds=arguments.seconds,
        threads=arguments.threads,
    )
    prepare_environment(work)
    waiting = random.Random(arguments.seed).sample(images, len(images))
    labelled: list[TrainImage] = []
    have: Counter[str] = Counter()
    stages = [Stage(0, None, 0.0)]
    while waiting and any(have[name] < arguments.per_class for name in classes):
        image = waiting.pop(0)
        labelled.append(image)
        have.update(box.label for box in image.boxes)
        stages[0].add((), image.boxes)
    while waiting:
        started = time.monotonic()
        best = best_of_four(classes, labelled, settings, arguments.candidates, arguments.seed, work)
        model = Model.load(best.trained.onnx_path, classes, best.trained.image_size, settings.cpu_threads)
        stage = Stage(len(labelled), best.scores.map50, time.monotonic() - started)
        stages.append(stage)
        until = 2 * len(labelled)
        while waiting and len(labelled) < until:
            image = waiting.pop(0)
            (found,) = model.predict([read_pixels(image)], min(best.thresholds.values()))
            shown = [box for box in found if (box.score or 0.0) >= best.thresholds[box.label]]
            stage.add(shown, image.boxes)
            labelled.append(image)
        show(stage)
    return stages


def show(stage: Stage) -> None:
    found = total(stage.seen)
    saved = 1 - stage.actions / max(stage.by_hand, 1)
    score = "-" if stage.honest_map50 is None else f"{stage.honest_map50:.3f}"
    print(
        f"trained on {stage.trained_on:4d} images ({stage.train_seconds:4.0f} s, mAP50 {score}): "
        f"{stage.images:4d} images, {stage.by_hand:5d} by hand; "
        f"drawn {found.added}, moved {found.moved}, removed {found.removed}, class {found.relabelled}, "
        f"accepted {stage.accepted_images}: {stage.actions} actions, {saved:.0%} saved",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=60, help="generated scenes, without --data")
    parser.add_argument("--passes", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=60.0, help="cap of one candidate")
    parser.add_argument("--candidates", type=int, default=2, choices=(1, 2, 3, 4), help="how many of the four to train")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stages = label_all(arguments, Path(folder))
    by_hand, with_loop = sum(one.by_hand for one in stages), sum(one.actions for one in stages)
    print(
        json.dumps(
            {
                "benchmark": "effort",
                "data": arguments.data.name if arguments.data else "scenes",
                "actions_by_hand": by_hand,
                "actions_with_loop": with_loop,
                "saved": round(1 - with_loop / by_hand, 4),
                "stages": [
                    {"trained_on": one.trained_on, "by_hand": one.by_hand, "actions": one.actions} for one in stages
                ],
            }
        )
    )


if __name__ == "__main__":
    main()
