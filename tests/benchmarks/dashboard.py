"""How long the server takes for the pages of a large project: 100,000 tasks, 50 runs.

    python tests/benchmarks/dashboard.py [--tasks 100000] [--runs 50] [--requests 30]

Builds a SQLite database as years of work would leave it behind, then asks the web process (Flask's test client, all
of our own code) for the pages. Only Label Studio is not the real one: a loopback server says who is asking. The last
line is one JSON object with the median and 95th percentile in milliseconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "unit")]

from fake_label_studio import Call, Reply, as_json, serving  # noqa: E402
from flask.testing import FlaskClient  # noqa: E402
from sqlalchemy import insert  # noqa: E402
from sqlalchemy.orm import Session  # noqa: E402

from custom_ai.pipeline.mirror import count_all  # noqa: E402
from custom_ai.services import Services  # noqa: E402
from custom_ai.state.journal import reason  # noqa: E402
from custom_ai.state.tables import (  # noqa: E402
    AutoLabelItem,
    AutoLabelJob,
    Ballot,
    Candidate,
    DatasetSnapshot,
    Notification,
    NotificationRead,
    Project,
    Promotion,
    Review,
    Run,
    Selection,
    SelectionImage,
    Task,
    now,
)
from custom_ai.web import create_app  # noqa: E402
from support import services_in  # noqa: E402

CLASSES = [f"class {number}" for number in range(10)]
LARGE, SMALL = 1, range(2, 11)
"""The project that is measured, and some others in the list."""
SMALL_TASKS = 1000
NOTIFICATIONS = 3000
AIM_MS = 300.0
PAGES = {
    "project list": "/projects",
    "dashboard": f"/projects/{LARGE}",
    "live fragment": f"/projects/{LARGE}/live",
    "runs and models": f"/projects/{LARGE}/runs",
    "notifications": "/notifications",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--requests", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(label_studio) as studio:
        services = services_in(Path(folder), studio.url)
        begun = time.perf_counter()
        fill(services, given.tasks, given.runs)
        size = sum(file.stat().st_size for file in services.settings.state_dir.glob("*.db*")) / 1e6
        print(f"{given.tasks:,} tasks, {given.runs} runs: {size:.0f} MB, built in {time.perf_counter() - begun:.0f} s")
        client = create_app(services).test_client()
        client.set_cookie("sessionid", "x")
        found = {name: measure(client, path, given.requests) for name, path in PAGES.items()}
        services.database.dispose()
    print(f"{'page':<18}{'first':>9}{'median':>9}{'p95':>9}{'size':>9}")
    for name, one in found.items():
        print(f"{name:<18}{one['first_ms']:>6} ms{one['median_ms']:>6} ms{one['p95_ms']:>6} ms{one['kb']:>6} kB")
    good = all(one["p95_ms"] < AIM_MS for one in found.values())
    print(json.dumps({"tasks": given.tasks, "runs": given.runs, "aim_ms": AIM_MS, "met": good, "pages": found}))


def label_studio(call: Call) -> Reply:
    """Says that the visitor is somebody who sees everything."""
    address = urlsplit(call.path)
    if address.path == "/api/current-user/whoami":
        return as_json({"id": 1, "email": "ann@example.com"})
    if address.path.rstrip("/") == "/api/projects":
        ids = [int(one) for text in parse_qs(address.query).get("ids", []) for one in text.split(",")]
        return as_json({"count": len(ids), "results": [{"id": one} for one in ids]})
    return as_json({"id": LARGE, "title": "Large"})


def measure(client: FlaskClient, path: str, requests: int) -> dict[str, Any]:
    """The times of the first request and of the following ones, in milliseconds."""
    times, size = [], 0
    gc.collect()
    for _ in range(requests + 1):
        begun = time.perf_counter()
        answer = client.get(path)
        times.append(1000 * (time.perf_counter() - begun))
        assert answer.status_code == 200, answer.get_data(as_text=True)
        size = len(answer.data)
    later = sorted(times[1:])
    return {
        "first_ms": round(times[0], 1),
        "median_ms": round(statistics.median(later), 1),
        "p95_ms": round(later[math.ceil(0.95 * len(later)) - 1], 1),
        "kb": round(size / 1000),
    }


def fill(services: Services, tasks: int, runs: int) -> None:
    """A database after years of work on one large project, and some small ones."""
    chance = random.Random(7)
    with services.database.write() as session:
        for id in (LARGE, *SMALL):
            session.add(
                Project(
                    id=id,
                    title=f"Project {id}",
                    available_classes=CLASSES,
                    available_kinds=["box"],
                    connected_at=now(),
                    looked_at=now(),
                )
            )
        session.flush()
        _add(session, Task, _tasks(chance, LARGE, tasks))
        for id in SMALL:
            _add(session, Task, _tasks(chance, id, SMALL_TASKS))
        for id in (LARGE, *SMALL):
            session.get_one(Project, id).label_counts = count_all(session, id)
        for number in range(1, runs + 1):
            _run(session, chance, number, "running" if number == runs else "done")
        _jobs(session, chance, tasks, 4 * runs - 4)
        _add(session, Notification, _notifications(chance))
        half = [{"user_id": 1, "notification_id": number} for number in range(1, NOTIFICATIONS // 2)]
        session.execute(insert(NotificationRead), half)


def _add(session: Session, table: type[Any], rows: Iterator[dict[str, Any]]) -> None:
    """In portions: 100,000 rows with their shapes at once would be hundreds of megabytes."""
    portion: list[dict[str, Any]] = []
    for row in rows:
        portion.append(row)
        if len(portion) == 10_000:
            session.execute(insert(table), portion)
            portion = []
    if portion:
        session.execute(insert(table), portion)


def _tasks(chance: random.Random, project_id: int, count: int) -> Iterator[dict[str, Any]]:
    """Six of ten are labelled with five boxes each; most of the others wait for review."""
    for number in range(1, count + 1):
        touched = number % 10 < 6
        boxes = [[chance.choice(CLASSES), 0.1234, 0.2345, 0.3456, 0.4567, False] for _ in range(5)]
        yield {
            "project_id": project_id,
            "task_id": 1_000_000 * project_id + number,
            "image": f"/data/upload/{project_id}/{number:08d}-picture.jpg",
            "touched": touched,
            "annotation_id": number if touched else None,
            "boxes": boxes if touched else None,
            "updated_at": "2026-01-01T00:00:00Z",
            "predicted_version": f"p{project_id}-m1" if number % 10 < 9 else None,
        }


def _run(session: Session, chance: random.Random, number: int, status: str) -> None:
    """A run with its snapshot, four candidates with curves and scores, and the vote on them."""
    snapshot = DatasetSnapshot(
        project_id=LARGE,
        sha256=f"{number:064d}",
        images=2000,
        counts=dict.fromkeys(CLASSES, 200),
        content=b"x" * 500_000,
    )
    session.add(snapshot)
    session.flush()
    broken = [[task, reason("The image {image} cannot be used: {why}.", image="x", why="x")] for task in range(50)]
    run = Run(
        project_id=LARGE,
        snapshot_id=snapshot.id,
        status=status,
        stage="training",
        trigger="person",
        requested_by="ann@example.com",
        kind="box",
        classes=CLASSES,
        labels=2000,
        left_out=broken,
        created_at=now() - timedelta(days=100 - number),
    )
    session.add(run)
    session.flush()
    made = []
    for place in range(4):
        per_class = {
            name: {"ap50": 0.5, "precision": 0.5, "recall": 0.5, "threshold": 0.3, "boxes": 200} for name in CLASSES
        }
        made.append(
            Candidate(
                run_id=run.id,
                project_id=LARGE,
                place=place,
                title="YOLO11n",
                recipe={"name": "x" * 500},
                classes=CLASSES,
                status="done" if status == "done" or place < 2 else "running",
                stage="training",
                fraction=0.5,
                seconds_left=60.0,
                loss=[[share / 100, chance.random()] for share in range(101)],
                base_weights="yolo11n.pt",
                map50=chance.random(),
                seconds=170.0,
                image_size=640,
                scores={"map50": 0.5, "map50_low": 0.4, "map50_high": 0.6, "map50_95": 0.3, "per_class": per_class},
                thresholds=dict.fromkeys(CLASSES, 0.3),
            )
        )
    session.add_all(made)
    session.flush()
    if status == "done":
        _vote(session, run, [one.id for one in made])


def _vote(session: Session, run: Run, candidates: list[int]) -> None:
    seen = {str(id): [[CLASSES[0], 0.1, 0.1, 0.2, 0.2, 0.9]] * 10 for id in candidates}
    images = [
        SelectionImage(task_id=number, sha256="0" * 64, width=640, height=480, disagreement=0.5, predictions=seen)
        for number in range(20)
    ]
    selection = Selection(
        project_id=LARGE,
        run_id=run.id,
        status="closed",
        candidate_ids=candidates,
        rounds=5,
        closed_at=now(),
        closed_by="ann@example.com",
        winner_id=candidates[0],
        images=images,
    )
    session.add(selection)
    session.flush()
    for voter in range(10):
        for number, image in enumerate(selection.images[:5]):
            session.add(
                Ballot(
                    selection_id=selection.id,
                    voter=f"{voter}@example.com",
                    round=number,
                    image_id=image.id,
                    shown=candidates,
                    picks=candidates[:1],
                    voted_at=now(),
                )
            )
    for earlier in session.query(Promotion).filter_by(project_id=LARGE, active=True):
        earlier.active = False
    session.flush()
    session.add(Promotion(project_id=LARGE, candidate_id=candidates[0], how="vote", promoted_by="ann@example.com"))
    session.flush()


def _jobs(session: Session, chance: random.Random, tasks: int, candidates: int) -> None:
    """Twenty auto-labelling jobs, the last one over a third of all tasks; reviews of what they did."""
    for number in range(1, 21):
        job = AutoLabelJob(
            project_id=LARGE,
            candidate_id=min(4 * number - 3, candidates),
            status="done",
            trigger="person",
            requested_by="ann@example.com",
        )
        session.add(job)
        session.flush()
        count = tasks // 3 if number == 20 else min(tasks, 2000)
        why = reason("The image {image} cannot be used: {why}.", image="x", why="x")
        states = ("failed" if item % 100 == 0 else "done" for item in range(count))
        items = (
            {
                "job_id": job.id,
                "task_id": item,
                "status": state,
                "boxes": 5,
                "reason": why if state == "failed" else None,
            }
            for item, state in enumerate(states)
        )
        _add(session, AutoLabelItem, items)
        reviews = (
            {
                "project_id": LARGE,
                "candidate_id": job.candidate_id,
                "task_id": item,
                "annotation_id": item,
                "at": now() - timedelta(hours=item % 2000),
                "accepted": chance.randrange(5),
                "moved": 1,
                "relabelled": 0,
                "removed": 1,
                "added": 1,
                "iou_sum": 3.0,
            }
            for item in range(tasks // 50)
        )
        _add(session, Review, reviews)


def _notifications(chance: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(1, NOTIFICATIONS + 1):
        yield {
            "id": number,
            "project_id": LARGE if number % 2 else chance.choice(SMALL),
            "event": "run_started",
            "subject": "run 1",
            "failure": number % 20 == 0,
            "message": reason("Training has started: {labels} labels of {classes}.", labels=10, classes="cup"),
            "recipient": "ann@example.com",
            "at": now() - timedelta(minutes=NOTIFICATIONS - number),
        }


if __name__ == "__main__":
    main()
