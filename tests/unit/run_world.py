"""A run whose labels are frozen, for tests that do rough things to it, also in processes that do not survive."""

from __future__ import annotations

import base64
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from custom_ai import store as storing
from custom_ai.dataset import make_snapshot
from custom_ai.pipeline import overview
from custom_ai.pipeline.train import train
from custom_ai.services import Services
from custom_ai.serving.engine import Model
from custom_ai.state.tables import DatasetSnapshot, Project, Run, Task, now
from custom_ai.training.contract import Recipe, TrainContext, Trained, TrainSet
from custom_ai.types import Box, LabelledTask
from fake_trainer import FakeTrainer
from support import services_in

CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="cat"/><Label value="dog"/></RectangleLabels></View>'
)
BROKEN = "data:image/jpeg;base64,bm90IGFuIGltYWdl"


def picture(number: int) -> str:
    """An image as a data URI: no Label Studio is needed to fetch it."""
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), (number * 20 % 255, 90, 120)).save(buffer, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def make_run(
    folder: Path,
    images: Sequence[str] | None = None,
    classes: Sequence[str] = ("cat",),
    frozen: bool = True,
    **values: Any,
) -> tuple[Services, int]:
    """Services and a queued run of project 1; the n-th image (from 1 on) shows one thing of the n-th class, in turn."""
    services = services_in(folder, **{"download_weights": False, **values})
    shown = images if images is not None else [picture(n) for n in range(1, 9)]
    tasks = [
        LabelledTask(n, uri, (Box(classes[n % len(classes)], 0.3, 0.3, 0.7, 0.7),), n, "2026-01-01T00:00:00Z", True)
        for n, uri in enumerate(shown, 1)
    ]
    snapshot = make_snapshot(tasks, classes)
    with services.database.write() as session:
        session.add(
            Project(id=1, title="Cats", label_config=CONFIG, available_classes=["cat", "dog"], connected_at=now())
        )
        session.flush()
        for n in range(100, 106):
            session.add(Task(project_id=1, task_id=n, image=picture(n), touched=False, updated_at=""))
        row = DatasetSnapshot(
            project_id=1,
            sha256=snapshot.sha256,
            images=snapshot.images,
            counts=snapshot.counts,
            content=snapshot.dumps(),
        )
        session.add(row)
        session.flush()
        run = Run(
            project_id=1,
            trigger="person",
            requested_by="me",
            kind="box",
            classes=list(classes),
            snapshot_id=row.id if frozen else None,
        )
        session.add(run)
        session.flush()
        return services, run.id


class Rough(FakeTrainer):
    """What is trained, with a mishap at one stage of the second candidate."""

    def __init__(self, mishap: str) -> None:
        super().__init__()
        self.mishap = mishap

    def train(self, recipe: Recipe, data: TrainSet, context: TrainContext) -> Trained:
        second = len(self.seen) == 3  # a candidate and its two siblings were trained
        if second and self.mishap == "preparing":
            die()
        trained = super().train(recipe, data, context)
        if second and self.mishap == "training":
            (context.work_dir / "checkpoint").write_bytes(b"half")
            die()
        if second and self.mishap == "exporting":
            trained.onnx_path.write_bytes(trained.onnx_path.read_bytes()[:100])
            die()
        if second and self.mishap == "scoring":
            Model.predict = lambda *_: die()  # type: ignore[assignment, method-assign, return-value]
        if second and self.mishap == "storing":
            storing.shutil.copyfileobj = half_a_copy  # type: ignore[attr-defined]
        if second and self.mishap == "full":
            trained.weights_path.write_bytes(os.urandom(3_000_000))
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
        return trained


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_a_copy(source: Any, target: Any) -> None:
    target.write(source.read(5))
    target.flush()
    die()


if __name__ == "__main__":
    services, run_id = make_run(Path(sys.argv[1]))
    rough = Rough(sys.argv[2])
    train(replace(services, trainer=lambda name: rough), run_id, 1)
    sys.stdout.write(json.dumps(overview.run(services, run_id)) + "\n")
