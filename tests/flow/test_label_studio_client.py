"""The client against the real Label Studio."""

from __future__ import annotations

import io
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask, jsonify
from PIL import Image
from werkzeug.serving import make_server

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.errors import ImageError, LabelStudioAuth, LabelStudioError, LabelStudioMissing
from custom_ai.images import decode_upright
from custom_ai.labelstudio.client import LabelStudio, Project, Session
from custom_ai.labelstudio.config import parse_label_config, template
from custom_ai.labelstudio.images import fetch_image
from custom_ai.labelstudio.results import Note, labelled_task, labelled_tasks, prediction
from custom_ai.overlap import iou
from custom_ai.settings import Settings
from custom_ai.shapes import bounds, turned, within
from custom_ai.types import Box, ImageSize, LabelKind

pytestmark = pytest.mark.flow

TEMPLATES = Path(__file__).parents[2] / "label_studio_config"
RECTANGLE_AND_LABELS = """<View><Image name="image" value="$image"/>
<Labels name="what" toName="image"><Label value="car"/><Label value="dog"/></Labels>
<Rectangle name="where" toName="image"/></View>"""


@pytest.fixture
def project(ls_client: LabelStudio) -> Iterator[Project]:
    made = ls_client.create_project("Flow test", "", template(["car", "dog"]))
    yield made
    ls_client.delete_project(made.id)


def settings_for(server: LabelStudioServer, **values: Any) -> Settings:
    return Settings(label_studio_url=server.url, **values)


