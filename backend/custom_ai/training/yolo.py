"""The trainer for Ultralytics YOLO detectors. Imports ultralytics only while it trains.

Base weights are pickles: ultralytics unpickles them, which can run code. They are therefore only ever
taken from ``TrainContext.weights``, i.e. from places that the administrator chose.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from custom_ai import exhaustion
from custom_ai.dataset import write_yolo
from custom_ai.errors import N_, Cancelled, CustomAIError, TrainingError
from custom_ai.training import memory
from custom_ai.training.contract import Progress, Recipe, TrainContext, Trained, TrainerSpec, TrainSet
from custom_ai.training.tiles import cut
from custom_ai.types import LabelKind

WEIGHTS, ONNX = "weights.pt", "model.onnx"
"""What a training leaves in its folder."""
RANDOM_START = N_("random start: no base weights were at hand")


class YoloTrainer:
    """Trains any detection architecture that ultralytics knows by name, e.g. yolov5n, yolo11n, yolo26n.

    For rotated boxes and polygons the same network gets another head, see yolo_models.with_head.
    """

    spec = TrainerSpec("yolo", (LabelKind.BOX, LabelKind.ROTATED_BOX, LabelKind.POLYGON), second_process=True)

    def train(self, recipe: Recipe, data: TrainSet, context: TrainContext) -> Trained:
        """See the contract. Also sets the number of torch threads of this process."""
        started = time.monotonic()
        if not any(image.boxes for image in data.train):
            raise TrainingError(why=N_("none of the images to train on has a label"))
        context.report(Progress("preparing", 0.0))
        folder = context.work_dir / "yolo"
        shown = data.train
        if recipe.piece < 1.0:
            shown = cut(data, recipe.piece, recipe.image_size, context.work_dir / "pieces").train
        write_yolo(folder, data.classes, shown, data.kind)
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
                used, passes = self._with_enough_memory(recipe, data, folder, base.path if base else None, context)
            except CustomAIError:
                raise
            except Exception as error:  # ultralytics raises bare exceptions of many kinds
                if exhaustion.memory(error):
                    why = N_("there is not enough memory, not even for one small image at a time")
                    raise TrainingError(why=why) from error
                raise exhaustion.explain(error, context.work_dir) or TrainingError(why=_reason(error)) from error
            finally:
                free_memory()
        return Trained(
            weights_path=context.work_dir / WEIGHTS,
            onnx_path=context.work_dir / ONNX,
            base_weights=base.origin if base else RANDOM_START,
            image_size=used.image_size,
            seconds=round(time.monotonic() - started, 2),
            passes=passes,
            batch=used.batch,
        )

    def _with_enough_memory(
        self, recipe: Recipe, data: TrainSet, folder: Path, base: Path | None, context: TrainContext
    ) -> tuple[Recipe, int]:
        """The recipe as it could be followed, smaller when memory ran out, and the passes that were done."""
        from custom_ai.training.yolo_loop import has_gpu

        started = time.monotonic()
        if has_gpu(context.device):
            recipe = replace(recipe, batch=memory.batch_on_gpu(recipe, len(data.train)))
        current = recipe
        while True:
            try:
                return current, self._run(current, data, folder, base, context)
            except Exception as error:
                if not exhaustion.memory(error):
                    raise
                next_ = memory.smaller(current)
                if next_ is None:
                    raise
            # Only here, where the error and with it the frames that hold the tensors are gone, can memory be freed.
            free_memory()
            left_s = max(recipe.seconds - (time.monotonic() - started), 0.5 * recipe.seconds)
            current = replace(next_, seconds=left_s)
            context.tell(
                N_("There was not enough memory; going on with {batch} images at a time, {size} pixels wide."),
                batch=current.batch,
                size=current.image_size,
            )

    def _run(self, recipe: Recipe, data: TrainSet, folder: Path, base: Path | None, context: TrainContext) -> int:
        # They need the environment, and take seconds.
        from custom_ai.training.yolo_export import save
        from custom_ai.training.yolo_loop import Loop

        _stop_if_cancelled(context)
        loop = Loop(recipe, dict(enumerate(data.classes)), folder, base, context, data.kind)
        loop.train()
        _stop_if_cancelled(context)
        context.report(Progress("exporting", 0.0))
        save(loop, context.work_dir / WEIGHTS, context.work_dir / ONNX, _some(data))
        context.report(Progress("exporting", 1.0, 0.0))
        _stop_if_cancelled(context)
        return loop.passes_done


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


def free_memory() -> None:
    """Give back what a finished training held: its network hangs in cycles; torch and libc keep freed blocks."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):  # not everywhere is glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _some(data: TrainSet) -> list[NDArray[np.uint8]]:
    """Pictures that show something, from all over the data."""
    from custom_ai.training.agreement import PICTURES

    labelled = [image for image in data.train if image.boxes]
    pixels = []
    for image in labelled[:: max(len(labelled) // PICTURES, 1)][:PICTURES]:
        with Image.open(image.path) as file:
            pixels.append(np.asarray(file.convert("RGB")))
    return pixels


def _stop_if_cancelled(context: TrainContext) -> None:
    if context.cancelled():
        raise Cancelled


def _reason(error: Exception) -> str:
    """The first line of a foreign message, in words that do not leak paths where we know better ones."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if text.startswith("Invalid CUDA"):
        return N_("the device in CUSTOM_AI_DEVICE is not there; leave it empty for the best that there is")
    if isinstance(error, FileNotFoundError):
        return N_("some of the images cannot be read")
    return f"{type(error).__name__}: {text[:200]}"
