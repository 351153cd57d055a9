"""The kind of labels of a project: chosen, counted, frozen, shown; with a Label Studio that is a few lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from page_world import World, make_world, plain_images
from sqlalchemy import select

from custom_ai import web
from custom_ai.dataset import Snapshot
from custom_ai.errors import BadInput, LabelConfigError
from custom_ai.labelstudio.config import template
from custom_ai.labelstudio.projects import Project as RemoteProject
from custom_ai.pipeline import overview
from custom_ai.pipeline.connect import change_project, connect, use_kind
from custom_ai.pipeline.look import look
from custom_ai.pipeline.rules import look_and_follow
from custom_ai.pipeline.train import request_run, train
from custom_ai.services import Services
from custom_ai.state.tables import DatasetSnapshot, Project, Run, SelectionImage, Task, now
from custom_ai.types import LabelKind
from support import WritingBell, services_in

MIXED = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="ship"/><Label value="crane"/></RectangleLabels>
<PolygonLabels name="outline" toName="image"><Label value="ship"/></PolygonLabels></View>"""


@dataclass
class Studio:
    """As much of ``LabelStudio`` as looking and connecting ask for."""

    label_config: str
    content: list[dict[str, Any]] = field(default_factory=list)
    when_read: Callable[[], object] = lambda: None
    reads: list[datetime | None] = field(default_factory=list)

    def project(self, project_id: int) -> RemoteProject:
        return RemoteProject(project_id, "Harbour", self.label_config, "", {"task_number": len(self.content)})

    def update_project(self, project_id: int, **values: Any) -> RemoteProject:
        self.label_config = values.get("label_config", self.label_config)
        return self.project(project_id)

    def tasks(
        self, project_id: int, *, updated_after: datetime | None = None, page_size: int = 500
    ) -> Iterator[dict[str, Any]]:
        self.reads.append(updated_after)
        yield from self.content
        self.when_read()

    def task_ids(self, project_id: int) -> list[int]:
        return [task["id"] for task in self.content]

    def ml_backends(self, project_id: int) -> list[Any]:
        return []


def task(number: int, *regions: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "data": {"image": "/data/upload/1/a.jpg"},
        "updated_at": f"2026-01-01T00:00:{number:02}.000000Z",
        "annotations": [{"id": number, "result": list(regions)}],
    }


def rectangle(label: str = "ship", rotation: float = 0) -> dict[str, Any]:
    value = {"x": 40, "y": 40, "width": 20, "height": 10, "rotation": rotation, "rectanglelabels": [label]}
    size = {"original_width": 200, "original_height": 100}
    return {"id": "r", "from_name": "box", "type": "rectanglelabels", "origin": "manual", "value": value, **size}


def polygon() -> dict[str, Any]:
    value = {"points": [[10, 10], [50, 12], [30, 60]], "closed": True, "polygonlabels": ["ship"]}
    return {"id": "p", "from_name": "outline", "type": "polygonlabels", "origin": "manual", "value": value}


@pytest.fixture
def studio() -> Studio:
    """Six tasks with two rectangles each, of which four have a polygon as well."""
    content = [
        task(number, rectangle(rotation=30), rectangle("crane"), *([polygon()] if number <= 4 else []))
        for number in range(1, 7)
    ]
    return Studio(MIXED, content)


@pytest.fixture
def services(tmp_path: Path, studio: Studio) -> Services:
    made = replace(services_in(tmp_path, labels_per_class=4), label_studio=cast(Any, studio))
    with made.database.write() as session:
        session.add(Project(id=1, title="Harbour", connected_at=now()))
    look(made, 1)
    return made


def rung(services: Services) -> list[tuple[str, tuple[int, ...]]]:
    assert isinstance(services.bell, WritingBell)
    return services.bell.rung


def rows_of(services: Services, number: int) -> list[Any]:
    with services.database.read() as session:
        return session.scalars(select(Task.boxes).where(Task.task_id == number)).one() or []


def test_the_configs_first_kind_is_the_default(services: Services) -> None:
    shown = overview.project(services, 1)
    assert (shown["kind"], shown["kinds"]) == ("box", ["box", "rotated_box", "polygon"])
    assert shown["labels"] == {"ship": 6, "crane": 6}
    assert [len(row) for row in rows_of(services, 1)] == [6, 6]


def test_another_kind_is_counted_by_the_next_look(services: Services, studio: Studio) -> None:
    change_project(services, 1, by="me", chosen_classes=["crane"])
    change_project(services, 1, by="me", kind="polygon")
    shown = overview.project(services, 1)
    assert (shown["kind"], shown["classes"], shown["chosen_classes"]) == ("polygon", ["ship"], ["ship"])
    assert rung(services) == [("look", (1,))]
    look(services, 1)
    assert studio.reads[-1] is None, "all tasks are read again"
    assert overview.project(services, 1)["labels"] == {"ship": 4}
    (row,) = rows_of(services, 1)
    assert (row[0], row[6]) == ("ship", [[0.1, 0.1], [0.5, 0.12], [0.3, 0.6]])
    look(services, 1)
    assert studio.reads[-1] is not None, "and only once"


