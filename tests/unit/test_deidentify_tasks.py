"""Images that are in Label Studio already are de-identified: swapped, erased, killed anywhere and gone on with."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deid_world import FACE, Hide, Studio, close_all, make_hiding, picture
from PIL import Image
from sqlalchemy import select

from custom_ai.errors import BadInput, Conflict, ImageError, SettingsError
from custom_ai.pipeline import hidden_report
from custom_ai.pipeline.deidentify import (
    deidentify,
    hide_new,
    item_counts,
    request_deidentify,
    retry_deidentify,
)
from custom_ai.pipeline.look import look
from custom_ai.pipeline.originals import current_images, erase, read_original
from custom_ai.services import Services
from custom_ai.settings import load_settings
from custom_ai.state import work
from custom_ai.state.deid_tables import DeidentifiedImage, DeidentifyItem, DeidentifyJob
from custom_ai.state.tables import AuditEntry, Selection, SelectionImage
from custom_ai.vault import Vault, new_key
from stand_in import standing_in
from support import WritingBell


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with standing_in(Studio(tmp_path / "media")) as state:
        assert isinstance(state, Studio)
        yield state
        close_all()


def row_of(services: Services, task: int) -> DeidentifiedImage:
    with services.database.read() as session:
        return session.get_one(DeidentifiedImage, (1, task))


def job_of(services: Services, job_id: int) -> DeidentifyJob:
    with services.database.read() as session:
        return session.get_one(DeidentifyJob, job_id)


def go_on(services: Services, job_id: int) -> None:
    """What the tick does with a job whose process died, and its next attempt."""
    with services.database.write() as session:
        job = session.get_one(DeidentifyJob, job_id)
        if job.status == "running":
            assert work.queue_again(session, DeidentifyJob, job_id, job.attempt, {"template": "", "params": {}})
    deidentify(services, job_id, job_of(services, job_id).attempt)


def ask(services: Services, **more: Any) -> int:
    look(services, 1)
    return request_deidentify(services, 1, by="ann", **more)


def test_originals_are_replaced_and_erased_and_the_rest_stays(tmp_path: Path, studio: Studio) -> None:
    for task in (1, 2, 3):
        studio.add(task, picture(task), name=f"scene {task}")
    annotations = {task: list(rows) for task, rows in studio.annotations.items()}
    old = {task: studio.data[task]["image"] for task in studio.data}
    services = make_hiding(tmp_path, studio, originals="vault", label_studio_media_dir=studio.media)
    cache = services.settings.state_dir / "cache" / "project-1"
    cache.mkdir(parents=True)
    (cache / "2-0123456789abcdef.jpg").write_bytes(b"original")
    (cache / "21-0123456789abcdef.jpg").write_bytes(b"of another task")
    job_id = ask(services)
    deidentify(services, job_id, 1)
    assert job_of(services, job_id).status == "done"
    for task in (1, 2, 3):
        shown = studio.shown(task)
        assert shown is not None
        row = row_of(services, task)
        assert hashlib.sha256(shown).hexdigest() == row.sha256_after
        assert hashlib.sha256(picture(task)).hexdigest() == row.sha256_before
        assert studio.data[task]["name"] == f"scene {task}", "data are replaced as a whole"
        assert studio.served(old[task]) is None
        assert not (studio.media / old[task].removeprefix("/data/")).exists()
        assert (row.original, row.kept, row.doubtful, row.areas[0]["area"]) == ("erased", True, True, [*FACE])
        assert studio.upload_of[task] in studio.uploads
    assert studio.annotations == annotations
    assert [path.name for path in cache.iterdir()] == ["21-0123456789abcdef.jpg"]
    assert current_images(services, 1) == {task: studio.data[task]["image"] for task in studio.data}
    # The vault: readable by nobody else, not to be read without the key, and each reading is noted.
    (kept, *_) = sorted((services.settings.state_dir / "vault" / "1").iterdir())
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not any(picture(task) in kept.read_bytes() for task in (1, 2, 3))
    assert read_original(services, row_of(services, 2), by="ben", why="test") == picture(2)
    with services.database.read() as session:
        (read,) = session.scalars(select(AuditEntry).where(AuditEntry.action == "vault.read")).all()
        assert (read.actor, read.subject) == ("ben", "task 2")
    with pytest.raises(ImageError, match="cannot be decrypted"):
        Vault(services.settings.state_dir / "vault", new_key()).get(1, row_of(services, 2).sha256_before, "x")
    # Once more: what is done is recognised by our record.
    with pytest.raises(Conflict, match="hidden in all"):
        ask(services)


def test_without_the_folder_the_page_can_say_where_the_file_lies(tmp_path: Path, studio: Studio) -> None:
    studio.add(1, picture(1))
    old = studio.data[1]["image"]
    services = make_hiding(tmp_path, studio)
    deidentify(services, ask(services), 1)
    row = row_of(services, 1)
    assert (row.original, row.path, row.kept) == ("on_disk", old.removeprefix("/data/"), False)
    assert studio.served(old) is None
    assert not (services.settings.state_dir / "vault").exists()


def test_a_shared_file_goes_with_the_last_task_that_needs_it(tmp_path: Path, studio: Studio) -> None:
    studio.add(1, picture(1))
    studio.add(2, b"", share=1)
    old = studio.data[1]["image"]
    services = make_hiding(tmp_path, studio, label_studio_media_dir=studio.media)
    deidentify(services, ask(services, which=[1]), 1)
    assert row_of(services, 1).original == "shared"
    assert studio.shown(2) == picture(1)
    deidentify(services, ask(services), 1)
    assert (row_of(services, 1).original, row_of(services, 2).original) == ("erased", "erased")
    assert studio.served(old) is None


def test_what_cannot_be_hidden_stays_is_listed_and_can_be_tried_again(tmp_path: Path, studio: Studio) -> None:
    studio.add(1, b"broken")
    studio.add(2, picture(2))
    services = make_hiding(tmp_path, studio)
    before = dict(studio.data[1])
    job_id = ask(services)
    del studio.annotations[2]
    deidentify(services, job_id, 1)
    with services.database.read() as session:
        assert item_counts(session, job_id) == {"waiting": 0, "done": 1, "failed": 1, "skipped": 0}
        assert "cannot be read" in str(session.get_one(DeidentifyItem, (job_id, 1)).reason)
    assert studio.data[1] == before
    hide_new(services, 1)
    with services.database.read() as session:
        assert work.active(session, DeidentifyJob, 1) is None, "the rule does not try a broken image for ever"
    (studio.media / before["image"].removeprefix("/data/")).write_bytes(picture(1))
    assert retry_deidentify(services, job_id, by="ann") == 1
    deidentify(services, job_id, 2)
    assert row_of(services, 1).state == "done"


def test_a_copy_that_label_studio_mangles_is_not_shown(tmp_path: Path, studio: Studio) -> None:
    studio.add(1, picture(1))
    services = make_hiding(tmp_path, studio)
    studio.mangles = True
    job_id = ask(services)
    deidentify(services, job_id, 1)
    assert studio.shown(1) == picture(1)
    with services.database.read() as session:
        assert session.get_one(DeidentifyItem, (job_id, 1)).status == "failed"
    studio.mangles = False
    retry_deidentify(services, job_id, by="ann")
    deidentify(services, job_id, 2)
    assert row_of(services, 1).state == "done"
    assert len(studio.uploads) == 1, "the mangled copy is gone"


def test_an_image_elsewhere_is_copied_and_the_original_is_said_to_be_out_of_reach(
    tmp_path: Path, studio: Studio
) -> None:
    studio.add(1, picture(1))
    outside = f"{studio.url}{studio.data[1]['image']}".replace("127.0.0.1", "localhost")
    studio.data[1] = {"image": outside}
    studio.upload_of[1] = None
    services = make_hiding(tmp_path, studio, image_hosts="localhost")
    deidentify(services, ask(services), 1)
    row = row_of(services, 1)
    assert (row.original, row.uri_original) == ("outside", outside)
    assert studio.shown(1) not in (None, picture(1))


@pytest.mark.parametrize("killed", ["", "before", "after"])
def test_what_people_vote_on_is_made_anew(
    tmp_path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    from custom_ai.state.tables import Run

    studio.add(1, picture(1))
    services = make_hiding(tmp_path, studio)
    with services.database.write() as session:
        run = Run(project_id=1, trigger="person", requested_by="me", kind="box", classes=["cat"], status="done")
        session.add(run)
        session.flush()
        vote = Selection(project_id=1, run_id=run.id, candidate_ids=[], rounds=5)
        session.add(vote)
        session.flush()
        old = services.store.put_bytes(b"an original")
        image = SelectionImage(
            selection_id=vote.id, task_id=1, sha256=old, width=40, height=30, disagreement=0, predictions={}
        )
        session.add(image)
    job_id = ask(services)
    if killed:  # the original's removal; a real kill cannot be timed like that
        remove = services.store.remove

        def deadly(sha256: str) -> None:
            if killed == "after":
                remove(sha256)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(type(services.store), "remove", lambda store, sha256: deadly(sha256))
            with pytest.raises(Killed):
                deidentify(services, job_id, 1)
        go_on(services, job_id)
    else:
        deidentify(services, job_id, 1)
    with services.database.read() as session:
        new = session.get_one(SelectionImage, image.id).sha256
    assert new != old
    assert services.store.path(new).read_bytes().startswith(b"\xff\xd8")
    assert not (services.store.folder / old[:2] / old).exists()


class Killed(BaseException):
    """Nothing catches it, as nothing survives a kill."""


class Killer:
    """Dies at the n-th step: before or after a call of Label Studio, or at the start of a transaction."""

    def __init__(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.steps = 0
        send, write = services.label_studio.session._send, services.database.write

        def dying_send(*arguments: Any, **more: Any) -> Any:
            self.step()
            answer = send(*arguments, **more)
            self.step()
            return answer

        def dying_write() -> Any:
            self.step()
            return write()

        # A real kill cannot be timed to each single step.
        monkeypatch.setattr(services.label_studio.session, "_send", dying_send)
        monkeypatch.setattr(services.database, "write", dying_write)

    def step(self) -> None:
        import threading

        if threading.current_thread() is not threading.main_thread():
            return  # the thread that gives signs of life
        self.steps += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed


def check_whole(studio: Studio, originals: dict[int, str], *, ended: bool) -> None:
    for task, uri in originals.items():
        shown = studio.shown(task)
        assert shown is not None, f"task {task} points to a missing file"
        now = studio.data[task]["image"]
        if ended:
            assert shown != picture(task), f"task {task} shows its original"
            assert studio.served(uri) is None, f"the original of task {task} can still be reached"
        elif now != uri:
            assert shown != picture(task)
        assert studio.data[task]["name"] == task
    assert studio.annotations == {task: [{"id": 900 + task, "result": [task]}] for task in originals}
    if ended:
        assert len(studio.uploads) == len(originals), "no copies are left over"


def test_killed_at_every_step_it_ends_well(tmp_path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new task each time; a kill at step 0, 1, 2 ... until a job needs fewer steps than that."""
    services = make_hiding(tmp_path, studio, originals="vault", label_studio_media_dir=studio.media)
    killer = Killer(services, monkeypatch)
    originals: dict[int, str] = {}
    for task in range(1, 200):
        studio.add(task, picture(task), name=task)
        originals[task] = studio.data[task]["image"]
        job_id = ask(services, which=[task])
        killer.left = task - 1
        try:
            deidentify(services, job_id, 1)
        except Killed:
            check_whole(studio, originals, ended=False)
            go_on(services, job_id)
        else:
            break
        assert job_of(services, job_id).status == "done", task
        check_whole(studio, originals, ended=True)
        there = {path.name for path in (studio.media / "upload" / "1").iterdir()}
        assert there == {data["image"].rpartition("/")[2] for data in studio.data.values()}
    assert 15 < task < 199


