"""What becomes of a run that is killed, cancelled, or finds the disk full, an image broken, a class gone."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from run_world import BROKEN, make_run, picture
from sqlalchemy import update

from custom_ai.pipeline import export, overview, pictures
from custom_ai.pipeline import train as training
from custom_ai.pipeline.tick import tick
from custom_ai.pipeline.train import cancel_run, train
from custom_ai.services import Services
from custom_ai.serving.engine import Model
from custom_ai.state.tables import Candidate, Project, Run, now
from custom_ai.training.contract import Recipe, TrainContext, Trained, TrainSet
from custom_ai.training.fetch import TOO_SLOW
from fake_trainer import FakeTrainer
from support import WritingBell, services_in


def run_roughly(folder: Path, mishap: str) -> subprocess.CompletedProcess[str]:
    """A whole first attempt in a process of its own."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent)])
    command = [sys.executable, str(here / "run_world.py"), str(folder), mishap]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def stored(services: Services) -> list[Path]:
    return [path for path in services.store.folder.rglob("*") if path.is_file()]


# Killed


@pytest.mark.parametrize("stage", ["preparing", "training", "exporting", "scoring", "storing"])
def test_a_killed_worker_is_followed_by_one_that_goes_on(stage: str, tmp_path: Path) -> None:
    assert run_roughly(tmp_path, stage).returncode == -signal.SIGKILL
    services = services_in(tmp_path, download_weights=False, lost_after_s=1.0)
    with services.database.write() as session:
        first, *_ = session.get_one(Run, 1).candidates
        session.execute(update(Run).values(heartbeat_at=now() - timedelta(seconds=60)))
        session.execute(update(Project).values(connected_at=None))  # there is no Label Studio to look at
    before = (first.status, first.onnx_sha256, first.thresholds)
    assert before[0] == "done"

    tick(services)
    assert isinstance(services.bell, WritingBell)
    assert ("train", (1, 2)) in services.bell.rung
    trainer = FakeTrainer()
    train(replace(services, trainer=lambda name: trainer), 1, 2)

    run = overview.run(services, 1)
    assert run["status"] == "done", run["reason"]
    assert [one["status"] for one in run["candidates"]] == ["done"] * 4
    assert len(trainer.seen) == 3 * 3  # what was finished is not done again
    with services.database.read() as session:
        first = session.get_one(Candidate, first.id)
    assert (first.status, first.onnx_sha256, first.thresholds) == before
    for path in stored(services):
        if not path.name.startswith(".part-"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert list((services.settings.state_dir / "work").iterdir()) == []
    services.store.sweep(older_than_s=0.0)
    assert not any(path.name.startswith(".part-") for path in stored(services))


class Recording(FakeTrainer):
    """Also remembers the recipes, and says that it had to make do with less."""

    def __init__(self) -> None:
        super().__init__()
        self.recipes: list[Recipe] = []

    def train(self, recipe: Recipe, data: TrainSet, context: TrainContext) -> Trained:
        self.recipes.append(recipe)
        context.tell("There was not enough memory; going on with {batch} images at a time.", batch=2)
        return replace(super().train(recipe, data, context), batch=2)


def test_after_two_deaths_the_candidate_begins_smaller(tmp_path: Path) -> None:
    services, run_id = make_run(tmp_path)
    train(replace(services, trainer=lambda name: FakeTrainer()), run_id, 1)
    with services.database.write() as session:  # as it stands when the second candidate's process died twice
        run = session.get_one(Run, run_id)
        run.status, run.attempt, run.crashes = "queued", 3, 2
        for one in run.candidates[1:]:
            one.status = "waiting"
        run.candidates[1].status = "running"
    trainer = Recording()
    train(replace(services, trainer=lambda name: trainer), run_id, 3)
    assert [one.batch for one in trainer.recipes[::3]] == [2, 4, 4]
    candidate = overview.run(services, run_id)["candidates"][1]
    assert candidate["notes"][0].startswith("Its process died 2 times; going on with 2 images at a time")


def test_what_there_was_memory_for_is_shown(tmp_path: Path) -> None:
    services, run_id = make_run(tmp_path)
    trainer = Recording()
    train(replace(services, trainer=lambda name: trainer), run_id, 1)
    note = "There was not enough memory; going on with 2 images at a time."
    candidate = overview.run(services, run_id)["candidates"][0]
    assert candidate["notes"] == [note]  # once, although the siblings had the same trouble
    card = export.model_card(services, candidate["id"])
    assert card["recipe"]["batch"] == 2
    assert note in export.card_text(card)
    # siblings begin with what there was memory for
    assert [one.batch for one in trainer.recipes[:3]] == [4, 2, 2]


# Cancelled


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def cancelled_after(services: Services, run_id: int, when: Callable[[], bool]) -> float:
    """Train, cancel when ``when`` says so, and return the seconds from then to the end."""
    asked_at: list[float] = []

    def cancel() -> None:
        deadline = time.monotonic() + 30
        while not when() and time.monotonic() < deadline:
            time.sleep(0.05)
        asked_at.append(time.monotonic())
        cancel_run(services, run_id, by="me")

    thread = threading.Thread(target=cancel)
    thread.start()
    train(services, run_id, 1)
    ended_at = time.monotonic()
    thread.join()
    assert overview.run(services, run_id)["status"] == "cancelled"
    return ended_at - asked_at[0]


def test_cancel_while_base_weights_are_downloaded(tmp_path: Path, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, silent)  # so the download hangs, whatever network there is
    services, run_id = make_run(tmp_path, download_weights=True, download_timeout_s=60.0)
    trainer = FakeTrainer()
    services = replace(services, trainer=lambda name: trainer)
    weights = services.settings.state_dir / "weights"
    assert cancelled_after(services, run_id, lambda: any(weights.glob(".fetch-*"))) < 5.0
    assert trainer.seen == []
    assert list(weights.iterdir()) == []


def test_cancel_while_images_are_fetched(tmp_path: Path, silent: str) -> None:
    images = [f"{silent}/data/upload/{n}.jpg" for n in range(8)]
    services, run_id = make_run(tmp_path, images, label_studio_url=silent)
    started = time.monotonic()
    assert cancelled_after(services, run_id, lambda: time.monotonic() - started > 1.0) < 5.0


def test_cancel_while_scoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services, run_id = make_run(tmp_path, [picture(n) for n in range(40)])
    services = replace(services, trainer=lambda name: FakeTrainer())
    predict, calls = Model.predict, []

    def slowly(self: Model, *values: Any) -> Any:
        calls.append(1)
        time.sleep(1.0)
        return predict(self, *values)

    monkeypatch.setattr(Model, "predict", slowly)
    assert cancelled_after(services, run_id, lambda: len(calls) > 0) < 5.0


# Disk full


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    done = run_roughly(tmp_path, "full")
    run = json.loads(done.stdout.splitlines()[-1])
    assert run["status"] == "failed"
    assert run["reason"].startswith("There is no room left in ")
    assert str(tmp_path) in run["reason"]
    assert "CUSTOM_AI_STATE_DIR" in run["reason"]
    assert [one["status"] for one in run["candidates"]] == ["done", "cancelled", "cancelled", "cancelled"]
    services = services_in(tmp_path)
    for path in stored(services):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert list((services.settings.state_dir / "work").iterdir()) == []


def test_a_run_does_not_begin_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services, run_id = make_run(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: _Usage(10**12, 10**12, 1000))
    train(replace(services, trainer=lambda name: FakeTrainer()), run_id, 1)
    assert overview.run(services, run_id)["reason"].startswith("There is no room left in ")


class _Usage:
    def __init__(self, total: int, used: int, free: int) -> None:
        self.total, self.used, self.free = total, used, free


# Broken images, classes that are gone


def test_a_kept_image_that_was_damaged_is_fetched_again(tmp_path: Path) -> None:
    services, run_id = make_run(tmp_path)
    path = pictures._cache_path(services, 1, 3, picture(3))
    path.parent.mkdir(parents=True)
    buffer = io.BytesIO()
    Image.effect_noise((200, 200), 50).convert("RGB").save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[:-2000])
    train(replace(services, trainer=lambda name: FakeTrainer()), run_id, 1)
    run = overview.run(services, run_id)
    assert (run["status"], run["left_out"]) == ("done", [])
    with Image.open(path) as image:
        assert image.size == (96, 64)


