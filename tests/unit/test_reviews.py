"""The live score: what people made of pre-labels."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from custom_ai.labelstudio.config import parse_label_config
from custom_ai.labelstudio.reviews import review
from custom_ai.pipeline.connect import change_project
from custom_ai.pipeline.review import LAST, history, live_line, live_scores, recent_score, record_reviews
from custom_ai.pipeline.rules import _wants_run
from custom_ai.pipeline.vote import promote
from custom_ai.services import Services
from custom_ai.state.tables import Candidate, Project, Run, Task, now
from support import services_in

CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="cat"/><Label value="dog"/></RectangleLabels></View>'
)
CONTROL = parse_label_config(CONFIG, 1).control()


def region(x: float, label: str = "cat", **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": 10, "width": 20, "height": 20, "rotation": 0, "rectanglelabels": [label]}
    return {"id": f"r{x}", "from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value} | more


def task(number: int, predicted: list[Any], submitted: list[Any] | None, version: str = "p1-m1", **more: Any) -> Any:
    annotation = {
        "id": number * 10,
        "result": submitted,
        "created_at": "2026-01-02T00:00:00Z",
        "updated_at": f"2026-01-02T00:{number % 60:02d}:00Z",
        "was_cancelled": False,
        "parent_prediction": None,
    }
    prediction = {"id": 5, "model_version": version, "result": predicted, "created_at": "2026-01-01T00:00:00Z"}
    return {
        "id": number,
        "data": {"image": "x.jpg"},
        "updated_at": "2026-01-02T00:00:00Z",
        "predictions": [prediction | more],
        "annotations": [] if submitted is None else [annotation],
    }


def test_prediction_and_answer_are_read_alike() -> None:
    found = review(task(1, [region(95.0)], [region(95.0, origin="prediction")]), CONTROL, "p1-m")
    assert found is not None
    assert found.version == "p1-m1"
    assert found.submitted_at == datetime(2026, 1, 2, 0, 1, tzinfo=UTC)
    (predicted,), (submitted,) = found.predicted, found.submitted
    assert (predicted.x1, predicted.x2) == (submitted.x1, submitted.x2) == (0.95, 1.0)  # clipped on both sides


@pytest.mark.parametrize(
    "raw",
    [
        task(1, [region(10.0)], None),  # nobody answered
        task(1, [region(10.0)], [region(10.0)], version="other-tool"),
        task(1, [region(10.0)], [region(10.0)], created_at="2026-01-03T00:00:00Z"),  # came after the answer
        {"id": 1, "annotations": [{"id": 3, "result": [], "created_at": None}], "predictions": []},
    ],
)
def test_no_review(raw: Any) -> None:
    assert review(raw, CONTROL, "p1-m") is None


def test_the_prediction_that_the_person_saw_counts() -> None:
    raw = task(1, [region(10.0)], [region(10.0, origin="prediction")])
    raw["predictions"].append({"id": 6, "model_version": "p1-m2", "result": [], "created_at": "2026-01-01T12:00:00Z"})
    newest = review(raw, CONTROL, "p1-m")
    assert newest is not None
    assert newest.version == "p1-m2"
    raw["annotations"][0]["parent_prediction"] = 5
    chosen = review(raw, CONTROL, "p1-m")
    assert chosen is not None
    assert chosen.version == "p1-m1"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    made = services_in(tmp_path)
    with made.database.write() as session:
        session.add(
            Project(
                id=1, title="Pets", available_classes=["cat"], labels_per_class=1, auto_train=True, connected_at=now()
            )
        )
        session.flush()
        boxes = [["cat", 0.1, 0.1, 0.3, 0.3, False]] * 12
        session.add(Task(project_id=1, task_id=1, image="x", touched=True, boxes=boxes, updated_at=""))
        run = Run(
            project_id=1, trigger="person", requested_by="me", kind="box", classes=["cat"], status="done", labels=10
        )
        session.add(run)
        session.flush()
        candidate = Candidate(
            id=1, run_id=run.id, project_id=1, place=0, title="x", recipe={}, classes=["cat"], status="done"
        )
        session.add(candidate)
        session.flush()
        promote(session, candidate, by="me", how="person")
    return made


def test_scores_add_up_and_an_annotation_counts_once(services: Services) -> None:
    tasks = [
        task(1, [region(10.0)], [region(10.0)]),
        task(2, [region(10.0), region(60.0)], [region(14.0)]),  # moved, removed
        task(3, [region(10.0)], [region(10.0, "dog"), region(60.0)], version="p1-m99"),  # no model of ours
    ]
    for _ in range(2):
        with services.database.write() as session:
            record_reviews(session, 1, tasks, CONTROL)
    with services.database.read() as session:
        live = live_scores(session, 1)
        assert live[1]["tasks"] == 2
        assert (live[1]["accepted"], live[1]["moved"], live[1]["removed"], live[1]["added"]) == (1, 1, 1, 0)
        assert live[1]["precision"] == pytest.approx(2 / 3)
        assert live[1]["recall"] == 1.0
        (day,) = history(session, 1)
        assert (day["day"], day["tasks"]) == ("2026-01-02", 2)
    line = live_line(services, 1)
    assert line is not None
    assert (line["version"], line["tasks"]) == ("p1-m1", 2)
    assert line["days"] == [{"day": "2026-01-02", "score": line["score"], "tasks": 2}]


def test_no_line_without_reviews(services: Services) -> None:
    assert live_line(services, 1) is None
    assert live_line(services, 2) is None


def test_a_falling_live_score_brings_the_next_run_forward(services: Services) -> None:
    bad = [task(number, [region(10.0)], [region(60.0)]) for number in range(1, LAST + 1)]
    with services.database.write() as session:
        record_reviews(session, 1, bad[:-1], CONTROL)
    change_project(services, 1, by="me", retrain_below=0.5)
    with services.database.read() as session:
        project = session.get_one(Project, 1)
        assert recent_score(session, 1) is None  # too few to say anything
        assert not _wants_run(session, services, project)  # 12 labels are not half as many again as 10
    with services.database.write() as session:
        record_reviews(session, 1, bad, CONTROL)
    with services.database.read() as session:
        assert recent_score(session, 1) == 0.0
        assert _wants_run(session, services, session.get_one(Project, 1))
    change_project(services, 1, by="me", retrain_below=None)
    with services.database.read() as session:
        assert not _wants_run(session, services, session.get_one(Project, 1))
