"""Pictures per second from JPEG files to boxes: our own engine beside ultralytics' predict, with the same weights.

    python tests/benchmarks/engine.py
    python tests/benchmarks/engine.py --weights y5nu_coco.pt --data FOLDER      # images/, labels/, classes.txt
    python tests/benchmarks/engine.py --weights trained.pt --data FOLDER --passes 0

The weights (by default a random start) are first trained for ``--passes`` pictures of the data (by default generated
scenes), so that there is something to find; ``--passes 0`` takes them as they are. Then three processes take turns,
``--rounds`` times at each size, each time with all pictures once:

- ours: ``Model.predict_many``, on the engine that the self-test chooses;
- default: ``YOLO(weights).predict(folder, imgsz=size, stream=True, verbose=False)``;
- best: the same with ``batch=8`` and torch's threads set to the number of cores.

The rates are medians of the rounds; ``engine`` says what ours chose. The last line is one JSON object, with
``ratio_default_640`` and so on: how many times as fast as ultralytics ours is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from pictures import make_folder, read_folder

from custom_ai.images import decode_pixels
from custom_ai.serving.choices import Choices
from custom_ai.serving.engine import Model
from custom_ai.serving.selftest import choose
from custom_ai.serving.stream import Picture, Seen
from custom_ai.settings import load_settings
from custom_ai.training.agreement import PICTURES, verify
from custom_ai.training.contract import BaseWeights, TrainContext, TrainImage, TrainSet
from custom_ai.training.recipes import choose_recipes, summarise
from custom_ai.training.yolo import YoloTrainer, prepare_environment
from custom_ai.types import LabelKind

SIZES = (640, 320)
KINDS = ("ours", "default", "best")
SCORE = 0.25
"""Ultralytics' default threshold; both use it."""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        prepare_environment(folder)
        if options.data:
            classes, images = read_folder(options.data)
        else:
            classes, images = make_folder(folder / "scenes", options.pictures)
        images = images[: options.pictures]
        weights = trained_weights(options.weights, options.passes, options.threads, classes, images, folder)
        files = folder / "pictures"
        files.mkdir()
        for image in images:
            shutil.copy(image.path, files / image.path.name)
        result: dict[str, object] = {"threads": options.threads, "pictures": len(images)}
        for size in SIZES:
            result |= _compare(weights, files, classes, size, options, folder)
        print(json.dumps(result))


def _compare(
    weights: Path, files: Path, classes: Sequence[str], size: int, options: argparse.Namespace, folder: Path
) -> dict[str, object]:
    """Rates and ratios at one size."""
    model = exported(weights, sorted(files.iterdir()), classes, size, folder / f"{size}.onnx")
    arguments = {"ours": (model, classes, options.threads, folder / "choices"), "default": (0,), "best": (8,)}
    workers = {kind: _Worker(kind, files, size, weights, arguments[kind], options.threads) for kind in KINDS}
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    boxes: dict[str, int] = {}
    for worker in workers.values():
        worker.run()  # warm
    for _ in range(options.rounds):
        for kind, worker in workers.items():
            seconds, boxes[kind] = worker.run()
            rates[kind].append(len(list(files.iterdir())) / seconds)
    engine = workers["ours"].facts
    for worker in workers.values():
        worker.end()
    middle = {kind: statistics.median(values) for kind, values in rates.items()}
    for kind in KINDS:
        spread = f"{min(rates[kind]):.1f} to {max(rates[kind]):.1f}"
        print(f"{size} {kind:8} {middle[kind]:7.1f} pictures/s ({spread}), {boxes[kind]} boxes", flush=True)
    print(f"{size} ours runs on {engine}", flush=True)
    found: dict[str, object] = {f"{kind}_{size}": round(rate, 1) for kind, rate in middle.items()}
    ratios = {f"ratio_{kind}_{size}": round(middle["ours"] / middle[kind], 2) for kind in ("default", "best")}
    return found | {f"engine_{size}": engine} | ratios