def test_a_class_of_which_no_image_can_be_used_is_named(tmp_path: Path) -> None:
    images = [BROKEN if n % 2 else picture(n) for n in range(1, 17)]
    services, run_id = make_run(tmp_path, images, ("cat", "dog"))
    train(replace(services, trainer=lambda name: FakeTrainer()), run_id, 1)
    run = overview.run(services, run_id)
    assert run["status"] == "failed"
    assert run["reason"].startswith("There is nothing to learn dog from: none of the images that show it")
    assert len(run["left_out"]) == 8


def test_a_class_that_left_the_labelling_config_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the request and the run. What Label Studio says then stands in the mirror already."""
    services, run_id = make_run(tmp_path, frozen=False)
    monkeypatch.setattr(training, "look", lambda *_, **__: None)
    with services.database.write() as session:
        session.get_one(Project, 1).available_classes = ["dog"]
    train(services, run_id, 1)
    assert (
        "nothing to learn cat from: the labelling config does not have it" in overview.run(services, run_id)["reason"]
    )


def test_labels_that_were_deleted_since_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services, run_id = make_run(tmp_path, frozen=False)
    monkeypatch.setattr(training, "look", lambda *_, **__: None)
    train(services, run_id, 1)  # the mirror holds no labels at all
    run = overview.run(services, run_id)
    assert run["status"] == "failed"
    assert "Not enough labels yet: cat 0/10" in run["reason"]


# Weights that could not be had


def test_the_candidate_says_why_it_started_from_nothing(
    tmp_path: Path, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, silent)
    services, run_id = make_run(tmp_path, download_weights=True, download_timeout_s=1.0)
    started = time.monotonic()
    train(replace(services, trainer=lambda name: FakeTrainer()), run_id, 1)
    assert time.monotonic() - started < 15.0
    notes = [one["notes"] for one in overview.run(services, run_id)["candidates"]]
    assert all(TOO_SLOW in note for (note,) in notes)


# Good neighbours


@pytest.mark.parametrize(("wanted", "expected"), [("7", 7), ("0", 3)])
def test_background_work_gives_way(wanted: str, expected: int, tmp_path: Path) -> None:
    """Never less than the process was started with, here 3."""
    code = "import os; os.nice(3); from custom_ai import jobs; jobs._in_the_background(); print(os.nice(0))"
    environment = {
        **os.environ,
        "CUSTOM_AI_NICE": wanted,
        "CUSTOM_AI_STATE_DIR": str(tmp_path),
        "REDIS_URL": "redis://127.0.0.1:9",
        "LABEL_STUDIO_API_KEY": "0" * 40,
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(expected)], done.stderr