def test_the_same_kind_by_name_changes_nothing(services: Services) -> None:
    change_project(services, 1, by="me", kind="box")
    change_project(services, 1, by="me", kind=None)
    assert rung(services) == []


@pytest.mark.parametrize("kind", ["ellipse", "", 3, True, ["box"], {}])
def test_an_unknown_kind_is_refused_by_name(services: Services, kind: Any) -> None:
    with pytest.raises(BadInput, match=re.escape(f"kind = {kind!r}")):
        change_project(services, 1, by="me", kind=kind)


def test_a_kind_that_the_config_has_not_is_refused(services: Services, studio: Studio) -> None:
    studio.label_config = template(["ship"])
    look(services, 1)
    assert overview.project(services, 1)["kinds"] == ["box"]
    for kind in ("rotated_box", "polygon"):
        with pytest.raises(BadInput, match=f"kind = '{kind}'.*does not offer"):
            change_project(services, 1, by="me", kind=kind)


def test_a_config_that_lost_the_kind_is_a_problem_with_a_way_out(services: Services, studio: Studio) -> None:
    use_kind(services, 1, "polygon", by="me")
    studio.label_config = template(["ship"])
    assert look(services, 1) is None
    shown = overview.project(services, 1)
    assert "polygons were chosen" in shown["problem"]
    assert (shown["kind"], shown["kinds"]) == ("polygon", ["box"])
    use_kind(services, 1, "box", by="me")
    assert overview.project(services, 1)["problem"] == ""


def test_a_kind_that_is_chosen_while_a_look_reads_is_read_again(services: Services, studio: Studio) -> None:
    def choose_once() -> None:
        studio.when_read = lambda: None
        change_project(services, 1, by="me", kind="polygon")

    studio.when_read = choose_once
    look(services, 1, full=True)
    assert overview.project(services, 1)["labels"] == {"ship": 4}
    assert len(rows_of(services, 1)) == 1


@pytest.mark.parametrize(("kind", "corners", "labels"), [("box", 0, 12), ("rotated_box", 4, 12), ("polygon", 3, 4)])
def test_a_run_freezes_labels_of_its_kind(services: Services, kind: str, corners: int, labels: int) -> None:
    use_kind(services, 1, kind, by="me")
    run_id = request_run(services, 1, by="me", trigger="person")
    train(services, run_id, 1)  # there are no images to be fetched, so it ends after the snapshot
    shown = overview.run(services, run_id)
    assert (shown["kind"], shown["labels"]) == (kind, labels)
    with services.database.read() as session:
        row = session.scalars(select(DatasetSnapshot)).one()
        snapshot = Snapshot.loads(row.content, row.sha256)
    assert snapshot.kind is LabelKind(kind)
    boxes = [box for example in snapshot.examples for box in example.boxes]
    assert {len(box.outline) for box in boxes} == {corners}
    assert len(boxes) == labels


def test_a_run_whose_labels_became_others_fails_with_the_reason(services: Services) -> None:
    run_id = request_run(services, 1, by="me", trigger="person", classes=["ship"])
    use_kind(services, 1, "polygon", by="me")
    train(services, run_id, 1)
    shown = overview.run(services, run_id)
    assert shown["status"] == "failed"
    assert "kind of labels was changed" in shown["reason"]


def test_the_rule_compares_with_runs_of_the_same_kind(services: Services) -> None:
    change_project(services, 1, by="me", auto_train=True)
    with services.database.write() as session:
        session.add(
            Run(
                project_id=1,
                trigger="person",
                requested_by="me",
                kind="box",
                classes=["ship"],
                labels=12,
                status="done",
            )
        )
    look_and_follow(services, 1)
    assert rung(services) == []  # twelve labels, as at the last run
    use_kind(services, 1, "polygon", by="me")
    look_and_follow(services, 1)
    assert [job for job, _ in rung(services)] == ["look", "train"]


@pytest.mark.parametrize("kind", list(LabelKind))
def test_connecting_an_empty_project_makes_a_config_of_the_kind(
    services: Services, studio: Studio, kind: LabelKind
) -> None:
    studio.label_config, studio.content = "<View></View>", []
    connect(services, 2, by="me", classes=["roof"], kind=kind.value, enforce_backend=False)
    assert studio.label_config == template(["roof"], kind=kind)
    shown = overview.project(services, 2)
    assert (shown["kind"], shown["classes"]) == (kind.value, ["roof"])


def test_connecting_chooses_among_what_there_is(services: Services, studio: Studio) -> None:
    connect(services, 1, by="me", kind="polygon", enforce_backend=False)
    assert overview.project(services, 1)["labels"] == {"ship": 4}
    connect(services, 1, by="me", enforce_backend=False)
    assert overview.project(services, 1)["kind"] == "polygon", "what was chosen stays"
    with pytest.raises(BadInput, match="kind = 'ellipse'"):
        connect(services, 1, by="me", kind="ellipse", enforce_backend=False)
    studio.label_config = template(["ship"])
    with pytest.raises(BadInput, match="kind = 'rotated_box'"):
        connect(services, 1, by="me", kind="rotated_box", enforce_backend=False)
    with pytest.raises(LabelConfigError, match="polygons were chosen"):
        connect(services, 1, by="me", enforce_backend=False)


