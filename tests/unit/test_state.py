from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from multiprocessing import get_context
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from custom_ai.errors import SettingsError
from custom_ai.i18n import translator
from custom_ai.state import work
from custom_ai.state.database import Database
from custom_ai.state.journal import notify, reason, render
from custom_ai.state.tables import (
    AutoLabelJob,
    Base,
    Candidate,
    Notification,
    Project,
    Promotion,
    Run,
    Selection,
    now,
)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'state.db'}")
    made.migrate()
    with made.write() as session:
        session.add(Project(id=1, title="Cats"))
    return made


def add_run(session: Session, **values: object) -> Run:
    run = Run(project_id=1, trigger="person", requested_by="me", kind="box", classes=["cat"], **values)
    session.add(run)
    session.flush()
    return run


def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    with database._engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_times_come_back_in_utc(database: Database) -> None:
    seoul = datetime(2026, 1, 2, 9, 0, tzinfo=timezone(timedelta(hours=9)))
    with database.write() as session:
        session.get_one(Project, 1).looked_at = seoul
    with database.read() as session:
        assert session.get_one(Project, 1).looked_at == datetime(2026, 1, 2, 0, 0, tzinfo=UTC)


def test_one_unfinished_run_per_project(database: Database) -> None:
    with database.write() as session:
        add_run(session, status="failed")
        add_run(session)
    with pytest.raises(IntegrityError), database.write() as session:
        add_run(session)


def test_one_champion_one_open_vote(database: Database) -> None:
    with database.write() as session:
        run, other = add_run(session, status="done"), add_run(session, status="done")
        candidate = Candidate(run_id=run.id, project_id=1, place=0, title="a", recipe={}, classes=["cat"])
        session.add(candidate)
        session.flush()
        session.add(Promotion(project_id=1, candidate_id=candidate.id, how="vote", promoted_by="me"))
        session.add(Promotion(project_id=1, candidate_id=candidate.id, how="vote", promoted_by="me", active=False))
        session.add(Selection(project_id=1, run_id=run.id, candidate_ids=[candidate.id], rounds=5))
        number, other_id = candidate.id, other.id
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Promotion(project_id=1, candidate_id=number, how="vote", promoted_by="me"))
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Selection(project_id=1, run_id=other_id, candidate_ids=[number], rounds=5))


def test_a_job_is_begun_once(database: Database) -> None:
    with database.write() as session:
        run = add_run(session)
    with database.write() as session:
        assert work.begin(session, Run, run.id, 1)
        assert not work.begin(session, Run, run.id, 1)  # a second bell


def test_a_lost_attempt_is_fenced_off(database: Database) -> None:
    with database.write() as session:
        run = add_run(session)
        work.begin(session, Run, run.id, 1)
        session.execute(update(Run).values(heartbeat_at=now() - timedelta(minutes=5)))
    with database.write() as session:
        assert work.lost(session, Run, 90) == [(run.id, 1)]
        assert work.queue_again(session, Run, run.id, 1, reason("Its process died; it is started again."))
        assert work.queued(session, Run) == [(run.id, 2)]
    with database.write() as session:  # the first attempt's process comes back
        assert work.beat(session, Run, run.id, 1) is None
        assert not work.finish(session, Run, run.id, 1, "done")
        assert work.begin(session, Run, run.id, 2)


def test_cancelling(database: Database) -> None:
    with database.write() as session:
        run = add_run(session)
        assert work.cancel(session, Run, run.id) == "cancelled"  # nobody had begun
        other = add_run(session)
        work.begin(session, Run, other.id, 1)
        assert work.beat(session, Run, other.id, 1) is False
        assert work.cancel(session, Run, other.id) == "running"
        assert work.beat(session, Run, other.id, 1) is True
        assert work.active(session, Run, 1) == other.id
        assert work.active(session, AutoLabelJob, 1) is None


def test_notifications_are_stored_to_be_shown_in_any_language(database: Database) -> None:
    with database.write() as session:
        notify(session, 1, "run_failed", "Training failed: {why}.", why="the disk is full", failure=True)
    with database.read() as session:
        (row,) = session.scalars(select(Notification))
    assert render(row.message) == "Training failed: the disk is full."
    assert render(row.message, translator("ko")) != render(row.message)
    nested = reason("Training failed: {why}.", why="Cancelled on request.")
    assert translator("ko")("Cancelled on request.") in render(nested, translator("ko"))
    assert render(None) == ""


def test_a_database_that_cannot_be_is_named() -> None:
    with pytest.raises(SettingsError, match="database_url"):
        Database("nonsense://x")


def _insert(url: str, count: int) -> None:
    database = Database(url)
    for number in range(count):
        with database.write() as session:
            found = session.scalar(select(Project.title).where(Project.id == 1))
            session.add(Notification(project_id=1, event=f"{found}{number}", message={}, recipient=""))


def test_processes_that_write_at_once_wait_for_each_other(database: Database) -> None:
    """Reading first and writing later in one transaction fails on SQLite, unless it begins IMMEDIATE."""
    context = get_context("spawn")
    writers = [context.Process(target=_insert, args=(database.url, 40)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    with database.read() as session:
        assert len(session.scalars(select(Notification)).all()) == 160