def picture(width: int = 40, height: int = 20, *, orientation: int = 1, colour: str = "red") -> bytes:
    """A JPEG of which the left half has the colour."""
    image = Image.new("RGB", (width, height), "white")
    image.paste(colour, (0, 0, width // 2, height))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def region(label: str = "car", x: float = 10, **extra: Any) -> dict[str, Any]:
    value = {"x": x, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": [label]}
    common = {"from_name": "label", "to_name": "image", "type": "rectanglelabels", "origin": "manual"}
    return {**common, "id": f"r{x}{label}", "original_width": 200, "original_height": 100, "value": value, **extra}


def annotate(client: LabelStudio, task_id: int, **fields: Any) -> Any:
    return client.session.post(f"/api/tasks/{task_id}/annotations/", {"result": [], "lead_time": 1.5, **fields})


def outlines(kind: LabelKind, size: ImageSize, count: int) -> list[Box]:
    """Shapes at random, of which some hang over the edge."""
    dice = random.Random(5)
    made: list[Box] = []
    while len(made) < count:
        x, y, reach = dice.uniform(-0.1, 1.1), dice.uniform(-0.1, 1.1), dice.uniform(0.05, 0.4)
        if kind is LabelKind.POLYGON:
            points = tuple((x + dice.uniform(0, reach), y + dice.uniform(0, reach)) for _ in range(dice.randint(3, 12)))
        else:
            pixels = turned(x * size.width, y * size.height, 300 * reach, 120 * reach, dice.uniform(0, 360))
            points = tuple((u / size.width, v / size.height) for u, v in pixels)
        x1, y1, x2, y2 = bounds(within(points))
        if x1 < x2 and y1 < y2:
            made.append(Box(dice.choice(["car", "dog"]), x1, y1, x2, y2, 0.5, outline=points))
    return made


def imported(client: LabelStudio, project: Project, count: int) -> list[int]:
    return client.import_tasks(project.id, [{"data": {"image": f"s3://b/{n}.jpg"}} for n in range(count)])


class TestSignIn:
    def test_personal_access_token(self, ls_client: LabelStudio, label_studio: LabelStudioServer) -> None:
        user = ls_client.whoami()
        assert (user.email, user.name) == (label_studio.email, label_studio.email)
        assert ls_client.version() == "1.23.2"

    def test_wrong_kinds_of_keys_say_what_to_do(self, label_studio: LabelStudioServer) -> None:
        access = httpx.post(f"{label_studio.url}/api/token/refresh/", json={"refresh": label_studio.token}).json()[
            "access"
        ]
        for key, words in {
            "": "CUSTOM_AI_LABEL_STUDIO_API_KEY",
            access: "short-lived access token",
            label_studio.legacy_token: "legacy tokens are disabled",
            "0" * 40: "does not know this token",
            label_studio.token[:-4] + "AAAA": "not valid",
        }.items():
            with Session(label_studio.url, key, retry_s=0) as session, pytest.raises(LabelStudioAuth) as caught:
                LabelStudio(session).whoami()
            assert words in str(caught.value)
            assert not key or key not in str(caught.value) + repr(caught.value) + repr(session)

    def test_legacy_token_when_enabled(self, label_studio: LabelStudioServer) -> None:
        label_studio.enable_legacy_tokens()
        try:
            with Session(label_studio.url, label_studio.legacy_token) as session:
                assert LabelStudio(session).whoami().email == label_studio.email
        finally:
            label_studio.enable_legacy_tokens(False)

    def test_somebody_else(self, label_studio: LabelStudioServer) -> None:
        with label_studio.signed_in() as browser:
            cookie = browser.cookies["sessionid"]
        access = httpx.post(f"{label_studio.url}/api/token/refresh/", json={"refresh": label_studio.token}).json()[
            "access"
        ]
        for values in (
            {"cookie": cookie},
            {"authorization": f"Bearer {access}"},
            {"authorization": f"Bearer {label_studio.token}"},
        ):
            with Session.with_credentials(label_studio.url, **values) as session:
                assert LabelStudio(session).whoami().email == label_studio.email
        for values in ({"cookie": "stale"}, {"authorization": "Bearer stale"}, {"authorization": "Token stale"}):
            with Session.with_credentials(label_studio.url, **values) as session, pytest.raises(LabelStudioAuth):
                LabelStudio(session).whoami()


class TestProjects:
    def test_create_read_update(self, ls_client: LabelStudio, project: Project) -> None:
        assert parse_label_config(project.label_config, project.id).control().classes == ("car", "dog")
        assert ls_client.update_project(project.id, title="Renamed").title == "Renamed"
        assert project.id in [one.id for one in ls_client.projects()]
        empty = ls_client.create_project("No config")
        assert empty.label_config == "<View></View>"
        ls_client.delete_project(empty.id)
        with pytest.raises(LabelStudioMissing, match=rf"project {empty.id}"):
            ls_client.project(empty.id)

    @pytest.mark.parametrize("file", sorted(TEMPLATES.glob("*.xml")), ids=lambda file: file.stem)
    def test_label_studio_takes_our_templates(self, ls_client: LabelStudio, file: Path) -> None:
        made = ls_client.create_project("Template", "", file.read_text(encoding="utf-8"))
        assert "image" in made.raw["parsed_label_config"]["label"]["inputs"][0]["value"]
        ls_client.delete_project(made.id)

    def test_errors_carry_label_studios_words(self, ls_client: LabelStudio, project: Project) -> None:
        with pytest.raises(LabelStudioError, match="Model version doesn't exist"):
            ls_client.update_project(project.id, model_version="never")
        with pytest.raises(LabelStudioError, match="title"):
            ls_client.create_project("x")


@pytest.fixture
def backend() -> Iterator[tuple[str, list[str]]]:
    """A tiny ML backend; the list holds the paths that were called."""
    calls: list[str] = []
    app = Flask("stub")

    @app.route("/health")
    def health() -> Any:
        calls.append("/health")
        return jsonify(status="UP")

    @app.route("/<path:name>", methods=["POST"])
    def anything(name: str) -> Any:
        calls.append(f"/{name}")
        return jsonify(model_version="stub-1", results=[])

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}", calls
    server.shutdown()
    server.server_close()
    thread.join()


class TestConnections:
    def test_ml_backend(self, ls_client: LabelStudio, project: Project, backend: tuple[str, list[str]]) -> None:
        url, calls = backend
        made = ls_client.add_ml_backend(project.id, url, "Custom AI", "user", "pass")
        assert (made.url, made.state, made.model_version) == (url, "CO", "stub-1")
        assert calls == ["/health", "/setup"] * 2
        assert [hook.url for hook in ls_client.webhooks(project.id)] == [f"{url}/webhook"]
        calls.clear()
        assert ls_client.ml_backends(project.id) == [made]
        assert calls == [], "listing the backends must not call them"
        assert ls_client.update_ml_backend(made, url, "Other").title == "Other"
        (task_id,) = imported(ls_client, project, 1)
        calls.clear()
        assert ls_client.task(project.id, task_id)["id"] == task_id
        assert "/predict" not in calls, "reading a task must not ask for predictions"
        ls_client.delete_ml_backend(made.id)
        assert ls_client.ml_backends(project.id) == []

    def test_unreachable_backend(self, ls_client: LabelStudio, project: Project) -> None:
        with pytest.raises(LabelStudioError, match="health check failed") as caught:
            ls_client.add_ml_backend(project.id, "http://127.0.0.1:9", "Custom AI")
        assert "<a " not in str(caught.value)

    def test_webhook_repair(self, ls_client: LabelStudio, project: Project) -> None:
        secret = {"X-Custom-AI-Secret": "s3cret"}
        actions = ["ANNOTATION_CREATED", "TASKS_CREATED"]
        hook = ls_client.add_webhook(project.id, "http://127.0.0.1:9/webhook", secret, actions)
        assert "s3cret" not in repr(hook)
        # Label Studio's trap: a PATCH without actions deletes them.
        ls_client.session.patch(f"/api/webhooks/{hook.id}/", {"is_active": False})
        (broken,) = ls_client.webhooks(project.id)
        assert (broken.actions, broken.is_active) == ((), False)
        fixed = ls_client.repair_webhook(hook.id, hook.url, secret, actions)
        assert ls_client.webhooks(project.id) == [fixed]
        assert (set(fixed.actions), fixed.is_active, fixed.headers) == (set(actions), True, secret)
        ls_client.delete_webhook(hook.id)
        with pytest.raises(LabelStudioMissing):
            ls_client.delete_webhook(hook.id)


class TestTasks:
    def test_what_people_did(self, ls_client: LabelStudio, project: Project) -> None:
        control = parse_label_config(project.label_config, project.id).control()
        drawn, empty, skipped, draft, copied, untouched = imported(ls_client, project, 6)
        annotate(ls_client, drawn, result=[region("dog"), region("gone"), region("car", x=90)])
        annotate(ls_client, empty)
        annotate(ls_client, skipped, was_cancelled=True)
        ls_client.session.post(f"/api/tasks/{draft}/drafts", {"result": [region()]})
        box = Box("car", 0.1, 0.1, 0.5, 0.5, 0.9)
        ls_client.push_predictions(project.id, [prediction(copied, [box], None, control, "p1-m1")])
        ls_client.session.post(
            f"/api/dm/actions?id=predictions_to_annotations&project={project.id}",
            {"selectedItems": {"all": False, "included": [copied]}},
        )
        notes: Counter[str] = Counter()
        read = {one.task_id: one for one in labelled_tasks(ls_client.tasks(project.id), control, notes)}
        assert read[drawn].boxes == (Box("dog", 0.1, 0.2, 0.4, 0.6), Box("car", 0.9, 0.2, 1.0, 0.6))
        assert read[empty].boxes == ()
        assert [read[one].boxes for one in (skipped, draft, copied, untouched)] == [None] * 4
        assert [one for one in read if not read[one].touched] == [untouched]
        assert notes == {Note.UNKNOWN_LABEL: 1, Note.CLIPPED: 1, Note.SKIPPED: 1, Note.UNREVIEWED: 1}
        assert [one["id"] for one in ls_client.tasks(project.id, only_untouched=True)] == [untouched]

    def test_a_prediction_submitted_as_it_is(self, ls_client: LabelStudio, project: Project) -> None:
        control = parse_label_config(project.label_config, project.id).control()
        (task_id,) = imported(ls_client, project, 1)
        annotate(ls_client, task_id, result=[region("dog", origin="prediction", score=0.7)])
        (box,) = labelled_task(ls_client.task(project.id, task_id), control).boxes or ()
        assert (box.untouched, box.score) == (True, None)

    def test_only_what_changed(self, ls_client: LabelStudio, project: Project) -> None:
        first, second, third = imported(ls_client, project, 3)
        newest = max(task["updated_at"] for task in ls_client.tasks(project.id))
        since = datetime.fromisoformat(newest) + timedelta(microseconds=1)
        assert list(ls_client.tasks(project.id, updated_after=since)) == []
        made = annotate(ls_client, second, result=[region()])
        assert [task["id"] for task in ls_client.tasks(project.id, updated_after=since)] == [second]
        ls_client.session.post(f"/api/tasks/{third}/drafts", {"result": [region()]})
        after = [task["id"] for task in ls_client.tasks(project.id, updated_after=since)]
        assert second in after and first not in after
        since = datetime.fromisoformat(
            next(ls_client.tasks(project.id, updated_after=since))["updated_at"]
        ) + timedelta(microseconds=1)
        ls_client.session.delete_json(f"/api/annotations/{made['id']}/")
        changed = [task["id"] for task in ls_client.tasks(project.id, updated_after=since)]
        assert second in changed

    def test_paging_survives_changes(self, ls_client: LabelStudio, project: Project) -> None:
        ids = imported(ls_client, project, 7)
        pages = ls_client.tasks(project.id, page_size=2)
        seen = [next(pages)["id"], next(pages)["id"]]
        ls_client.session.delete_json(f"/api/tasks/{ids[0]}/")
        seen += [task["id"] for task in pages]
        assert seen == ids
        assert ls_client.task_ids(project.id) == ids[1:]
        with pytest.raises(LabelStudioMissing):
            ls_client.task(project.id, ids[0])

    def test_a_thousand(self, ls_client: LabelStudio, project: Project) -> None:
        control = parse_label_config(project.label_config, project.id).control()
        ids = imported(ls_client, project, 1000)
        assert ids == sorted(ids) == ls_client.task_ids(project.id)
        boxes = [Box("car", n / 10, 0.1, n / 10 + 0.1, 0.9, 0.5) for n in range(5)]
        rows = [prediction(one, boxes, ImageSize(640, 480), control, "p1-m2") for one in ids]
        start = time.monotonic()
        report = ls_client.push_predictions(project.id, rows)
        assert time.monotonic() - start < 30
        assert (report.sent, report.created, report.rejected, report.gone) == (1000, 1000, (), ())
        assert ls_client.model_versions(project.id) == {"p1-m2": 1000}
        assert ls_client.tasks_with_version(project.id, "p1-m2") == set(ids)


class TestPredictions:
    def test_dropped_ones_are_found(self, ls_client: LabelStudio, project: Project) -> None:
        control = parse_label_config(project.label_config, project.id).control()
        good, bad, unknown, gone = imported(ls_client, project, 4)
        ls_client.session.delete_json(f"/api/tasks/{gone}/")
        rows = [prediction(one, [Box("car", 0, 0, 1, 1, 0.5)], None, control, "p1-m1") for one in (good, bad)]
        rows += [prediction(one, [], None, control, "p1-m1") for one in (unknown, gone)]
        rows[3]["result"] += [region("car", x=n) for n in range(40)]  # makes the refusal a long text
        rows[1]["result"].append(region("car", x=101))
        rows[2]["result"].append(region("bus"))
        report = ls_client.push_predictions(project.id, rows)
        assert (report.sent, report.created) == (4, 1)
        assert (report.rejected, report.gone) == ((bad, unknown), (gone,))
        assert ls_client.tasks_with_version(project.id, "p1-m1", among=[good, bad]) == {good}

    def test_versions_are_told_apart(self, ls_client: LabelStudio, project: Project) -> None:
        control = parse_label_config(project.label_config, project.id).control()
        one, two, three = imported(ls_client, project, 3)
        for version, tasks in {"p1-m1": [one], "p1-m12": [one, two, three], "P1-M1": [two]}.items():
            ls_client.push_predictions(project.id, [prediction(task, [], None, control, version) for task in tasks])
        assert ls_client.tasks_with_version(project.id, "p1-m1") == {one}
        assert ls_client.tasks_with_version(project.id, "p1-m12", among=[two, three]) == {two, three}
        assert ls_client.tasks_with_version(project.id, "p1-m12", among=[]) == set()
        assert ls_client.model_versions(project.id) == {"p1-m1": 1, "p1-m12": 3, "P1-M1": 1}

    def test_very_many_versions(self, ls_client: LabelStudio, project: Project) -> None:
        control = parse_label_config(project.label_config, project.id).control()
        (task_id,) = imported(ls_client, project, 1)
        versions = [f"p1-m{n:04}-with-a-long-name" for n in range(22)]
        for version in versions:
            ls_client.push_predictions(project.id, [prediction(task_id, [], None, control, version)])
        for version in versions:  # Label Studio's list column is cut at 500 characters
            assert ls_client.tasks_with_version(project.id, version) == {task_id}
        assert ls_client.tasks_with_version(project.id, "p1-m0001") == set()

    def test_rectangle_and_labels(self, ls_client: LabelStudio) -> None:
        made = ls_client.create_project("Two controls", "", RECTANGLE_AND_LABELS)
        control = parse_label_config(made.label_config, made.id).control()
        (task_id,) = imported(ls_client, made, 1)
        box = Box("dog", 0.25, 0.5, 0.75, 1.0, 0.5)
        report = ls_client.push_predictions(made.id, [prediction(task_id, [box], ImageSize(9, 9), control, "p1-m1")])
        assert report.created == 1
        (stored,) = ls_client.task(made.id, task_id)["predictions"]
        annotate(ls_client, task_id, result=stored["result"])
        (read,) = labelled_task(ls_client.task(made.id, task_id), control).boxes or ()
        assert (read.label, read.x1, read.y1, read.x2, read.y2) == ("dog", 0.25, 0.5, 0.75, 1.0)
        ls_client.delete_project(made.id)

    @pytest.mark.parametrize(
        ("config", "kind"),
        [
            (template(["car", "dog"], kind=LabelKind.ROTATED_BOX), LabelKind.ROTATED_BOX),
            (RECTANGLE_AND_LABELS, LabelKind.ROTATED_BOX),
            (template(["car", "dog"], kind=LabelKind.POLYGON), LabelKind.POLYGON),
            (RECTANGLE_AND_LABELS.replace("<Rectangle", "<Polygon"), LabelKind.POLYGON),
        ],
    )
    def test_outlines_come_back(self, ls_client: LabelStudio, config: str, kind: LabelKind) -> None:
        """None is dropped, however far it hangs over the edge; what lies inside comes back as it was."""
        made = ls_client.create_project("Outlines", "", config)
        control = parse_label_config(made.label_config, made.id).control(kind)
        size = ImageSize(400, 300)
        boxes = outlines(kind, size, 60)
        ids = imported(ls_client, made, len(boxes))
        rows = [prediction(one, [box], size, control, "p1-m1") for one, box in zip(ids, boxes, strict=True)]
        assert ls_client.push_predictions(made.id, rows).rejected == ()
        for task in ls_client.tasks(made.id):
            (stored,) = task["predictions"]
            annotate(ls_client, task["id"], result=stored["result"])
        whole = 0
        for task, box in zip(ls_client.tasks(made.id), boxes, strict=True):
            (read,) = labelled_task(task, control).boxes or ()
            assert read.label == box.label
            if all(0 <= value <= 1 for corner in box.outline for value in corner):
                whole += 1
                assert iou(read, box) > 1 - 1e-6
            # Of the others the part in the image is kept.
            assert (read.x1, read.y1, read.x2, read.y2) == pytest.approx((box.x1, box.y1, box.x2, box.y2), abs=0.1)
        assert 10 < whole < len(boxes)
        ls_client.delete_project(made.id)

    def test_what_label_studio_takes_of_a_rotated_box(self, ls_client: LabelStudio) -> None:
        """The reason for writing a box about another of its corners, or only a part of it."""
        made = ls_client.create_project("Rotated", "", template(["car"], kind=LabelKind.ROTATED_BOX))
        taken: dict[str, dict[str, float]] = {
            "x + width may be more than 100": {"x": 90, "width": 100, "rotation": 300},
            "x may be less than 0, though the reason for a refusal says otherwise": {"x": -1},
            "width may not be more than 100": {"width": 101},
            "y may not be more than 100": {"y": 100.001},
            "rotation may not be more than 360": {"rotation": 361},
        }
        ids = imported(ls_client, made, len(taken))
        rows = [
            {"task": one, "result": [region() | {"value": region()["value"] | values}], "model_version": "v"}
            for one, values in zip(ids, taken.values(), strict=True)
        ]
        assert ls_client.push_predictions(made.id, rows).rejected == tuple(ids[2:])
        ls_client.delete_project(made.id)

    @pytest.mark.parametrize("live", [False, True])
    def test_deleting_a_version_keeps_pre_labelling_on(
        self, ls_client: LabelStudio, project: Project, backend: tuple[str, list[str]], live: bool
    ) -> None:
        control = parse_label_config(project.label_config, project.id).control()
        (task_id,) = imported(ls_client, project, 1)
        for version in ("p1-m1", "p1-m2"):
            ls_client.push_predictions(project.id, [prediction(task_id, [], None, control, version)])
        ls_client.add_ml_backend(project.id, backend[0], "Custom AI")
        in_force = "Custom AI" if live else "p1-m2"
        ls_client.update_project(project.id, model_version=in_force)
        assert ls_client.delete_predictions_of_version(project.id, "p1-m1") == 1
        assert ls_client.project(project.id).model_version == in_force
        assert ls_client.model_versions(project.id) == {"p1-m2": 1}
        assert ls_client.delete_predictions_of_version(project.id, "p1-m1") == 0


class TestImages:
    def test_uploads_in_batches(
        self, ls_client: LabelStudio, project: Project, label_studio: LabelStudioServer, tmp_path: Path
    ) -> None:
        file = tmp_path / "from a path.jpg"
        file.write_bytes(picture(colour="blue"))
        sources: list[tuple[str, bytes | Path]] = [(f"n{n:03}.jpg", picture(10 + n, 10)) for n in range(103)]
        ids = ls_client.upload_images(project.id, [*sources, ("로마 + 1.jpg", file)])
        assert len(ids) == 104 == len(set(ids))
        control = parse_label_config(project.label_config, project.id).control()
        read = [labelled_task(task, control) for task in ls_client.tasks(project.id)]
        assert [one.task_id for one in read] == ids
        settings = settings_for(label_studio)
        for index in (0, 99, 100, 102):
            data = fetch_image(ls_client.session, settings, read[index].task_id, read[index].image)
            assert data == sources[index][1], "ids come in the order of the files"
        last = fetch_image(ls_client.session, settings, ids[-1], read[-1].image)
        assert last == file.read_bytes()

    def test_label_studio_refuses_other_files(self, ls_client: LabelStudio, project: Project) -> None:
        with pytest.raises(LabelStudioError, match="not supported"):
            ls_client.upload_images(project.id, [("a.tiff", b"x")])

    def test_upright_as_in_the_browser(
        self, ls_client: LabelStudio, project: Project, label_studio: LabelStudioServer
    ) -> None:
        (task_id,) = ls_client.upload_images(project.id, [("turned.jpg", picture(400, 200, orientation=6))])
        uri = ls_client.task(project.id, task_id)["data"]["image"]
        data = fetch_image(ls_client.session, settings_for(label_studio), task_id, uri)
        image = decode_upright(data, uri, 10**6)
        assert image.size == (200, 400)
        top, bottom = image.getpixel((100, 50)), image.getpixel((100, 350))
        assert isinstance(top, tuple) and isinstance(bottom, tuple)
        assert top[1] < 60 and bottom[1] > 200, "the red left half is now on top"

    def test_local_files(
        self,
        ls_client: LabelStudio,
        project: Project,
        label_studio: LabelStudioServer,
        served_files: Path,
    ) -> None:
        folder = served_files / f"p{project.id}"
        folder.mkdir()
        (folder / "a b.jpg").write_bytes(picture())
        storage = {"project": project.id, "path": str(folder), "title": "files", "use_blob_urls": True}
        ls_client.session.post("/api/storages/localfiles", storage)
        uri = f"/data/local-files/?d=p{project.id}/a%20b.jpg"
        (task_id,) = ls_client.import_tasks(project.id, [{"data": {"image": uri}}])
        settings = settings_for(label_studio)
        for address in (uri, label_studio.url + uri):
            assert fetch_image(ls_client.session, settings, task_id, address) == picture()
        with pytest.raises(ImageError):
            fetch_image(ls_client.session, settings, task_id, "/data/local-files/?d=../data/credentials.json")

    @pytest.mark.parametrize("uri", ["/data/upload/1/missing.jpg", "s3://no-such-bucket/a.jpg"])
    def test_missing_images_fail_soon(
        self, ls_client: LabelStudio, project: Project, label_studio: LabelStudioServer, uri: str
    ) -> None:
        (task_id,) = ls_client.import_tasks(project.id, [{"data": {"image": uri}}])
        start = time.monotonic()
        with pytest.raises(ImageError, match="no such file"):
            fetch_image(ls_client.session, settings_for(label_studio), task_id, uri)
        assert time.monotonic() - start < 5

    def test_the_api_is_no_image(self, ls_client: LabelStudio, label_studio: LabelStudioServer) -> None:
        for uri in ("/api/token/", "/data/../api/token/", f"{label_studio.url}/user/logout"):
            with pytest.raises(ImageError, match="not an address of images"):
                fetch_image(ls_client.session, settings_for(label_studio), 1, uri)


def test_private_addresses_are_blocked_by_default(label_studio: LabelStudioServer, tmp_path: Path) -> None:
    """As Label Studio comes out of the box; the message says what to do."""
    # The same data, so that no second database must be made: the two never write at the same time.
    blocked = LabelStudioServer(
        label_studio.executable,
        label_studio.data_dir,
        password=label_studio.password,
        environment={"USE_DEFAULT_BANNED_SUBNETS": "true"},
    )
    with blocked, Session(blocked.url, blocked.token) as session:
        client = LabelStudio(session)
        made = client.create_project("Blocked")
        with pytest.raises(LabelStudioError, match="USE_DEFAULT_BANNED_SUBNETS=false"):
            client.add_ml_backend(made.id, "http://127.0.0.1:9090", "Custom AI")
        with pytest.raises(LabelStudioError, match="USE_DEFAULT_BANNED_SUBNETS=false"):
            client.add_webhook(made.id, "http://127.0.0.1:9090", {}, ["TASKS_CREATED"])
        assert (client.ml_backends(made.id), client.webhooks(made.id)) == ([], [])
        client.delete_project(made.id)


def test_what_happens_when_label_studio_is_stopped(label_studio: LabelStudioServer, ls_client: LabelStudio) -> None:
    """A restart in the middle of our work is waited for."""
    ls_client.session.retry_s = 90
    label_studio.kill()
    starting = threading.Thread(target=label_studio.start)
    starting.start()
    try:
        assert ls_client.whoami().email == label_studio.email
    finally:
        starting.join()
