"""A Label Studio in memory with what the review of pre-labels needs of it, and a model that sees what it is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from custom_ai.errors import LabelStudioMissing
from custom_ai.labelstudio.predictions import PushReport
from custom_ai.pipeline import found
from custom_ai.pipeline.found import Seen
from custom_ai.pipeline.vote import promote
from custom_ai.services import Services
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Candidate, Project, Run, Task, now
from custom_ai.types import Box, ImageSize
from support import services_in

CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="cat"/><Label value="dog"/></RectangleLabels></View>'
)
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class StudioInMemory:
    """Tasks with predictions and annotations. ``dies_at`` counts down the calls that change something."""

    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    model_version: str = ""
    views: dict[int, dict[str, Any]] = field(default_factory=dict)
    clock: int = 0
    dies_at: int | None = None
    calls: list[str] = field(default_factory=list)

    @property
    def session(self) -> StudioInMemory:
        return self

    def moment(self) -> str:
        self.clock += 1
        return (START + timedelta(seconds=self.clock)).isoformat()

    def add(self, task: int) -> None:
        self.tasks[task] = {"id": task, "predictions": [], "annotations": [], "draft_exists": False}

    def annotate(self, task: int) -> None:
        seen = self.tasks[task]["predictions"]
        parent = seen[-1]["id"] if seen else None
        made = {"id": 9000 + task, "created_at": self.moment(), "parent_prediction": parent, "result": []}
        self.tasks[task]["annotations"].append(made)

    def versions(self, task: int) -> list[str]:
        return [one["model_version"] for one in self.tasks[task]["predictions"]]

    def _changing(self, what: str) -> None:
        if self.dies_at is not None:
            if self.dies_at == 0:
                raise KeyboardInterrupt("killed")
            self.dies_at -= 1
        self.calls.append(what)

    # What the code calls

    def rows(self, project_id: int, items: Sequence[dict[str, Any]], page_size: int, **_: str) -> Any:
        (item,) = items
        assert (item["filter"], item["operator"]) == ("filter:tasks:id", "in_list")
        return [json.loads(json.dumps(self.tasks[one])) for one in sorted(item["value"]) if one in self.tasks]

    def push_predictions(self, project_id: int, rows: Sequence[dict[str, Any]]) -> PushReport:
        self._changing("push")
        for row in rows:
            self.clock += 1
            new = {**row, "id": self.clock, "created_at": self.moment()}
            self.tasks[row["task"]]["predictions"].append(new)
        return PushReport(len(rows), len(rows), (), ())

    def post(self, path: str, body: dict[str, Any], **_: Any) -> Any:
        self._changing("delete all of")
        assert path == "/api/dm/actions"
        assert body["selectedItems"]["included"], "Label Studio would take the whole project"
        for task in body["selectedItems"]["included"]:
            self.tasks[task]["predictions"] = []

    def delete_json(self, path: str, **_: Any) -> None:
        self._changing("delete one")
        number = int(path.strip("/").rpartition("/")[2])
        for task in self.tasks.values():
            for one in task["predictions"]:
                if one["id"] == number:
                    task["predictions"].remove(one)
                    return
        raise LabelStudioMissing(what="prediction", id=number)

    def update_project(self, project_id: int, **fields: Any) -> None:
        self._changing("show")
        self.model_version = fields["model_version"]


@dataclass
class ReviewWorld:
    services: Services
    studio: StudioInMemory

    def model(self, *, serves: bool = True, thresholds: float = 0.5) -> Candidate:
        with self.services.database.write() as session:
            run = Run(project_id=1, trigger="person", requested_by="me", kind="box", classes=["cat"], status="done")
            session.add(run)
            session.flush()
            one = Candidate(
                run_id=run.id,
                project_id=1,
                place=0,
                title="Small",
                recipe={},
                classes=["cat", "dog"],
                status="done",
                thresholds={"cat": thresholds, "dog": thresholds},
            )
            session.add(one)
            session.flush()
            if serves:
                promote(session, one, by="me", how="person")
            return one

    def job(self, model: Candidate, scores: dict[int, list[float]], threshold: float | None = None) -> AutoLabelJob:
        """A finished job on these tasks, which found boxes with these scores; pushed like a worker does."""
        with self.services.database.write() as session:
            job = AutoLabelJob(
                project_id=1,
                candidate_id=model.id,
                status="done",
                trigger="person",
                requested_by="me",
                threshold=threshold,
                floor=0.05,
            )
            session.add(job)
            session.flush()
            seen = {task: Seen(ImageSize(100, 100), tuple(boxes(some))) for task, some in scores.items()}
            found.save(session, job.id, 0, seen)
            for task, some in scores.items():
                least = 0.5 if threshold is None else threshold
                kept = [box for box in boxes(some) if (box.score or 0.0) >= least]
                session.add(AutoLabelItem(job_id=job.id, task_id=task, status="done", boxes=len(kept)))
                row = session.get_one(Task, (1, task))
                row.predicted_version = model.version
        for task, some in scores.items():
            kept = [box for box in boxes(some) if (box.score or 0.0) >= (0.5 if threshold is None else threshold)]
            self.studio.push_predictions(
                1, [{"task": task, "result": [{}] * len(kept), "score": 0.5, "model_version": model.version}]
            )
        return job

    def version_of(self, task: int) -> str | None:
        with self.services.database.read() as session:
            return session.get_one(Task, (1, task)).predicted_version


def boxes(scores: Sequence[float]) -> list[Box]:
    return [Box("cat", 0.1, 0.1, 0.4, 0.4, score) for score in sorted(scores, reverse=True)]


def make_review_world(folder: Path, tasks: Sequence[int] = range(1, 9)) -> ReviewWorld:
    studio = StudioInMemory()
    services = replace(services_in(folder), label_studio=cast(Any, studio))
    with services.database.write() as session:
        session.add(
            Project(id=1, title="Pets", label_config=CONFIG, available_classes=["cat", "dog"], connected_at=now())
        )
        session.flush()
        for task in tasks:
            session.add(Task(project_id=1, task_id=task, image=f"/data/{task}.jpg", touched=False, updated_at=""))
            studio.add(task)
    return ReviewWorld(services, studio)
