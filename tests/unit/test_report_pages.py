"""Reports as people get them: the pages, the files, the REST API."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from page_world import World
from PIL import Image
from report_world import CLASSES, make_report_world, mirror, review
from sqlalchemy import select
from typer.testing import CliRunner

from custom_ai import cli, web
from custom_ai.cli import reports as command
from custom_ai.dataset import Snapshot, make_snapshot
from custom_ai.labelstudio.config import parse_label_config
from custom_ai.pipeline.mirror import take_in
from custom_ai.pipeline.reports import report
from custom_ai.pipeline.run_data import figures, left_out_of
from custom_ai.state.tables import DatasetSnapshot, Run, Task
from custom_ai.training.contract import TrainImage
from custom_ai.types import Box, ImageSize, LabelledTask
from custom_ai_ui.report_files import report_files

CONTROL = parse_label_config(
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="cup"/></RectangleLabels></View>',
    1,
).control()
FORECAST = {
    "status": "done",
    "labels": 16,
    "model": 1,
    "helps_most": CLASSES[1],
    "seconds": 30.0,
    "points": [
        {"times": 0.5, "source": "siblings", "score": 0.5, "low": 0.4, "high": 0.6},
        {"times": 0.25, "source": "subset", "score": 0.3, "low": 0.2, "high": 0.5},
    ],
    "expected": [{"times": n, "score": 0.6, "low": 0.5, "high": 0.7} for n in (1, 2, 4)],
    "gain": [{"times": n, "score": 0.08, "low": 0.05, "high": 0.12} for n in (2, 4)],
    "curve": [[0.25, 0.3, 0.2, 0.4], [1, 0.6, 0.5, 0.7], [4, 0.7, 0.6, 0.8]],
    "verdict": "gain",
}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, int]]:
    world, run_id = make_report_world(tmp_path)
    monkeypatch.setattr(web, "SignIn", lambda services: world.house)
    yield world, run_id
    world.services.database.dispose()


@pytest.fixture
def client(made: tuple[World, int]) -> FlaskClient:
    return made[0].app().test_client()


def store(world: World, run_id: int, **values: object) -> None:
    with world.services.database.write() as session:
        run = session.get_one(Run, run_id)
        for name, value in values.items():
            setattr(run, name, value)


def test_the_report_tells_errors_and_doubts_by_sureness(made: tuple[World, int]) -> None:
    found = report(made[0].services, 1)
    doubts = [(one["kind"], one["task"], one["sureness"]) for one in found["doubts"]]
    assert doubts == [("needless", 1, 0.889), ("missing", 3, 0.85), ("class", 2, 0.75)]
    one = found["doubts"][1]
    assert one["annotation"] == 30
    left, top, right, bottom = one["view"]
    assert left < one["shape"][1] < one["shape"][3] < right
    assert top <= one["shape"][2] < one["shape"][4] < bottom
    worst = {one["task"]: one for one in found["worst"]}
    assert (worst[1]["missed_at"], worst[1]["wrong_at"]) == ([0], [])  # labels are sorted by class
    assert (worst[2]["missed_at"], worst[2]["wrong_at"]) == ([0], [1])
    assert (worst[3]["missed_at"], worst[3]["wrong_at"]) == ([], [2])


def test_report_page(made: tuple[World, int], client: FlaskClient) -> None:
    world, run_id = made
    store(world, run_id, forecast=FORECAST)
    review(world, 50, 3, accepted=2, moved=1)
    review(world, 51, 4, accepted=1, removed=1, added=2)
    html = client.get("/models/1").get_data(as_text=True)
    assert "Twice as many labels would probably bring 5 to 12 points." in html
    assert "<b>fork" not in html
    assert "=&lt;b&gt;fork&lt;/b&gt;" in html
    assert 'href="http://studio.example:8080/projects/1/data?task=3"' in html
    assert "2026-01-04" in html
    assert "stroke-dasharray" not in html  # styles stand in files
    thumb = re.search(r'href="(/api/models/1/images/3\?view=[^"]+)"', html)
    assert thumb is not None
    answer = client.get(thumb[1])
    assert answer.mimetype == "image/jpeg"
    assert Image.open(io.BytesIO(answer.data)).size < (96, 64)
    assert client.get("/api/models/1/images/3?view=0,0,2,1").status_code == 400
    assert "라벨을 두 배로 늘리면" in client.get("/models/1?lang=ko").get_data(as_text=True)


def test_report_files(made: tuple[World, int], client: FlaskClient, tmp_path: Path) -> None:
    files = report_files(made[0].services, 1, "ko")
    html = files["index.html"].decode()
    assert 'lang="ko"' in html
    for reference in re.findall(r'(?:href|src)="([^"#]+)"', html):
        assert reference.startswith("http://studio.example") or reference in files
    assert "images/doubt-01.jpg" in files
    assert "<script" not in html
    assert json.loads(files["report.json"])["version"] == "p1-m1"
    table = files["classes.csv"].decode("utf-8-sig").splitlines()
    assert table[0].startswith("class,boxes,ap50,")
    assert table[2].startswith("'=<b>fork</b>,8,")  # no formula for a spreadsheet
    assert ElementTree.fromstring(files["curves/02.svg"])[0].text == CLASSES[1]
    assert not [name for name in files if name.endswith((".pt", ".onnx"))]
    answer = client.get("/api/models/1/report?format=zip")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="report-p1-m1.zip"'
    names = zipfile.ZipFile(io.BytesIO(answer.data)).namelist()
    assert {f"report-p1-m1/{name}" for name in files} == {*names}


def test_report_command(made: tuple[World, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "services_for_terminal", lambda: made[0].services)
    runner = CliRunner()
    done = runner.invoke(cli.app, ["report", "p1-m1", "--out", str(tmp_path / "out"), "--language", "en"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "images" / "3.jpg").is_file()
    runner.invoke(cli.app, ["report", "p1-m1", "--out", str(tmp_path / "a" / "r.zip")])
    assert zipfile.is_zipfile(tmp_path / "a" / "r.zip")
    assert runner.invoke(cli.app, ["report", "p1-m9", "--out", str(tmp_path / "x")]).exit_code != 0
    assert runner.invoke(cli.app, ["report", "p1-m1", "--out", "x", "--language", "fr"]).exit_code != 0


def test_live_score_of_a_project(made: tuple[World, int], client: FlaskClient) -> None:
    assert client.get("/api/projects/1/live-score").json == {"project": 1, "models": []}
    review(made[0], 50, 3, accepted=3, moved=1)
    review(made[0], 51, 4, removed=1, added=1)
    (model,) = client.get("/api/projects/1/live-score").json["models"]  # type: ignore[index]
    assert (model["version"], model["serving"], model["total"]["tasks"]) == ("p1-m1", False, 2)
    assert [(day["day"], day["score"]) for day in model["days"]] == [("2026-01-03", 1.0), ("2026-01-04", 0.0)]
    assert client.get("/api/projects/2/live-score").status_code == 404


def test_data_page_tells_what_was_left_out(made: tuple[World, int], client: FlaskClient) -> None:
    world, run_id = made
    images = [TrainImage(n, Path("x"), ImageSize(96, 64), (Box(CLASSES[0], 0.1, 0.1, 0.2, 0.2),)) for n in (1, 2)]
    snapshot = report_snapshot(world, run_id)
    store(
        world,
        run_id,
        data_report=figures(snapshot, images),
        notes={"clipped": {"count": 3, "tasks": [7]}, "other_shape": {"count": 1, "tasks": [8]}},
        forecast=FORECAST,
    )
    html = client.get(f"/runs/{run_id}/data").get_data(as_text=True)
    assert "cut at the image&#39;s edge" in html
    assert "task=7" in html
    assert snapshot.sha256 in html
    assert "<b>fork" not in html
    assert "More labels of =&lt;b&gt;fork&lt;/b&gt; would help most" in html
    answer = client.get(f"/api/runs/{run_id}/data?download=1")
    assert "run-1-data.json" in answer.headers["Content-Disposition"]
    found = json.loads(answer.data)
    assert found["snapshot"]["tasks"][0] == {"task": 1, "annotation": 10, "labels": dict.fromkeys(CLASSES, 1)}
    assert [(one["what"], one["count"]) for one in found["notes"]] == [("clipped", 3), ("other_shape", 1)]
    assert found["report"]["classes"][0]["small"]["192"] == 2
    assert "이미지" in client.get(f"/runs/{run_id}/data?lang=ko").get_data(as_text=True)


def test_data_page_of_a_run_that_has_not_begun(made: tuple[World, int], client: FlaskClient) -> None:
    world, run_id = made
    store(world, run_id, snapshot_id=None, status="queued")
    html = client.get(f"/runs/{run_id}/data").get_data(as_text=True)
    assert "have not been read" in html
    assert client.get("/runs/99/data").status_code == 404


def report_snapshot(world: World, run_id: int) -> Snapshot:
    with world.services.database.read() as session:
        run = session.get_one(Run, run_id)
        row = session.scalars(select(DatasetSnapshot).where(DatasetSnapshot.id == run.snapshot_id)).one()
        return Snapshot.loads(row.content, row.sha256)


def test_what_was_left_out_is_counted_by_task(made: tuple[World, int]) -> None:
    world, _ = made
    mirror(world, 1, notes={"clipped": 2, "other_shape": 1})
    mirror(world, 2, notes={"clipped": 1})
    dog = Box("dog", 0.1, 0.1, 0.3, 0.3)
    thin = Box("cup", 0.1, 0.1, 0.1000001, 0.3)
    tasks = [LabelledTask(1, "x", (dog, thin), 1, "", True), LabelledTask(2, "x", None, None, "", True)]
    with world.services.database.read() as session:
        found = left_out_of(session, 1, tasks, make_snapshot(tasks, ["cup"]))
    assert found == {
        "clipped": {"count": 3, "tasks": [1, 2]},
        "other_shape": {"count": 1, "tasks": [1]},
        "other_class": {"count": 1, "tasks": [1]},
        "too_thin": {"count": 1, "tasks": [1]},
    }


def test_the_mirror_keeps_what_was_left_out_of_each_task(made: tuple[World, int]) -> None:
    world, _ = made
    value = {"x": 90, "y": 10, "width": 20, "height": 20, "rotation": 0, "rectanglelabels": ["cup"]}
    region = {"id": "a", "from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value}
    ellipse = {"id": "b", "from_name": "other", "to_name": "image", "type": "ellipselabels", "value": {}}
    annotation = {"id": 5, "result": [region, ellipse], "created_at": "2026-01-02T00:00:00Z"}
    raw = {"id": 7, "data": {"image": "x.jpg"}, "annotations": [annotation], "updated_at": "2026-01-02T00:00:00Z"}
    studio = SimpleNamespace(tasks=lambda *args, **more: iter([raw]))
    take_in(replace(world.services, label_studio=cast(Any, studio)), 1, CONTROL, None)
    with world.services.database.read() as session:
        assert session.scalars(select(Task.notes)).one() == {"clipped": 1, "other_shape": 1}