def trained_weights(
    weights: Path | None, passes: int, threads: int, classes: Sequence[str], images: Sequence[TrainImage], folder: Path
) -> Path:
    """A checkpoint in which there is something to find."""
    if weights and not passes:
        return weights.resolve()
    settings = load_settings(state_dir=folder / "state", download_weights=False)
    data = TrainSet(tuple(classes), tuple(images), ())
    recipe = replace(
        choose_recipes(summarise(data), settings)[0],
        architecture="" if weights else "yolov5n",
        base_weights="given" if weights else "",
        passes=passes,
        seconds=120.0,
    )
    given = {"given": BaseWeights(weights, "given")} if weights else {}
    work = folder / "work"
    work.mkdir()
    trained = YoloTrainer().train(recipe, data, TrainContext(work, device="cpu", threads=threads, weights=given))
    print(f"trained with {trained.passes} passes in {trained.seconds:.0f} s", flush=True)
    return trained.weights_path


def exported(weights: Path, pictures: Sequence[Path], classes: Sequence[str], size: int, target: Path) -> Path:
    """The weights as the product exports them, compared with PyTorch at this size."""
    import torch

    from custom_ai.training.yolo_export import export, reference

    model = torch.load(weights, map_location="cpu", weights_only=False)["model"]
    export(model, LabelKind.BOX, len(classes), size, {"kind": "box"}, target)
    some = [decode_pixels(path.read_bytes(), path.name, 10**9)[0] for path in pictures[:PICTURES]]
    verify(target, reference(weights), some, size, len(classes))
    return target


class _Worker:
    """A process of one contestant, which waits while the others work."""

    def __init__(
        self, kind: str, files: Path, size: int, weights: Path, arguments: tuple[object, ...], threads: int
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        body = _ours if kind == "ours" else _ultralytics
        self._process = context.Process(target=_work, args=(theirs, body, files, size, weights, arguments, threads))
        self._process.start()
        self.facts = str(self._pipe.recv())

    def run(self) -> tuple[float, int]:
        """Seconds for all pictures once, and the boxes that were found."""
        self._pipe.send("run")
        seconds, boxes = self._pipe.recv()
        return seconds, boxes

    def end(self) -> None:
        self._pipe.send("end")
        self._process.join()


Run = Callable[[], int]
"""All pictures once; returns the number of boxes."""


def _work(
    pipe: Connection,
    body: Callable[..., tuple[Run, str]],
    files: Path,
    size: int,
    weights: Path,
    arguments: tuple[object, ...],
    threads: int,
) -> None:
    run, facts = body(files, size, weights, threads, *arguments)
    pipe.send(facts)
    while pipe.recv() == "run":
        started = time.perf_counter()
        boxes = run()
        pipe.send((time.perf_counter() - started, boxes))


def _ours(
    files: Path, size: int, weights: Path, threads: int, onnx_path: Path, classes: Sequence[str], _: int, choices: Path
) -> tuple[Run, str]:
    best = choose(onnx_path, size, threads, Choices(choices))
    model = Model.load(onnx_path, classes, size, threads, engine=best.engine, batch=best.batch)

    def read(path: Path) -> Picture:
        return Picture(*decode_pixels(path.read_bytes(), path.name, 10**9, model.side))

    def run() -> int:
        found = model.predict_many(sorted(files.iterdir()), read, SCORE)
        return sum(len(seen.boxes) for _, seen in found if isinstance(seen, Seen))

    return run, f"{best.engine}, batches of {best.batch}, {dict(best.rates)}"


def _ultralytics(files: Path, size: int, weights: Path, threads: int, batch: int) -> tuple[Run, str]:
    import torch
    from ultralytics import YOLO

    model = YOLO(weights)
    options = {"imgsz": size, "stream": True, "verbose": False, "device": "cpu"}
    if batch:
        options["batch"] = batch
        # It sets torch's threads to one less than there are cores while it loads the network.
        model.add_callback("on_predict_start", lambda _: torch.set_num_threads(threads))

    def run() -> int:
        return sum(len(found.boxes) for found in model.predict(str(files), **options))

    return run, "ultralytics"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--weights", type=Path, help="a checkpoint of ultralytics' for boxes; default: a random start")
    add("--data", type=Path, help="a folder in YOLO format; default: generated scenes")
    add("--passes", type=int, default=1000, help="pictures to train with before; 0: not at all")
    add("--pictures", type=int, default=96)
    add("--rounds", type=int, default=5)
    add("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.passes == 0 and not options.weights:
        parser.error("--passes 0 needs --weights")
    return options


if __name__ == "__main__":
    main()
