"""The tables of de-identification: what was asked for, and what stands of each image in Label Studio."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from custom_ai.state.tables import ACTIVE_SQL, Base, now


class DeidentifyJob(Base):
    """Faces are hidden in the images of tasks that are in Label Studio already."""

    __tablename__ = "deidentify_job"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(default="queued")
    """queued, running, done, failed or cancelled"""
    attempt: Mapped[int] = mapped_column(default=1)
    crashes: Mapped[int] = mapped_column(default=0)
    trigger: Mapped[str]
    """person, rule, auto_label or review"""
    requested_by: Mapped[str]
    auto_label_id: Mapped[int | None]
    """The auto-labelling job that waits for it."""
    originals: Mapped[str]
    """vault or destroy, as the project said when it was asked for"""
    used: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What finds and hides: the plug-in's name, and the settings beside it."""
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    created_at: Mapped[datetime] = mapped_column(default=now)
    enqueued_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "uq_active_deidentify",
            "project_id",
            unique=True,
            sqlite_where=text(ACTIVE_SQL),
            postgresql_where=text(ACTIVE_SQL),
        ),
        Index("ix_deidentify_project", "project_id", "id"),
    )


class DeidentifyItem(Base):
    """One task of a job."""

    __tablename__ = "deidentify_item"
    job_id: Mapped[int] = mapped_column(ForeignKey("deidentify_job.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[str] = mapped_column(default="waiting")
    """waiting, done, failed or skipped (the task is gone)"""
    crashes: Mapped[int] = mapped_column(default=0)
    """How many processes have ended while they worked on it."""
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)

    __table_args__ = (Index("ix_deidentify_item", "job_id", "status", "task_id"),)


class DeidentifiedImage(Base):
    """What stands of one task's image. It is de-identified when ``state`` is done and the task points to ``uri``."""

    __tablename__ = "deidentified_image"
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str]
    """swapping (from before anything in Label Studio changes until all of it is done) or done"""
    uri: Mapped[str] = mapped_column(default="")
    """The de-identified copy that the task pointed to when it was last done; '' before."""
    uri_original: Mapped[str] = mapped_column(default="")
    uri_old: Mapped[str] = mapped_column(default="")
    """What the swap under way makes unreachable: the original, or an earlier copy."""
    upload_old: Mapped[int | None]
    uri_new: Mapped[str] = mapped_column(default="")
    """The copy of the swap under way, once it is uploaded and checked."""
    upload_new: Mapped[int | None]
    mark: Mapped[str] = mapped_column(default="")
    """Stands in the name of the file that the swap under way uploads, by which a lost one is found."""
    sha256_before: Mapped[str] = mapped_column(default="")
    """Of the original."""
    sha256_after: Mapped[str] = mapped_column(default="")
    """Of the copy in ``uri_new``, or in ``uri`` when nothing is under way."""
    width: Mapped[int] = mapped_column(default=0)
    height: Mapped[int] = mapped_column(default=0)
    areas: Mapped[list[Any]] = mapped_column(default=list)
    """{"area": [x1, y1, x2, y2, score] in pixels of the upright image, "source": "found" or "drawn",
    "removed": bool}"""
    doubtful: Mapped[bool] = mapped_column(default=False)
    kept: Mapped[bool] = mapped_column(default=False)
    """Whether the original is in the vault."""
    original: Mapped[str] = mapped_column(default="")
    """What became of it: erased, on_disk (unreachable, but on Label Studio's disk), outside (not ours to remove),
    shared (another task needs it still), replaced (it stood in the task itself), never (it was not in Label Studio)"""
    path: Mapped[str] = mapped_column(default="")
    """Where on Label Studio's disk, relative to its media folder."""
    wanted: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """Areas, like ``areas``, that a person wants and that are not done yet."""
    approved_by: Mapped[str | None]
    approved_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_deidentified_review", "project_id", "approved_at", "doubtful", "task_id"),)
