"""A project with a model and untouched tasks, for tests of auto-labelling; also in processes that are killed.

As a program: ``label_world.py FOLDER URL JOB ATTEMPT WHERE`` takes a turn at a job and is killed at WHERE.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import insert

from custom_ai.labelstudio.predictions import Predictions
from custom_ai.pipeline import found
from custom_ai.pipeline.auto_label import auto_label
from custom_ai.pipeline.claims import Claims
from custom_ai.pipeline.vote import promote
from custom_ai.services import Services
from custom_ai.state.tables import Candidate, Project, Run, Task, now
from fake_trainer import one_box_model
from support import services_in

CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="cat"/><Label value="dog"/></RectangleLabels></View>'
)
SCORE = 0.6


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), (90, 120, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


def make_labelling(folder: Path, url: str, tasks: range, **settings: Any) -> Services:
    """Services with project 1, its champion, and untouched tasks whose images a Label Studio at ``url`` has."""
    services = services_in(folder, url, **settings)
    source = folder / "model.onnx"
    source.write_bytes(one_box_model(2, SCORE))
    sha256 = services.store.put(source)
    with services.database.write() as session:
        session.add(
            Project(id=1, title="Cats", label_config=CONFIG, available_classes=["cat", "dog"], connected_at=now())
        )
        session.flush()
        run = Run(project_id=1, trigger="person", requested_by="me", kind="box", classes=["cat", "dog"], status="done")
        session.add(run)
        session.flush()
        candidate = Candidate(
            run_id=run.id,
            project_id=1,
            place=0,
            title="x",
            recipe={},
            classes=["cat", "dog"],
            status="done",
            image_size=64,
            onnx_sha256=sha256,
            thresholds={"cat": 0.5, "dog": 0.5},
        )
        session.add(candidate)
        session.flush()
        promote(session, candidate, by="me", how="person")
        rows = [
            {
                "project_id": 1,
                "task_id": task,
                "image": f"/data/upload/1/{task}.jpg",
                "touched": False,
                "updated_at": "2026-01-01T00:00:00Z",
            }
            for task in tasks
        ]
        session.execute(insert(Task), rows)
    return services


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, number: int) -> None:
    """Die when something is called for the ``number``-th time."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counting(*values: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            die()
        return real(*values, **named)

    setattr(owner, name, counting)


def main() -> None:
    folder, url, job, attempt, where = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    services = services_in(folder, url)
    if where == "downloading":
        before(found, "load", 2)
    elif where == "before the push":
        before(Predictions, "push_predictions", 1)
    elif where == "after the push":
        before(Claims, "finished", 1)
    elif where == "asking what has arrived":
        before(Predictions, "tasks_with_version", 1)
    auto_label(services, job, attempt)


if __name__ == "__main__":
    main()
