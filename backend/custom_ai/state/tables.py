"""The tables. Times are UTC. A ``reason`` is ``{"template": ..., "params": {...}}`` so that it can be
shown in any language later (see ``custom_ai.i18n``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

ACTIVE = ("queued", "running", "paused")
"""Statuses of a run or a job in which it still has work to do; only auto-labelling can be paused."""
ACTIVE_SQL = "status IN ('queued', 'running', 'paused')"
_ACTIVE_SQL = text(ACTIVE_SQL)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime, also on SQLite, which keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"expected an aware datetime, got {value!r}")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declaration style
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        list[str]: JSON,
        list[int]: JSON,
        str: String,
    }


class Installation(Base):
    """Facts about this installation, such as the key from which secrets are derived."""

    __tablename__ = "installation"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Project(Base):
    """A Label Studio project that was connected. The id is Label Studio's."""

    __tablename__ = "project"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(default="")
    label_config: Mapped[str] = mapped_column(default="")
    kind: Mapped[str | None]
    """A LabelKind that was chosen; None: the labelling config's default."""
    available_kinds: Mapped[list[str]] = mapped_column(default=list)
    """What the labelling config offers, its default first."""
    available_classes: Mapped[list[str]] = mapped_column(default=list)
    """Of the control for the project's kind."""
    chosen_classes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True), default=None)
    labels_per_class: Mapped[int | None]
    auto_train: Mapped[bool] = mapped_column(default=False)
    retrain_below: Mapped[float | None]
    """With auto_train: train again when the champion's live score falls below this; None: not for that."""
    auto_label: Mapped[bool] = mapped_column(default=False)
    threshold: Mapped[float | None]
    """Pre-labels with a lower confidence are left out; None: what the labelling config, else the settings, else the
    model itself says."""
    auto_label_after: Mapped[int] = mapped_column(default=0)
    """The highest task id when auto_label was switched on: later ones are "new imports"."""
    finish_review: Mapped[bool] = mapped_column(default=False)
    """Neither a run nor auto-labelling starts while pre-labels wait for a review."""
    review_tab: Mapped[bool] = mapped_column(default=False)
    """Keep a tab in Label Studio's Data Manager with the most useful pre-labels first."""
    review_view: Mapped[int | None]
    """Label Studio's id of that tab."""
    deidentify: Mapped[str] = mapped_column(default="off")
    """When faces are hidden: off, at_import (as soon as an image is there) or with_auto_label (before that)."""
    originals: Mapped[str] = mapped_column(default="destroy")
    """What becomes of the originals: vault (encrypted) or destroy."""
    connected_at: Mapped[datetime | None]
    gone_at: Mapped[datetime | None]
    looked_at: Mapped[datetime | None]
    look_requested_at: Mapped[datetime | None]
    webhook_at: Mapped[datetime | None]
    """When Label Studio's webhook, with the right secret, was last heard."""
    watermark: Mapped[datetime | None]
    """Label Studio's newest ``updated_at`` that was taken in."""
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """Why the project cannot be worked on at the moment, as a reason."""
    live_version: Mapped[str | None]
    """The model version that Label Studio was told to show."""
    label_counts: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """Hand-drawn labels by class, kept up with the mirror so that no page reads all tasks; None: not counted yet."""
    notify_urls: Mapped[list[str]] = mapped_column(default=list)
    """Further addresses for apprise, as of the settings; only `custom-ai notify` shows and changes them."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class Task(Base):
    """Our mirror of one task: enough to count labels and to find untouched tasks without asking."""

    __tablename__ = "task"
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    image: Mapped[str]
    touched: Mapped[bool]
    annotation_id: Mapped[int | None]
    boxes: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """None: nobody gave an answer; []: a negative; else a row of ``shapes.to_row`` with ``untouched`` each."""
    updated_at: Mapped[str]
    predicted_version: Mapped[str | None]
    """The newest of our model versions that has a prediction for this task in Label Studio."""
    notes: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """What was left out or changed when its annotations were read: counts by ``labelstudio.regions.Note``."""

    __table_args__ = (
        Index("ix_task_touched", "project_id", "touched", "task_id"),
        Index("ix_task_counts", "project_id", "touched", "predicted_version"),
    )


class DatasetSnapshot(Base):
    """The labels that one run trains on; never changed."""

    __tablename__ = "dataset_snapshot"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    sha256: Mapped[str]
    images: Mapped[int]
    counts: Mapped[dict[str, Any]]
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (UniqueConstraint("project_id", "sha256", name="uq_snapshot"),)


class Run(Base):
    """One "Make Custom AI": a snapshot becomes four candidates."""

    __tablename__ = "run"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_snapshot.id"))
    status: Mapped[str] = mapped_column(default="queued")
    """queued, running, done, failed or cancelled"""
    stage: Mapped[str] = mapped_column(default="")
    attempt: Mapped[int] = mapped_column(default=1)
    crashes: Mapped[int] = mapped_column(default=0)
    trigger: Mapped[str]
    """person, button (Label Studio's Start Training) or rule"""
    requested_by: Mapped[str]
    kind: Mapped[str]
    """The LabelKind of its labels."""
    classes: Mapped[list[str]]
    labels: Mapped[int] = mapped_column(default=0)
    """Hand-drawn labels of the chosen classes when the run was asked for."""
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    left_out: Mapped[list[Any]] = mapped_column(default=list)
    """Images that could not be used: [task id, reason] each."""
    data_report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    notes: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """What was left out of the snapshot: {what: {"count": shapes or annotations, "tasks": [ids]}}."""
    forecast: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """What more labels would bring, see ``pipeline.forecast``; computed when the run is done."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    enqueued_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    candidates: Mapped[list[Candidate]] = relationship(order_by="Candidate.place", lazy="selectin")
    snapshot: Mapped[DatasetSnapshot | None] = relationship(lazy="joined")

    __table_args__ = (
        Index(
            "uq_active_run",
            "project_id",
            unique=True,
            sqlite_where=_ACTIVE_SQL,
            postgresql_where=_ACTIVE_SQL,
        ),
        Index("ix_run_project", "project_id", "id"),
    )


class Candidate(Base):
    """One trained model. Its version in Label Studio is ``p<project>-m<id>``, which never changes."""

    __tablename__ = "candidate"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    place: Mapped[int]
    title: Mapped[str]
    recipe: Mapped[dict[str, Any]]
    classes: Mapped[list[str]]
    status: Mapped[str] = mapped_column(default="waiting")
    """waiting, running, done, failed or cancelled"""
    stage: Mapped[str] = mapped_column(default="")
    fraction: Mapped[float] = mapped_column(default=0.0)
    seconds_left: Mapped[float | None]
    loss: Mapped[list[Any]] = mapped_column(default=list)
    """[fraction, loss] pairs, for the curve."""
    base_weights: Mapped[str | None]
    weights_sha256: Mapped[str | None]
    onnx_sha256: Mapped[str | None]
    unseen_sha256: Mapped[str | None]
    """The file with what was predicted on images that the candidate (or its sibling) had not seen."""
    image_size: Mapped[int | None]
    seconds: Mapped[float | None]
    passes: Mapped[int | None]
    """Pictures that training really showed to the network."""
    map50: Mapped[float | None]
    """Held-out mAP at IoU .5."""
    scores: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    thresholds: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """Confidence threshold by class, chosen on held-out images."""
    notes: Mapped[list[Any]] = mapped_column(default=list)
    """Messages about what went otherwise than planned but stopped nothing, see state.journal.reason."""
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)

    __table_args__ = (
        UniqueConstraint("run_id", "place", name="uq_candidate_place"),
        Index("ix_candidate_project", "project_id", "id"),
    )

    @property
    def version(self) -> str:
        return f"p{self.project_id}-m{self.id}"


class Selection(Base):
    """The choice between the candidates of one run."""

    __tablename__ = "selection"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), unique=True)
    status: Mapped[str] = mapped_column(default="open")
    """open, closed or cancelled"""
    candidate_ids: Mapped[list[int]]
    rounds: Mapped[int]
    opened_at: Mapped[datetime] = mapped_column(default=now)
    deadline_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    winner_id: Mapped[int | None] = mapped_column(ForeignKey("candidate.id"))
    images: Mapped[list[SelectionImage]] = relationship(order_by="SelectionImage.id")

    __table_args__ = (
        Index(
            "uq_open_selection",
            "project_id",
            unique=True,
            sqlite_where=text("status = 'open'"),
            postgresql_where=text("status = 'open'"),
        ),
    )


class SelectionImage(Base):
    """An image of the vote with what each candidate sees in it."""

    __tablename__ = "selection_image"
    id: Mapped[int] = mapped_column(primary_key=True)
    selection_id: Mapped[int] = mapped_column(ForeignKey("selection.id", ondelete="CASCADE"))
    task_id: Mapped[int]
    sha256: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    disagreement: Mapped[float]
    predictions: Mapped[dict[str, Any]]
    """candidate id -> rows of ``shapes.to_row`` with the score"""


class Ballot(Base):
    """One round of one voter: which image, in which order the candidates stood, what was picked."""

    __tablename__ = "ballot"
    id: Mapped[int] = mapped_column(primary_key=True)
    selection_id: Mapped[int] = mapped_column(ForeignKey("selection.id", ondelete="CASCADE"))
    voter: Mapped[str]
    round: Mapped[int]
    image_id: Mapped[int] = mapped_column(ForeignKey("selection_image.id", ondelete="CASCADE"))
    shown: Mapped[list[int]]
    """Candidate ids in the order of their places on the screen."""
    picks: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """Candidate ids that were picked; None until the round is voted, [] when the voter said that none is good."""
    voted_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    """When the voter confirmed it on the summary, after the last change. Votes count without it, too."""

    __table_args__ = (UniqueConstraint("selection_id", "voter", "round", name="uq_ballot"),)


class Promotion(Base):
    """Which model serves the project, and who said so."""

    __tablename__ = "promotion"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"))
    active: Mapped[bool] = mapped_column(default=True)
    how: Mapped[str]
    """vote, person, overruled (a person chose one that had lost its vote), single (only one could be trained), or
    first (nobody has chosen yet, see pipeline.provisional)"""
    promoted_by: Mapped[str]
    promoted_at: Mapped[datetime] = mapped_column(default=now)
    candidate: Mapped[Candidate] = relationship(lazy="joined")

    __table_args__ = (
        Index(
            "uq_champion",
            "project_id",
            unique=True,
            sqlite_where=text("active"),
            postgresql_where=text("active"),
        ),
    )


class AutoLabelJob(Base):
    """Pre-labelling of a number of tasks with one model, in chunks that any number of workers take."""

    __tablename__ = "auto_label_job"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"))
    status: Mapped[str] = mapped_column(default="queued")
    """queued, running, paused, done, failed or cancelled"""
    attempt: Mapped[int] = mapped_column(default=1)
    """The number of the last worker that was rung for."""
    crashes: Mapped[int] = mapped_column(default=0)
    trigger: Mapped[str]
    requested_by: Mapped[str]
    threshold: Mapped[float | None]
    """Overrides the model's own thresholds."""
    which: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Which tasks were asked for, see ``pipeline.which_tasks``; {}: the untouched ones."""
    gathered: Mapped[bool] = mapped_column(default=True)
    """Whether its items are written; False: Label Studio has to be asked for them first."""
    prepare: Mapped[list[Any]] = mapped_column(default=list)
    """What is done to the images first: "faces", when only images in which faces were hidden are pre-labelled."""
    floor: Mapped[float] = mapped_column(default=0.0)
    """What the model found is kept from this score on (see ``pipeline.found``)."""
    under: Mapped[str | None]
    """The version under which its predictions are pushed, see ``pipeline.versions``; None: the model's own."""
    rolled_back_at: Mapped[datetime | None]
    """When its predictions were taken back (see ``pipeline.roll_back``)."""
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    pause_requested: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    created_at: Mapped[datetime] = mapped_column(default=now)
    enqueued_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    candidate: Mapped[Candidate] = relationship(lazy="joined")

    __table_args__ = (
        Index(
            "uq_active_auto_label",
            "project_id",
            unique=True,
            sqlite_where=_ACTIVE_SQL,
            postgresql_where=_ACTIVE_SQL,
        ),
        Index("ix_auto_label_project", "project_id", "id"),
    )

    @property
    def version(self) -> str:
        return self.under or self.candidate.version


class AutoLabelItem(Base):
    """One task of an auto-labelling job."""

    __tablename__ = "auto_label_item"
    job_id: Mapped[int] = mapped_column(ForeignKey("auto_label_job.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chunk: Mapped[int] = mapped_column(default=0)
    """The number of its chunk; what the model found in the image is kept there."""
    status: Mapped[str] = mapped_column(default="waiting")
    """waiting, done, failed or skipped (a person came first, or the task is gone)"""
    boxes: Mapped[int | None]
    doubt: Mapped[bool] = mapped_column(default=False)
    """Label Studio may have got a prediction of this version another way: it is asked, and second ones go."""
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)

    __table_args__ = (
        Index("ix_item_status", "job_id", "status"),
        Index("ix_item_chunk", "job_id", "chunk"),
    )


class AutoLabelChunk(Base):
    """Some tasks of a job that one worker predicts and pushes together. Claimed by compare-and-set."""

    __tablename__ = "auto_label_chunk"
    job_id: Mapped[int] = mapped_column(ForeignKey("auto_label_job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[str] = mapped_column(default="waiting")
    """waiting, running or done"""
    attempt: Mapped[int] = mapped_column(default=0)
    """Counts the claims: who holds an older number may not write any more."""
    crashes: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str] = mapped_column(default="")
    """Host and process that has it, or had it last."""
    pushing: Mapped[bool] = mapped_column(default=False)
    """Predictions were perhaps sent, and it is not noted what became of them."""
    tasks: Mapped[int]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_chunk_status", "job_id", "status", "number"),)


class AutoLabelFound(Base):
    """What the model found in the images of one chunk, also below the threshold (see ``pipeline.found``)."""

    __tablename__ = "auto_label_found"
    job_id: Mapped[int] = mapped_column(ForeignKey("auto_label_job.id", ondelete="CASCADE"), primary_key=True)
    chunk: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class Revision(Base):
    """The pre-labels of a finished auto-labelling job are taken back, or shown with another threshold."""

    __tablename__ = "revision"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    job_id: Mapped[int] = mapped_column(ForeignKey("auto_label_job.id", ondelete="CASCADE"))
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"))
    what: Mapped[str]
    """roll_back or threshold"""
    threshold: Mapped[float | None]
    """The new one; None: the model's own."""
    version: Mapped[str]
    """Under which the model's pre-labels stand afterwards; '' after a roll-back."""
    status: Mapped[str] = mapped_column(default="queued")
    """queued, running, done, failed or cancelled"""
    attempt: Mapped[int] = mapped_column(default=1)
    crashes: Mapped[int] = mapped_column(default=0)
    requested_by: Mapped[str]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    after: Mapped[int] = mapped_column(default=0)
    """All tasks up to this id are done."""
    total: Mapped[int] = mapped_column(default=0)
    changed: Mapped[int] = mapped_column(default=0)
    """Tasks whose predictions were removed, or that got one under the new threshold."""
    kept: Mapped[int] = mapped_column(default=0)
    """Tasks that stayed as they were: a person has worked on them, or they are gone."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    enqueued_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    candidate: Mapped[Candidate] = relationship(lazy="joined")

    __table_args__ = (
        Index(
            "uq_active_revision",
            "project_id",
            unique=True,
            sqlite_where=_ACTIVE_SQL,
            postgresql_where=_ACTIVE_SQL,
        ),
        Index("ix_revision_job", "job_id", "id"),
    )


class Review(Base):
    """What a person made of one model's pre-label of one task: counts of shapes (see ``comparison``)."""

    __tablename__ = "review"
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    annotation_id: Mapped[int]
    at: Mapped[datetime]
    """When the annotation was last changed."""
    accepted: Mapped[int]
    moved: Mapped[int]
    relabelled: Mapped[int]
    removed: Mapped[int]
    added: Mapped[int]
    iou_sum: Mapped[float]

    __table_args__ = (Index("ix_review_project", "project_id", "at"),)


class Upload(Base):
    """An archive that somebody sends in pieces; the bytes so far are a file named by the id."""

    __tablename__ = "upload"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    """A Label Studio user's e-mail; nobody else may use it."""
    name: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    complete: Mapped[bool] = mapped_column(default=False)
    files: Mapped[int | None]
    """How many files are in it, once it is complete."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    touched_at: Mapped[datetime] = mapped_column(default=now)


class ImportJob(Base):
    """An archive becomes a Label Studio project."""

    __tablename__ = "import_job"
    id: Mapped[int] = mapped_column(primary_key=True)
    upload_id: Mapped[int | None] = mapped_column(ForeignKey("upload.id", ondelete="SET NULL"), unique=True)
    archive: Mapped[str]
    """Its name, for people."""
    project_id: Mapped[int | None]
    """The project in Label Studio, made with the first image; it is in our ``project`` once it is connected."""
    mark: Mapped[str]
    """Stands in the project's labelling config, by which a project is found again that was made by a lost call."""
    title: Mapped[str]
    description: Mapped[str]
    kind: Mapped[str]
    classes: Mapped[list[Any]]
    """[name, colour] each."""
    deidentify: Mapped[bool] = mapped_column(default=False)
    """Whether faces are hidden before the images reach Label Studio."""
    files: Mapped[int | None]
    status: Mapped[str] = mapped_column(default="queued")
    """queued, running, done, failed or cancelled"""
    attempt: Mapped[int] = mapped_column(default=1)
    crashes: Mapped[int] = mapped_column(default=0)
    requested_by: Mapped[str]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    created_at: Mapped[datetime] = mapped_column(default=now)
    enqueued_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ImportItem(Base):
    """One file of an archive, from when it is about to be sent, or was left out."""

    __tablename__ = "import_item"
    job_id: Mapped[int] = mapped_column(ForeignKey("import_job.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    status: Mapped[str]
    """sending, done, left_out, or system (a hidden file, or one of an operating system)"""
    sha256: Mapped[str | None]
    task_id: Mapped[int | None]
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    faces: Mapped[int | None] = mapped_column(default=None)
    """How many were hidden; None: none were looked for."""
    doubtful: Mapped[bool] = mapped_column(default=False)
    """Whether a person should look for faces that were missed."""
    hidden: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """{"sha256": of what was sent, "size": [width, height], "areas": [[x1, y1, x2, y2, score] in pixels]}"""

    __table_args__ = (Index("ix_import_item_status", "job_id", "status", "position"),)


class TaskImport(Base):
    """Tasks that a program imported with an idempotency key: asked again, the same answer comes."""

    __tablename__ = "task_import"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    key: Mapped[str]
    sha256: Mapped[str]
    """Of what was sent."""
    mark: Mapped[str]
    """Stands in the new tasks' ``meta``, by which they are found when an answer was lost."""
    before: Mapped[int]
    """The highest task id before they were sent."""
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    created_at: Mapped[datetime] = mapped_column(default=now)
    begun_at: Mapped[datetime] = mapped_column(default=now)
    """When somebody last began to send them."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often it was begun again."""

    __table_args__ = (UniqueConstraint("project_id", "key", name="uq_task_import"),)


class Notification(Base):
    """Something that people should know."""

    __tablename__ = "notification"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(default=now)
    event: Mapped[str]
    """What happened: ``run_started``, ``auto_label_done`` ...; the part before the last ``_`` says to what."""
    subject: Mapped[str] = mapped_column(default="")
    """What it is about, as in the audit log: ``run 3``, ``selection 2``, ``job 5``, ``model 12``, or ''."""
    failure: Mapped[bool] = mapped_column(default=False)
    message: Mapped[dict[str, Any]]
    recipient: Mapped[str]
    """Who started it (a Label Studio user's e-mail), or '' for everybody in the project."""
    told: Mapped[bool] = mapped_column(default=False)
    """Whether its deliveries are written (see ``pipeline.deliver``)."""

    __table_args__ = (
        Index("ix_notification_project", "project_id", "id"),
        Index("ix_notification_told", "told", "id"),
    )


class Delivery(Base):
    """A notification on its way to one address: the row is unique, so that it goes there once."""

    __tablename__ = "delivery"
    id: Mapped[int] = mapped_column(primary_key=True)
    notification_id: Mapped[int] = mapped_column(ForeignKey("notification.id", ondelete="CASCADE"))
    channel: Mapped[str]
    """Name of the notifier's entry point."""
    address: Mapped[str]
    """A person's e-mail; of other channels the beginning of the address's SHA-256, because addresses hold secrets."""
    status: Mapped[str] = mapped_column(default="waiting")
    """waiting, sending, sent, failed (given up), or unknown (perhaps sent: it is not tried again)"""
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(default=now)
    claimed_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")

    __table_args__ = (
        UniqueConstraint("notification_id", "channel", "address", name="uq_delivery"),
        Index("ix_delivery_due", "status", "due_at"),
    )


class MailWish(Base):
    """Whether a person wants mails about a project; without a row only about what they have started."""

    __tablename__ = "mail_wish"
    email: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), primary_key=True)
    wanted: Mapped[bool]


class MailReader(Base):
    """In which language a person wants mails."""

    __tablename__ = "mail_reader"
    email: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str]


class NotificationRead(Base):
    """A person has seen a notification."""

    __tablename__ = "notification_read"
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Label Studio's number of the person."""
    notification_id: Mapped[int] = mapped_column(ForeignKey("notification.id", ondelete="CASCADE"), primary_key=True)


class WebSession(Base):
    """Somebody who signed in with a Label Studio token or came through its extension (see ``web.sessions``)."""

    __tablename__ = "web_session"
    id: Mapped[str] = mapped_column(primary_key=True)
    """SHA-256 of the random id that only the browser's cookie has."""
    user_id: Mapped[int] = mapped_column(index=True)
    """Label Studio's id of the user."""
    email: Mapped[str]
    token: Mapped[bytes] = mapped_column(LargeBinary)
    """The token (empty: the extension vouches), encrypted with a key that cannot be derived without the cookie."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    used_at: Mapped[datetime] = mapped_column(default=now)


class UsedNonce(Base):
    """A number from a statement of Label Studio's extension that has counted, so that it counts no second time."""

    __tablename__ = "used_nonce"
    nonce: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime] = mapped_column(index=True)
    """Afterwards the statement is too old anyway."""


class AuditEntry(Base):
    """Who did what, when."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    actor: Mapped[str]
    action: Mapped[str]
    project_id: Mapped[int | None]
    subject: Mapped[str] = mapped_column(default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
