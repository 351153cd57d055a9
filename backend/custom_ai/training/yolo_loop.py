"""Ultralytics' training loop, bent to our needs.

Only ``training/yolo.py`` imports this module, after it has prepared the environment: ultralytics reads
its settings, and looks whether it is online, while it is being imported.

Why the loop is bent (figures: 2 cores, 10 images): validation, checkpoints and plots after each pass over
ten images cost more time than the training; a schedule in epochs says nothing with so few images, so one
epoch here is the whole budget, counted in pictures; the learning rate follows the share of the budget that
is used up, in pictures or in seconds, whichever is more, so that a slow machine completes a shorter
schedule instead of being cut off in the middle of a long one.
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, RandomSampler
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import load_checkpoint, yaml_model_load
from ultralytics.utils import LOGGER, SETTINGS

from custom_ai.errors import N_, Cancelled, TrainingError
from custom_ai.training import imagenet
from custom_ai.training.contract import Progress, Recipe, TrainContext
from custom_ai.training.yolo_models import HALF_MODELS, MODELS, TASKS, with_head
from custom_ai.types import LabelKind

WARMUP = 0.03
"""Share of the budget in which the learning rate rises from 0."""
FINAL_LEARNING_RATE = 0.01
"""Share of the learning rate that is left at the end."""
EARLY = 0.6
"""Share of the budget in which pictures are small, when the recipe has an early size."""
CLOSE_MOSAIC = 0.75
"""Share of the budget after which single, uncomposed pictures are shown."""


def has_gpu(device: str) -> bool:
    """Whether ultralytics will train on a graphics card of Nvidia for this setting."""
    return device != "cpu" and torch.cuda.is_available()


class Loop(DetectionTrainer):  # type: ignore[misc]  # ultralytics has no type information
    """One training. The name must not contain "Trainer": that word brings in the platform callbacks.

    Ultralytics' own trainers for rotated boxes and segmentation are this one's parent with another ``task``
    and another network.
    """

    def __init__(
        self,
        recipe: Recipe,
        names: dict[int, str],
        folder: Path,
        base: Path | None,
        context: TrainContext,
        kind: LabelKind,
    ) -> None:
        """``folder``: as written by dataset.write_yolo for ``kind``; ``base``: a checkpoint to start from."""
        self.recipe, self.context, self.base_path, self.names_by_index = recipe, context, base, names
        self.kind = kind
        self.folder = folder
        self.passes_done = 0
        self.started_at = time.monotonic()
        self.deadline_at = self.started_at + recipe.seconds
        self._reported_at = 0.0
        self._mosaic_open = recipe.mosaic > 0
        LOGGER.setLevel("CRITICAL")
        for tracker in ("clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb", "sync"):
            dict.__setitem__(SETTINGS, tracker, False)  # without writing the settings file
        super().__init__(
            overrides={
                "task": TASKS[kind],
                "mode": "train",
                "model": f"{recipe.architecture or 'yolov5n'}.yaml",
                "data": str(folder / "data.yaml"),
                "project": str(folder),
                "name": "run",
                "exist_ok": True,
                "device": context.device,
                "epochs": 1,
                "batch": recipe.batch,
                "nbs": recipe.batch,
                "imgsz": recipe.image_size,
                "optimizer": "AdamW",
                "lr0": recipe.learning_rate,
                "warmup_epochs": 0,
                "freeze": (recipe.freeze or None) if base else None,
                "mosaic": recipe.mosaic,
                "scale": recipe.scale,
                "degrees": recipe.degrees,
                "fliplr": recipe.flip,
                "flipud": recipe.flip_vertical,
                "hsv_h": recipe.hue,
                "close_mosaic": 0,
                "seed": recipe.seed,
                "deterministic": False,
                "pretrained": False,
                "cache": "ram",
                "workers": 0,
                "amp": "bf16" if has_gpu(context.device) and torch.cuda.get_device_capability()[0] >= 8 else False,
                "val": False,
                "plots": False,
                "save": False,
            }
        )

    # What ultralytics would read from the disk or the network

    def get_dataset(self) -> dict[str, Any]:
        """Skips ultralytics' check, which fetches a font for plots and may fetch the data."""
        images = str(self.folder / "images")
        return {
            "train": images,
            "val": images,
            "names": self.names_by_index,
            "nc": len(self.names_by_index),
            "channels": 3,
            "path": self.folder,
        }

    def setup_model(self) -> None:
        """Builds the network; never by a bare name, which ultralytics would try to download."""
        weights: Any = self._base_weights(self.base_path) if self.base_path else None
        if not (self.recipe.architecture or weights):
            raise TrainingError(why=N_("the base weights of this recipe were not found"))
        if self.recipe.architecture == imagenet.ARCHITECTURE:
            architecture = imagenet.architecture()
        else:
            architecture = yaml_model_load(self.args.model) if self.recipe.architecture else weights.yaml
        # yolo26 and yolov10 have a second head that needs no NMS; with few images the first one is better
        # and half the work, and all architectures then give the same kind of output.
        architecture = {**with_head(architecture, self.kind), "end2end": False}
        self.model = self.get_model(cfg=architecture, weights=weights, verbose=False)
        if self.device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16"):
            self.model.__class__ = HALF_MODELS[self.kind]

    def _base_weights(self, path: Path) -> Any:
        """The module in the base weights' file."""
        if self.recipe.architecture == imagenet.ARCHITECTURE:
            return imagenet.load_backbone(path)
        try:
            return load_checkpoint(path)[0]
        except (OSError, EOFError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
            raise TrainingError(why=N_("the file of the base weights cannot be read")) from error

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """The network, with all those of the weights whose names and shapes fit."""
        model = MODELS[self.kind](cfg, nc=self.data["nc"], ch=self.data["channels"], verbose=verbose)
        self.set_model_names_for_load(model)
        if weights:
            model.load(weights)
        return model

    def set_model_attributes(self) -> None:
        """Also lays the weights out for oneDNN: a fifth faster, the same numbers up to rounding."""
        super().set_model_attributes()
        self.model = self.model.to(memory_format=torch.channels_last)

    def build_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """A faster head, see recipes. And all weights in one call: saves 3 % of the time with batches of 4."""
        optimizer = super().build_optimizer(*args, **kwargs)
        if self.base_path:
            head = {id(parameter) for parameter in self.model.model[-1].parameters()}
            for group in [*optimizer.param_groups]:
                fast = [parameter for parameter in group["params"] if id(parameter) in head]
                if fast:
                    group["params"] = [parameter for parameter in group["params"] if id(parameter) not in head]
                    rate = group["lr"] * self.recipe.head_rate
                    optimizer.add_param_group({**group, "params": fast, "lr": rate, "initial_lr": rate})
        if "fused" in optimizer.defaults:
            for group in optimizer.param_groups:
                group["fused"] = True
        return optimizer

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        prepared: dict[str, Any] = super().preprocess_batch(batch)
        if self.recipe.early_size and self._used() < EARLY:  # labels are fractions: they fit any size
            early = (self.recipe.early_size, self.recipe.early_size)
            prepared["img"] = interpolate(prepared["img"], early, mode="bilinear", antialias=True)
        prepared["img"] = prepared["img"].contiguous(memory_format=torch.channels_last)
        return prepared

    def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
        """One loader for the whole budget; the "val" one is only asked for its size."""
        if mode == "val":
            return self.train_loader
        dataset = self.build_dataset(dataset_path, mode, batch_size)
        if len(dataset) < len([*(self.folder / "images").iterdir()]):
            raise TrainingError(why=N_("some of the images cannot be read"))
        generator = torch.Generator().manual_seed(self.recipe.seed)
        sampler = RandomSampler(dataset, num_samples=self._passes(batch_size), generator=generator)
        return DataLoader(dataset, batch_size, sampler=sampler, collate_fn=dataset.collate_fn)

    def _passes(self, batch_size: int) -> int:
        """Whole batches only: a last batch of one picture has no batch statistics."""
        return max(round(self.recipe.passes / batch_size), 1) * batch_size

    # What ultralytics would write, validate and send

    def run_callbacks(self, event: str) -> None:
        """Ours only: no analytics, experiment trackers or platform, whatever is installed."""
        own: dict[str, Callable[[], None]] = {
            "on_train_start": self._start,
            "on_train_batch_start": self._schedule,
            "on_train_batch_end": self._batch_done,
        }
        if event in own:
            own[event]()

    def validate(self) -> tuple[dict[str, float], float]:
        return {}, 0.0

    def save_metrics(self, metrics: dict[str, float]) -> None:
        return

    def save_model(self) -> bool:
        return False

    def final_eval(self) -> None:
        return

    # The schedule

    def _used(self) -> float:
        """Share (0..1) of the budget that is used up, in pictures or in time, whichever is more."""
        in_time = (time.monotonic() - self.started_at) / max(self.deadline_at - self.started_at, 1e-9)
        return min(max(self.passes_done / self._passes(self.batch_size), in_time), 1.0)

    def _start(self) -> None:
        # select_device() sets torch to cores - 1 threads: on 2 cores that is half the speed.
        torch.set_num_threads(max(self.context.threads, 1))
        self.started_at = time.monotonic()
        self.deadline_at = max(self.deadline_at, self.started_at + 0.1 * self.recipe.seconds)
        self.stop = False

    def _schedule(self) -> None:
        # Otherwise ultralytics halves the batch by itself when memory runs out, and this schedule would not fit.
        self._oom_retries = 3
        used = self._used()
        rise = min(used / WARMUP, 1.0)
        fall = FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * (1 + math.cos(math.pi * used)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rise * fall
        if self._mosaic_open and used >= CLOSE_MOSAIC:
            self._mosaic_open = False
            self.train_loader.dataset.close_mosaic(hyp=deepcopy(self.args))

    def _batch_done(self) -> None:
        self.passes_done += self.batch_size
        if self.context.cancelled():
            raise Cancelled
        loss = float(sum(self.loss_items.values()))
        if not math.isfinite(loss):
            raise TrainingError(why=N_("the loss became infinite; the data may be unsuitable"))
        used, now = self._used(), time.monotonic()
        self.stop = used >= 1.0
        if self.stop or now - self._reported_at >= 0.25:
            self._reported_at = now
            left = (now - self.started_at) * (1 - used) / max(used, 1e-6)
            self.context.report(Progress("training", used, left, loss))