# Pages and REST


@pytest.fixture
def world(tmp_path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = make_world(tmp_path)
    made.services = replace(made.services, label_studio=cast(Any, studio))
    monkeypatch.setattr(web, "SignIn", lambda services: made.house)
    made.project(labels_per_class=4)
    look(made.services, 1)
    yield made
    made.services.database.dispose()


@pytest.fixture
def client(world: World) -> FlaskClient:
    return world.app().test_client()


def send(client: FlaskClient, method: str, path: str, body: dict[str, Any]) -> Any:
    token = client.get("/api/me").json["csrf_token"]
    return client.open(path, method=method, json=body, headers={"X-CSRFToken": token})


def press(client: FlaskClient, path: str, **fields: object) -> str:
    html = client.get("/projects/1").get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert token is not None
    answer = client.post(path, data={"csrf_token": token[1], **fields}, follow_redirects=True)
    return answer.get_data(as_text=True)


def test_rest_kind(client: FlaskClient, world: World) -> None:
    answer = send(client, "PATCH", "/api/projects/1", {"kind": "rotated_box"})
    assert (answer.status_code, answer.json["kind"]) == (200, "rotated_box")
    assert answer.json["kinds"] == ["box", "rotated_box", "polygon"]
    assert world.bell.rung == [("look", (1,))]
    for path, method in (("", "PATCH"), ("/runs", "POST"), ("/connect", "POST")):
        answer = send(client, method, f"/api/projects/1{path}", {"kind": "ellipse"})
        assert (answer.status_code, answer.json["error"]["code"]) == (400, "bad_input")
        assert "kind = 'ellipse'" in answer.json["error"]["message"]
    answer = send(client, "POST", "/api/projects/1/runs", {"kind": "polygon", "classes": ["ship"]})
    assert (answer.status_code, answer.json["kind"], answer.json["labels"]) == (201, "polygon", 4)


def test_dashboard_offers_what_the_config_offers(client: FlaskClient, world: World, studio: Studio) -> None:
    html = client.get("/projects/1").get_data(as_text=True)
    assert re.findall(r'name="kind" value="(\w+)" id="[\w-]+"( checked)?', html) == [
        ("box", " checked"),
        ("rotated_box", ""),
        ("polygon", ""),
    ]
    studio.label_config = template(["ship"])
    look(world.services, 1)
    html = client.get("/projects/1").get_data(as_text=True)
    assert 'name="kind"' not in html
    assert "upright boxes" in html


def test_dashboard_counts_another_kind_on_request(client: FlaskClient, world: World) -> None:
    html = press(client, "/projects/1/kind", kind="polygon")
    assert "The labels are being counted again." in html
    assert world.bell.rung == [("look", (1,))]
    look(world.services, 1)
    html = client.get("/projects/1").get_data(as_text=True)
    assert '<span class="count">4/4' in html
    assert 'id="kind-polygon" checked' in html
    assert "does not offer" in press(client, "/projects/1/kind", kind="ellipse")


def test_make_takes_the_kind_that_was_chosen(client: FlaskClient, world: World) -> None:
    html = press(client, "/projects/1/runs", kind="polygon", **{"class": ["ship"]})
    assert "Training is in line; it begins by itself." in html
    with world.services.database.read() as session:
        run = session.scalars(select(Run)).one()
    assert (run.kind, run.labels, run.classes) == ("polygon", 4, ["ship"])


def test_make_with_the_kind_that_is_in_force_does_not_ask_label_studio(
    client: FlaskClient, world: World, studio: Studio
) -> None:
    before = len(studio.reads)
    press(client, "/projects/1/runs", kind="box", **{"class": ["ship"]})
    assert len(studio.reads) == before
    with world.services.database.read() as session:
        assert session.get_one(Project, 1).kind is None
        assert session.scalars(select(Run.kind)).one() == "box"


def test_vote_draws_outlines(client: FlaskClient, world: World) -> None:
    selection_id = world.selection(world.run(), plain_images(5))
    with world.services.database.write() as session:
        for image in session.scalars(select(SelectionImage)):
            image.predictions = {
                name: [["cup", 0.25, 0.25, 0.75, 0.75, 0.9, [[0.25, 0.25], [0.75, 0.25], [0.5, 0.75]]], *rows[:1]]
                for name, rows in image.predictions.items()
            }
    html = client.get(f"/selections/{selection_id}").get_data(as_text=True)
    assert html.count('<polygon class="line" points="16.00,12.00 48.00,12.00 32.00,36.00"/>') == 4
    assert html.count('<rect class="line"') == 4
    assert "Labels: 2" in html
