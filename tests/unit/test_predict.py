"""/predict: one task, many tasks, too many tasks, and a model that is exchanged meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from run_world import BROKEN, CONFIG, picture
from sqlalchemy import select

from custom_ai.errors import CustomAIError
from custom_ai.pipeline import predict as predicting
from custom_ai.pipeline.pictures import Download
from custom_ai.pipeline.predict import NOTHING, Request, predict
from custom_ai.pipeline.vote import promote
from custom_ai.services import Services
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Candidate, Notification, Project, Run, Task, now
from fake_trainer import one_box_model
from support import WritingBell, services_in

SCORES = (0.9, 0.6)
"""Of the two models; so it can be seen which one has answered."""


@pytest.fixture
def services(tmp_path: Path) -> Services:
    """Two models, the first of which serves, and 400 untouched tasks."""
    made = services_in(tmp_path)
    with made.database.write() as session:
        session.add(Project(id=1, label_config=CONFIG, available_classes=["cat"], connected_at=now()))
        run = Run(project_id=1, trigger="person", requested_by="me", kind="box", classes=["cat"], status="done")
        session.add(run)
        session.flush()
        for place, score in enumerate(SCORES):
            onnx = made.store.put_bytes(one_box_model(1, score))
            candidate = Candidate(
                run_id=run.id, project_id=1, place=place, title="Model", recipe={}, classes=["cat"], status="done"
            )
            candidate.onnx_sha256, candidate.image_size, candidate.thresholds = onnx, 64, {"cat": 0.3}
            session.add(candidate)
        session.flush()
        for number in range(1, 401):
            session.add(Task(project_id=1, task_id=number, image="x", touched=False, updated_at=""))
        serve(session, 0)
    return made


def serve(session: Any, place: int) -> None:
    candidate = session.scalars(select(Candidate).where(Candidate.place == place)).one()
    promote(session, candidate, by="me", how="person")


def asked(images: Sequence[str], first: int = 1) -> Request:
    return Request(1, CONFIG, [{"id": number, "data": {"image": uri}} for number, uri in enumerate(images, first)])


def test_one_task_and_several_are_answered_alike(services: Services) -> None:
    images = [picture(1), BROKEN, picture(3), picture(4)]
    together = predict(services, asked(images))
    alone = [predict(services, asked([uri]))[0] for uri in images]
    assert together == alone
    assert together[1] == NOTHING
    first = together[0]
    assert (first["model_version"], first["score"]) == ("p1-m1", pytest.approx(0.9))
    (region,) = first["result"]
    assert (region["original_width"], region["original_height"]) == (96, 64)
    assert region["value"]["rectanglelabels"] == ["cat"]
    assert region["value"]["width"] == pytest.approx(40.0, abs=0.5)
    assert predict(services, asked([])) == []


def test_without_a_model_or_with_a_bad_config_there_is_nothing(services: Services) -> None:
    assert predict(services, Request(1, "<View", asked([picture(1)]).tasks)) == [NOTHING]
    assert predict(services, Request(2, CONFIG, asked([picture(1)]).tasks)) == [NOTHING]


def job_of(services: Services) -> tuple[AutoLabelJob | None, set[int], list[Notification]]:
    with services.database.read() as session:
        job = session.scalars(select(AutoLabelJob)).one_or_none()
        items = set(session.scalars(select(AutoLabelItem.task_id)))
        return job, items, list(session.scalars(select(Notification).where(Notification.event == "handed_over")))


def test_too_many_tasks_are_handed_over(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    many = asked(["unused"] * (predicting.MANY + 1))
    assert predict(services, many) == [NOTHING] * len(many.tasks)
    job, items, told = job_of(services)
    assert job is not None and (job.trigger, job.status) == ("retrieve", "queued")
    assert items == {*range(1, predicting.MANY + 2)}
    assert told[0].message["params"] == {"asked": 301, "answered": 0, "left": 301}
    # While that one is under way, Label Studio is answered as well as can be.
    monkeypatch.setattr(predicting, "MANY", 2)
    results = predict(services, asked([picture(1)] * 3))
    assert [one["model_version"] for one in results] == ["p1-m1"] * 3
    assert len(job_of(services)[2]) == 1


def test_what_is_not_done_in_time_is_handed_over(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicting, "TIME_S", 0.3)

    def slow(_: Services, wanted: Sequence[tuple[int, str]]) -> Iterator[Download]:
        for number, uri in wanted:
            time.sleep(0.05)
            yield Download(
                number, "x", predicting.fetch_image(services.label_studio.session, services.settings, 1, uri)
            )

    monkeypatch.setattr(predicting, "download_many", slow)
    results = predict(services, asked([picture(1)] * 100))
    answered = sum(one != NOTHING for one in results)
    assert 0 < answered < 100
    assert all(one != NOTHING for one in results[:answered])
    job, items, told = job_of(services)
    assert job is not None and items == {*range(answered + 1, 101)}
    assert told[0].message["params"]["answered"] == answered
    assert told[0].subject == f"job {job.id}"


def test_nothing_is_handed_over_when_nobody_would_work_on_it(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WritingBell, "workers", lambda *_: 0)
    monkeypatch.setattr(predicting, "MANY", 2)
    assert NOTHING not in predict(services, asked([picture(1)] * 3))
    assert job_of(services)[0] is None


def test_a_model_is_exchanged_under_load_and_nobody_notices(services: Services) -> None:
    loads: list[str] = []
    load = services.models._loader

    def counted(sha256: str) -> Any:
        loads.append(sha256)
        return load(sha256)

    services.models._loader = counted
    answers: list[Any] = []
    errors: list[BaseException] = []
    stop = threading.Event()

    def annotator(number: int) -> None:
        try:
            while not stop.is_set():
                answers.extend(predict(services, asked([picture(number)], first=number)))
        except (CustomAIError, RuntimeError) as error:
            errors.append(error)

    threads = [threading.Thread(target=annotator, args=(number,)) for number in range(1, 9)]
    for one in threads:
        one.start()
    for place in (1, 0, 1, 0, 1):
        time.sleep(0.15)
        with services.database.write() as session:
            serve(session, place)
    time.sleep(0.15)
    stop.set()
    for one in threads:
        one.join()
    assert errors == []
    assert NOTHING not in answers
    seen = {(one["model_version"], round(one["score"], 2)) for one in answers}
    assert seen == {("p1-m1", 0.9), ("p1-m2", 0.6)}
    assert len(loads) == len(set(loads)) == 2
