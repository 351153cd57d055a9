"""A whole run with a trainer that is instant: what becomes of candidates, images and the vote."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from custom_ai.dataset import make_snapshot
from custom_ai.pipeline import inbox, overview
from custom_ai.pipeline.auto_label import auto_label
from custom_ai.pipeline.label import request_auto_label
from custom_ai.pipeline.reports import report
from custom_ai.pipeline.train import cancel_run, train
from custom_ai.services import Services
from custom_ai.state.tables import DatasetSnapshot, Project, Run, Task, now
from custom_ai.types import Box, LabelledTask
from fake_trainer import FakeTrainer
from support import services_in

CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="cat"/></RectangleLabels></View>'
)


def picture(number: int, width: int = 96, height: int = 64) -> str:
    """An image as a data URI: no Label Studio is needed to fetch it."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (number * 20 % 255, 90, 120)).save(buffer, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


Start = Callable[..., tuple[Services, int]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Make services with this trainer, and a run whose labels are frozen already."""

    def make(trainer: FakeTrainer, labelled: int = 8, broken: int = 0, untouched: int = 6) -> tuple[Services, int]:
        services = replace(services_in(tmp_path), trainer=lambda name: trainer)
        tasks = [
            LabelledTask(
                n,
                "data:image/jpeg;base64,bm90IGFuIGltYWdl" if n <= broken else picture(n),
                (Box("cat", 0.3, 0.3, 0.7, 0.7),),
                n,
                "2026-01-01T00:00:00Z",
                True,
            )
            for n in range(1, labelled + 1)
        ]
        snapshot = make_snapshot(tasks, ["cat"])
        with services.database.write() as session:
            session.add(Project(id=1, title="Cats", label_config=CONFIG, available_classes=["cat"], connected_at=now()))
            session.flush()
            for n in range(100, 100 + untouched):
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
                project_id=1, trigger="person", requested_by="me", kind="box", classes=["cat"], snapshot_id=row.id
            )
            session.add(run)
            session.flush()
            return services, run.id

    return make


def test_four_candidates_and_an_open_vote(start: Start) -> None:
    trainer = FakeTrainer()
    services, run_id = start(trainer)
    train(services, run_id, 1)
    run = overview.run(services, run_id)
    assert run["status"] == "done", run["reason"]
    assert [one["status"] for one in run["candidates"]] == ["done"] * 4
    assert run["candidates"][0]["map50"] is not None
    selection = overview.project(services, 1)["selection"]
    assert (selection["status"], selection["rounds"], selection["candidates"]) == ("open", 5, 4)
    for data in trainer.seen:  # what is scored on was never trained on
        assert {one.task_id for one in data.train}.isdisjoint(one.task_id for one in data.held_out)
    scored = [one.task_id for data in trainer.seen for one in data.held_out]
    assert sorted(scored) == sorted(4 * [*range(1, 9)])  # each candidate on every picture
    assert not any((services.settings.state_dir / "work").iterdir())


def test_one_failing_candidate_does_not_fail_the_others(start: Start) -> None:
    services, run_id = start(FakeTrainer())
    names = names_before(services)
    services = replace(services, trainer=lambda name: FakeTrainer(failing=(names[1],)))
    train(services, run_id, 1)
    run = overview.run(services, run_id)
    assert run["status"] == "done"
    assert [one["status"] for one in run["candidates"]] == ["done", "failed", "done", "done"]
    assert "always fails" in run["candidates"][1]["reason"]
    assert overview.project(services, 1)["selection"]["candidates"] == 3


def test_when_all_fail_the_run_says_why(start: Start) -> None:
    services, run_id = start(FakeTrainer())
    trainer = FakeTrainer(failing=tuple(names_before(services)))
    train(replace(services, trainer=lambda name: trainer), run_id, 1)
    run = overview.run(services, run_id)
    assert run["status"] == "failed"
    assert "always fails" in run["reason"]
    told = inbox.of_project(services, 1)[0]
    assert told["failure"]
    assert "always fails" in told["text"]


def test_the_only_candidate_that_worked_serves_without_a_vote(start: Start) -> None:
    services, run_id = start(FakeTrainer())
    trainer = FakeTrainer(failing=tuple(names_before(services)[1:]))
    train(replace(services, trainer=lambda name: trainer), run_id, 1)
    project = overview.project(services, 1)
    assert project["selection"] is None
    assert project["champion"]["version"] == overview.run(services, run_id)["candidates"][0]["version"]


def test_recipes_follow_what_there_is_to_start_from(start: Start) -> None:
    services, run_id = start(FakeTrainer())
    folder = services.settings.state_dir / "weights"
    folder.mkdir(parents=True)
    (folder / "mobilenet_v2-b0353104.pth").write_bytes(b"put there by hand")
    train(services, run_id, 1)
    titles = [one["title"] for one in overview.run(services, run_id)["candidates"]]
    assert titles[1::2] == ["MobileNetV2, single pictures", "MobileNetV2, from any side"]


def test_a_broken_image_is_left_out_and_named(start: Start) -> None:
    services, run_id = start(FakeTrainer(), broken=1)
    train(services, run_id, 1)
    run = overview.run(services, run_id)
    assert run["status"] == "done"
    assert [one["task"] for one in run["left_out"]] == [1]


def test_with_too_few_images_left_the_run_fails_with_the_reason(start: Start) -> None:
    services, run_id = start(FakeTrainer(), broken=6)
    train(services, run_id, 1)
    run = overview.run(services, run_id)
    assert run["status"] == "failed"
    assert "cannot be used" in run["reason"]


def test_cancelling_ends_it_within_seconds(start: Start) -> None:
    services, run_id = start(FakeTrainer())
    endless = FakeTrainer(endless=(names_before(services)[1],))
    endless.when_endless = lambda: cancel_run(services, run_id, by="me")
    train(replace(services, trainer=lambda name: endless), run_id, 1)
    run = overview.run(services, run_id)
    assert run["status"] == "cancelled"
    assert [one["status"] for one in run["candidates"]] == ["done", "cancelled", "cancelled", "cancelled"]


def test_without_untouched_images_people_vote_on_held_out_ones(start: Start) -> None:
    services, run_id = start(FakeTrainer(), untouched=0)
    train(services, run_id, 1)
    selection = overview.project(services, 1)["selection"]
    assert selection["status"] == "open"
    assert selection["rounds"] >= 1


def test_auto_labelling_waits_with_its_model_loaded_when_label_studio_is_away(start: Start) -> None:
    services, run_id = start(FakeTrainer())
    trainer = FakeTrainer(failing=tuple(names_before(services)[1:]))
    services = replace(services, trainer=lambda name: trainer)
    train(services, run_id, 1)
    job_id = request_auto_label(services, 1, by="me")
    auto_label(services, job_id, 1)
    assert overview.job(services, job_id)["tasks"] == {
        "waiting": 6,
        "done": 0,
        "failed": 0,
        "skipped": 0,
        "total": 6,
    }


def names_before(services: Services) -> list[str]:
    """The names of the recipes that will be chosen for these settings."""
    from custom_ai.training.recipes import DataSummary, choose_recipes

    return [one.name for one in choose_recipes(DataSummary(8, 8, 0.3), services.settings)]


def test_the_report_rests_on_what_was_not_learned_from(start: Start) -> None:
    """The fake model sees one box in the middle, where the person drew it too."""
    services, run_id = start(FakeTrainer())
    train(services, run_id, 1)
    run = overview.run(services, run_id)
    found = report(services, run["candidates"][0]["id"])
    assert found["images"] == 8  # each was held out once, or all that were held out
    assert found["confusion"]["cat"]["cat"] + found["confusion"]["cat"][""] == found["images"]
    assert found["curves"]["cat"]["recall"]
    assert run["data_report"]["images"] == 8
    assert run["data_report"]["classes"][0]["labels"] == 8