def test_fifty_random_kills(tmp_path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(5)
    tasks = range(1, 21)
    for task in tasks:
        studio.add(task, picture(task), name=task)
    originals = {task: studio.data[task]["image"] for task in tasks}
    services = make_hiding(tmp_path, studio, originals="destroy", label_studio_media_dir=studio.media)
    job_id = ask(services)
    killer = Killer(services, monkeypatch)
    killed = 0
    while job_of(services, job_id).status in ("queued", "running"):
        killer.left = dice.randrange(8, 40) if killed < 50 else None
        with monkeypatch.context() as patch:  # an image is given up after two deaths; here the dice are to blame
            patch.setattr("custom_ai.pipeline.deidentify.ITEM_CRASHES", 1000)
            try:
                go_on(services, job_id)
            except Killed:
                killed += 1
                check_whole(studio, originals, ended=False)
    assert killed >= 25
    assert job_of(services, job_id).status == "done"
    check_whole(studio, originals, ended=True)


def test_an_image_that_ends_processes_is_left_out_in_the_end(
    tmp_path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in (1, 2):
        studio.add(task, picture(task))
    services = make_hiding(tmp_path, studio)
    job_id = ask(services)
    hide = Hide.__call__

    def deadly(self: Hide, data: bytes, name: str) -> Any:
        if data == picture(1):
            raise Killed
        return hide(self, data, name)

    monkeypatch.setattr(Hide, "__call__", deadly)  # an image that a real decoder dies of would be needed otherwise
    for _ in range(2):
        with pytest.raises(Killed):
            go_on(services, job_id)
    go_on(services, job_id)
    with services.database.read() as session:
        assert item_counts(session, job_id) == {"waiting": 0, "done": 1, "failed": 1, "skipped": 0}
    assert studio.shown(1) == picture(1)


def test_policy_at_import_hides_what_comes(tmp_path: Path, studio: Studio) -> None:
    studio.add(1, picture(1))
    services = make_hiding(tmp_path, studio)
    deidentify(services, ask(services), 1)
    studio.add(2, picture(2))
    studio.data[1] = {"image": studio.data[2]["image"]}  # somebody brings an original back
    look(services, 1, full=True)
    hide_new(services, 1)
    with services.database.read() as session:
        job_id = work.active(session, DeidentifyJob, 1)
        assert job_id is not None
        assert sorted(session.scalars(select(DeidentifyItem.task_id).where(DeidentifyItem.job_id == job_id))) == [1, 2]
    bell = services.bell
    assert isinstance(bell, WritingBell)
    assert ("deidentify", (job_id, 1)) in bell.rung
    deidentify(services, job_id, 1)
    assert picture(2) not in (studio.shown(1), studio.shown(2))


def test_auto_labelling_waits_until_faces_are_hidden(tmp_path: Path, studio: Studio) -> None:
    from dataclasses import replace

    from label_world import make_labelling

    from custom_ai.pipeline.auto_label import auto_label
    from custom_ai.pipeline.label import request_auto_label
    from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Project, Task

    for task in (1, 2):
        studio.add(task, picture(task))
    studio.add(3, b"broken")
    hide = Hide()
    services = replace(make_labelling(tmp_path, studio.url, range(1, 4)), hider=lambda name: hide)
    with services.database.write() as session:
        session.get_one(Project, 1).deidentify = "with_auto_label"
        for task in (1, 2, 3):
            session.get_one(Task, (1, task)).image = studio.data[task]["image"]
    job_id = request_auto_label(services, 1, by="ann")
    auto_label(services, job_id, 1)
    with services.database.read() as session:
        job = session.get_one(AutoLabelJob, job_id)
        hiding = work.active(session, DeidentifyJob, 1)
    assert (job.status, job.prepare) == ("queued", ["faces"])
    assert not studio.pushes
    assert hiding is not None
    deidentify(services, hiding, 1)
    bell = services.bell
    assert isinstance(bell, WritingBell)
    assert bell.rung[-1] == ("auto_label", (job_id, 1))
    auto_label(services, job_id, 1)
    with services.database.read() as session:
        assert session.get_one(AutoLabelJob, job_id).status == "done"
        items = session.execute(select(AutoLabelItem.task_id, AutoLabelItem.status)).all()
    assert [tuple(one) for one in items] == [(1, "done"), (2, "done"), (3, "failed")]
    assert sorted(studio.versions()) == [1, 2]
    services.label_studio.session.close()


def test_labels_that_were_frozen_before_are_learned_from_the_copy(tmp_path: Path, studio: Studio) -> None:
    from custom_ai.dataset import Example, Snapshot
    from custom_ai.pipeline.pictures import training_images
    from custom_ai.pipeline.pulse import Pulse
    from custom_ai.state.tables import Run
    from custom_ai.types import Box

    studio.add(1, picture(1))
    services = make_hiding(tmp_path, studio, label_studio_media_dir=studio.media)
    frozen = Snapshot(("cat",), (Example(1, studio.data[1]["image"], (Box("cat", 0.1, 0.1, 0.5, 0.5),)),))
    deidentify(services, ask(services), 1)
    snapshot = frozen.with_images(current_images(services, 1))
    assert snapshot.examples[0].boxes == frozen.examples[0].boxes
    images, left_out = training_images(services, 1, snapshot, Pulse(services, Run, 1, 1))
    assert not left_out
    with Image.open(images[0].path) as kept:
        green = kept.convert("L").resize((40, 30)).getpixel((8, 8))
    assert isinstance(green, int | float) and green < 40, "what lies under FACE is black"


def test_people_have_the_last_word(tmp_path: Path, studio: Studio) -> None:
    studio.add(1, picture(1))
    studio.add(2, b"broken")
    services = make_hiding(tmp_path, studio, originals="vault", label_studio_media_dir=studio.media)
    job_id = ask(services)
    deidentify(services, job_id, 1)
    first = studio.data[1]["image"]
    hidden_report.approve(services, 1, 1, by="ann")
    redo = hidden_report.redo(services, 1, 1, by="ben", add=[[20, 20, 30, 28]], remove=[0])
    with pytest.raises(BadInput, match="worked on"):
        hidden_report.approve(services, 1, 1, by="ann")
    deidentify(services, redo, 1)
    row = row_of(services, 1)
    assert (row.state, row.wanted, row.approved_by, row.original) == ("done", None, None, "erased")
    assert studio.served(first) is None
    with Image.open(io.BytesIO(studio.shown(1) or b"")) as shown:
        assert shown.getpixel((8, 8)) == (1, 200, 0), "shown again, from the vault"
        assert shown.getpixel((25, 25)) == (0, 0, 0)
    assert len(studio.uploads) == 2
    table = hidden_report.as_csv(hidden_report.images(services, job_id)).splitlines()
    assert [line.split(",")[:2] for line in table[1:]] == [["1", "done"], ["2", "failed"]]
    with pytest.raises(BadInput, match="inside the image"):
        hidden_report.redo(services, 1, 1, by="ben", add=[[20, 20, 300, 28]], remove=[])
    with services.database.read() as session:
        actions = session.scalars(select(AuditEntry.action).where(AuditEntry.actor.in_(("ann", "ben")))).all()
    assert {"deidentify.approve", "deidentify.areas", "vault.read"} <= set(actions)


def test_without_the_original_areas_are_only_added(tmp_path: Path, studio: Studio) -> None:
    studio.add(1, picture(1))
    services = make_hiding(tmp_path, studio)
    deidentify(services, ask(services), 1)
    with pytest.raises(BadInput, match="only be added"):
        hidden_report.redo(services, 1, 1, by="ben", add=[], remove=[0])
    deidentify(services, hidden_report.redo(services, 1, 1, by="ben", add=[[20, 20, 30, 28]], remove=[]), 1)
    with Image.open(io.BytesIO(studio.shown(1) or b"")) as shown:
        assert (shown.getpixel((8, 8)), shown.getpixel((25, 25))) == ((0, 0, 0), (0, 0, 0))
    assert row_of(services, 1).original == "on_disk"


def test_only_files_below_the_folder_are_erased(tmp_path: Path) -> None:
    media, secret = tmp_path / "media", tmp_path / "secret"
    (media / "upload" / "1").mkdir(parents=True)
    secret.mkdir()
    (secret / "a.png").write_bytes(b"x")
    (media / "upload" / "2").symlink_to(secret)
    (media / "upload" / "1" / "link.png").symlink_to(secret / "a.png")
    (media / "top.png").write_bytes(b"x")
    settings = load_settings(state_dir=tmp_path / "state", label_studio_media_dir=media)
    assert not erase(settings, "upload/2/a.png")
    assert not erase(settings, "upload/../top.png")
    assert not erase(settings, "../secret/a.png")
    assert erase(settings, "upload/1/link.png")
    assert (secret / "a.png").exists()
    assert (media / "top.png").exists()
    assert not erase(load_settings(state_dir=tmp_path / "state"), "upload/1/link.png")


def test_what_cannot_be_is_refused(tmp_path: Path, studio: Studio) -> None:
    studio.add(1, picture(1))
    services = make_hiding(tmp_path, studio, originals="vault", vault_key="")
    with pytest.raises(SettingsError, match="vault-key"):
        ask(services)
    with pytest.raises(SettingsError, match="vault-key"):
        load_settings(state_dir=tmp_path, vault_key="secret")
    services = make_hiding(tmp_path / "b", studio)
    with pytest.raises(BadInput, match="expected all"):
        ask(services, which="some")
    with pytest.raises(BadInput, match="no such tasks"):
        ask(services, which=[7])
    ask(services)
    with pytest.raises(Conflict, match="already"):
        ask(services)
