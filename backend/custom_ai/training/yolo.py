"""The trainer for Ultralytics YOLO detectors. Imports ultralytics only while it trains.

Base weights are pickles: ultralytics unpickles them, which can run code. They are therefore only ever
taken from ``TrainContext.weights``, i.e. from places that the administrator chose.
"""

from __future__ import annotations

import os
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from custom_ai.dataset import write_yolo
from custom_ai.errors import N_, Cancelled, CustomAIError, TrainingError
from custom_ai.training.contract import Progress, Recipe, TrainContext, Trained, TrainerSpec, TrainSet
from custom_ai.types import LabelKind

RANDOM_START = N_("random start: no base weights were at hand")


class YoloTrainer:
    """Trains any detection architecture that ultralytics knows by name, e.g. yolov5n, yolo11n, yolo26n.

    For rotated boxes and polygons the same network gets another head, see yolo_models.with_head.
    """

    spec = TrainerSpec(name="yolo", kinds=(LabelKind.BOX, LabelKind.ROTATED_BOX, LabelKind.POLYGON))

    def train(self, recipe: Recipe, data: TrainSet, context: TrainContext) -> Trained:
        """See the contract. Also sets the number of torch threads of this process."""
        started = time.monotonic()
        if not any(image.boxes for image in data.train):
            raise TrainingError(why=N_("none of the images to train on has a label"))
        context.report(Progress("preparing", 0.0))
        folder = context.work_dir / "yolo"
        write_yolo(folder, data.classes, data.train, data.kind)
        prepare_environment(context.work_dir)
        base = context.weights.get(recipe.base_weights)
        # Ultralytics and torch print and warn at will; what people should know reaches them by `report`.
        with (
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            try:
                passes, weights_path, onnx_path = self._run(recipe, data, folder, base.path if base else None, context)
            except CustomAIError:
                raise
            except MemoryError as error:
                raise TrainingError(why=N_("there is not enough memory")) from error
            except Exception as error:  # ultralytics raises bare exceptions of many kinds
                raise TrainingError(why=_reason(error)) from error
        return Trained(
            weights_path=weights_path,
            onnx_path=onnx_path,
            base_weights=base.origin if base else RANDOM_START,
            image_size=recipe.image_size,
            seconds=round(time.monotonic() - started, 2),
            passes=passes,
        )

    def _run(
        self, recipe: Recipe, data: TrainSet, folder: Path, base: Path | None, context: TrainContext
    ) -> tuple[int, Path, Path]:
        # They need the environment, and take seconds.
        from custom_ai.training.yolo_export import save
        from custom_ai.training.yolo_loop import Loop

        _stop_if_cancelled(context)
        loop = Loop(recipe, dict(enumerate(data.classes)), folder, base, context, data.kind)
        loop.train()
        _stop_if_cancelled(context)
        context.report(Progress("exporting", 0.0))
        weights_path, onnx_path = context.work_dir / "weights.pt", context.work_dir / "model.onnx"
        save(loop, weights_path, onnx_path)
        context.report(Progress("exporting", 1.0, 0.0))
        _stop_if_cancelled(context)
        return loop.passes_done, weights_path, onnx_path


def prepare_environment(work_dir: Path) -> None:
    """Before ultralytics is imported: its files stay in work_dir, no downloads, installs, analytics, prints.

    Only the first call in a process counts, because ultralytics reads these values once.
    """
    config = work_dir / "ultralytics"
    config.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("YOLO_CONFIG_DIR", str(config))
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_VERBOSE"] = "false"
    os.environ.setdefault("MPLCONFIGDIR", str(config))
    # torch's OpenMP threads wait for each other by spinning (300,000 rounds). On a machine with other work to do
    # that burns the time that the others, and the thread waited for, need: with three busy processes on two cores
    # a picture took 480 ms instead of 200. With 2,000 rounds an idle machine is as fast as before.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def _stop_if_cancelled(context: TrainContext) -> None:
    if context.cancelled():
        raise Cancelled


def _reason(error: Exception) -> str:
    """The first line of a foreign message, in words that do not leak paths where we know better ones."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "out of memory" in text.lower() or "allocate memory" in text.lower():
        return N_("there is not enough memory")
    if isinstance(error, FileNotFoundError):
        return N_("some of the images cannot be read")
    return f"{type(error).__name__}: {text[:200]}"
