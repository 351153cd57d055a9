"""What runs, auto-labelling and import jobs have in common: begin, sign of life, cancel, end.

Every change names the attempt it belongs to, so that a process that was taken for dead and comes
back cannot write over its successor's work.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from custom_ai.state.deid_tables import DeidentifyJob
from custom_ai.state.tables import ACTIVE, AutoLabelJob, ImportJob, Revision, Run, now

Work = type[Run] | type[AutoLabelJob] | type[ImportJob] | type[Revision] | type[DeidentifyJob]


def get(session: Session, kind: Work, id: int) -> Run | AutoLabelJob | ImportJob | Revision | DeidentifyJob:
    """The row, which must exist."""
    found = session.get_one(kind, id)
    assert isinstance(found, Run | AutoLabelJob | ImportJob | Revision | DeidentifyJob)
    return found


def begin(session: Session, kind: Work, id: int, attempt: int) -> bool:
    """queued -> running. False when another worker has it, or it is not to be done any more."""
    return _change(
        session,
        kind,
        id,
        attempt,
        "queued",
        {"status": "running", "started_at": now(), "heartbeat_at": now(), "reason": None},
    )


def beat(session: Session, kind: Work, id: int, attempt: int) -> bool | None:
    """Give a sign of life. Returns whether to cancel; None when this attempt was fenced off."""
    if not _change(session, kind, id, attempt, "running", {"heartbeat_at": now()}):
        return None
    return bool(session.scalar(select(kind.cancel_requested).where(kind.id == id)))


def finish(
    session: Session, kind: Work, id: int, attempt: int, status: str, reason: dict[str, object] | None = None
) -> bool:
    """running -> done, failed or cancelled. False when this attempt was fenced off."""
    return _change(session, kind, id, attempt, "running", {"status": status, "reason": reason, "finished_at": now()})


def cancel(session: Session, kind: Work, id: int) -> str:
    """Ask for the end of it. Returns the status now: what is still queued ends at once."""
    changed = session.execute(
        update(kind)
        .where(kind.id == id, kind.status == "queued")
        .values(status="cancelled", cancel_requested=True, finished_at=now())
    )
    if not _rows(changed):
        session.execute(update(kind).where(kind.id == id, kind.status == "running").values(cancel_requested=True))
    return str(session.scalar(select(kind.status).where(kind.id == id)))


def lost(session: Session, kind: Work, after_s: float) -> list[tuple[int, int]]:
    """(id, attempt) of what runs but has not given a sign of life for ``after_s`` seconds."""
    limit = now() - timedelta(seconds=after_s)
    rows = session.execute(select(kind.id, kind.attempt).where(kind.status == "running", kind.heartbeat_at < limit))
    return [(row[0], row[1]) for row in rows]


def queue_again(session: Session, kind: Work, id: int, attempt: int, why: dict[str, object]) -> bool:
    """running -> queued with the next attempt's number; ``why`` is shown until that attempt begins."""
    values: dict[str, object] = {
        "status": "queued",
        "attempt": attempt + 1,
        "enqueued_at": now(),
        "reason": why,
    }
    return _change(session, kind, id, attempt, "running", values)


def queued(session: Session, kind: Work) -> list[tuple[int, int]]:
    """(id, attempt) of what waits for a worker."""
    rows = session.execute(select(kind.id, kind.attempt).where(kind.status == "queued"))
    return [(row[0], row[1]) for row in rows]


def active(session: Session, kind: Work, project_id: int) -> int | None:
    """The id of the project's unfinished run or job."""
    return session.scalar(select(kind.id).where(kind.project_id == project_id, kind.status.in_(ACTIVE)))


def _change(session: Session, kind: Work, id: int, attempt: int, expected: str, values: dict[str, object]) -> bool:
    done = session.execute(
        update(kind)
        .where(kind.id == id, kind.attempt == attempt, kind.status == expected)
        .values(values)
        .execution_options(synchronize_session=False)
    )
    return _rows(done) == 1


def _rows(result: object) -> int:
    return int(getattr(result, "rowcount", 0))
