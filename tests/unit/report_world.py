"""A finished run whose four models' predictions are known, on images that need no Label Studio."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from page_world import Bell, House, World
from PIL import Image

from custom_ai.dataset import Snapshot, make_snapshot
from custom_ai.services import Services
from custom_ai.shapes import to_row
from custom_ai.state.tables import Candidate, DatasetSnapshot, Project, Review, Run, Task, now
from custom_ai.training.contract import Recipe
from custom_ai.training.evaluation import evaluate
from custom_ai.types import Box, LabelledTask
from support import services_in

CLASSES = ["cup", "=<b>fork</b>"]
CUP, FORK = Box(CLASSES[0], 0.1, 0.1, 0.4, 0.5), Box(CLASSES[1], 0.6, 0.5, 0.9, 0.9)
IMAGES = 8
RECIPE = Recipe("fake", "Small and quick", "none", "", image_size=64, passes=400, seconds=20.0)


def picture(number: int) -> str:
    """An image as a data URI."""
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), (number * 20 % 255, 90, 120)).save(buffer, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def labelled(task_id: int) -> LabelledTask:
    return LabelledTask(task_id, picture(task_id), (CUP, FORK), 10 * task_id, "2026-01-01T00:00:00Z", True)


def seen() -> dict[int, tuple[Box, ...]]:
    """All cups; forks too, but on image 1 one is missed, on 2 taken for a cup, and on 3 something is invented."""
    found = {n: (replace(CUP, score=0.9), replace(FORK, score=0.8)) for n in range(1, IMAGES + 1)}
    found[1] = found[1][:1]
    found[2] = (found[2][0], replace(FORK, label=CLASSES[0], score=0.75))
    found[3] = (*found[3], Box(CLASSES[0], 0.5, 0.05, 0.7, 0.3, 0.85))
    return found


def make_report_world(folder: Path, **settings: Any) -> tuple[World, int]:
    """(the world, the id of the finished run of project 1); its first candidate has the predictions of ``seen``."""
    services = services_in(folder, "http://studio.example:8080", **settings)
    snapshot = make_snapshot([labelled(n) for n in range(1, IMAGES + 1)], CLASSES)
    with services.database.write() as session:
        session.add(Project(id=1, title="Kitchen", available_classes=list(CLASSES), connected_at=now()))
        session.flush()
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
            status="done",
            trigger="person",
            requested_by="ann@example.com",
            kind="box",
            classes=list(CLASSES),
            snapshot_id=row.id,
            labels=2 * IMAGES,
        )
        session.add(run)
        session.flush()
        session.add(_candidate(services, run, snapshot))
        session.flush()
        return World(services, Bell(), House()), run.id


def review(world: World, task_id: int, day: int, **counts: int) -> None:
    """Somebody corrected a pre-label of the first candidate."""
    values = dict.fromkeys(("accepted", "moved", "relabelled", "removed", "added"), 0) | counts
    with world.services.database.write() as session:
        at = datetime(2026, 1, day, 12, tzinfo=UTC)
        session.merge(
            Review(project_id=1, candidate_id=1, task_id=task_id, annotation_id=1, at=at, iou_sum=0.9, **values)
        )


def mirror(world: World, task_id: int, **values: Any) -> None:
    """A task as the mirror has it."""
    with world.services.database.write() as session:
        row = {"image": picture(task_id), "touched": True, "updated_at": ""} | values
        session.merge(Task(project_id=1, task_id=task_id, **row))


def _candidate(services: Services, run: Run, snapshot: Snapshot) -> Candidate:
    predicted = seen()
    truth = {one.task_id: one.boxes for one in snapshot.examples}
    scores = evaluate([truth[n] for n in sorted(truth)], [predicted[n] for n in sorted(truth)], CLASSES)
    scores = replace(scores, method="scored on pictures that were held out")
    unseen = {str(task): [to_row(box, box.score) for box in boxes] for task, boxes in predicted.items()}
    return Candidate(
        run_id=run.id,
        project_id=1,
        place=0,
        title=RECIPE.title,
        recipe=json.loads(RECIPE.to_json()),
        classes=list(CLASSES),
        status="done",
        fraction=1.0,
        loss=[[0.0, 9.0], [0.5, 3.0], [1.0, 1.5]],
        base_weights="no base weights",
        image_size=64,
        seconds=20.0,
        passes=400,
        map50=scores.map50,
        scores=asdict(scores),
        thresholds={name: 0.5 for name in CLASSES},
        unseen_sha256=services.store.put_bytes(json.dumps(unseen).encode()),
    )
