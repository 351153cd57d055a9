"""One worker's turn at an auto-labelling job: images in, predictions out, all stages at the same time.

    claim a chunk -> downloads (4 at a time) -> decode -> network -> keep what was found -> push

Each stage has threads of its own, so that downloads of the next images and pushing of the previous ones go on while
the network works. Label Studio 1.23 needs 12 ms of its one core for an image and 0.15 s for a push, whatever the size
of that: so chunks are pushed together. Memory is bounded by the images that are fetched ahead and by the chunks that
wait to be pushed.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import select, update

from custom_ai.errors import N_, CustomAIError
from custom_ai.images import decode_pixels
from custom_ai.labelstudio.predictions import PUSH_PREDICTIONS
from custom_ai.labelstudio.results import prediction
from custom_ai.pipeline import chunks, found
from custom_ai.pipeline.chunks import Claim
from custom_ai.pipeline.claims import Claims
from custom_ai.pipeline.doubts import put_in_doubt
from custom_ai.pipeline.found import Seen, rounded
from custom_ai.pipeline.label_end import apply_champion
from custom_ai.pipeline.look import control_of
from custom_ai.pipeline.originals import hidden_among
from custom_ai.pipeline.pictures import Download, above, download_many, load_model, lowest, threshold_of
from custom_ai.pipeline.which_tasks import takes_touched
from custom_ai.services import Services
from custom_ai.state.journal import reason, reason_of
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Project, Task

if TYPE_CHECKING:
    from custom_ai.serving.stream import Picture
    from custom_ai.serving.stream import Seen as Look

NOT_HIDDEN = N_("faces could not be hidden in it; the report of hiding faces says why")
PUSH_EVERY_S = 5.0
"""People see progress, and a kill leaves little to ask Label Studio about."""
TURN_S = 600.0
"""After this long a worker goes to the end of the queue: other projects wait there."""


@dataclass
class _Chunk:
    """A claimed chunk on its way."""

    claim: Claim
    items: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What became of tasks that get no prediction."""
    seen: dict[int, Seen] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    """Tasks whose images are not looked at yet."""
    new: bool = False
    """Whether something was seen that is not kept yet."""


class Turn:
    """Works on chunks of one job until there are no more, or the turn is over."""

    def __init__(self, services: Services, job: AutoLabelJob, claims: Claims) -> None:
        """Raises LabelConfigError or BadInput when the job cannot be worked on at all."""
        self._services, self._job, self._claims = services, job, claims
        with services.database.read() as session:
            project = session.get_one(Project, job.project_id)
        self._control = control_of(project)
        self._threshold = threshold_of(services, self._control, job.threshold, project.threshold)
        self._floor = min(job.floor, lowest(job.candidate, self._threshold))
        self._chunk_of: dict[int, _Chunk] = {}
        self._ready: list[_Chunk] = []
        self._ready_since = 0.0
        self._pushing: Future[None] | None = None
        self._over_at = time.monotonic() + min(TURN_S, services.settings.job_timeout_s / 2)
        self.over = False
        """Whether it ended because of the time."""

    def work(self) -> None:
        """Raises Cancelled, Fenced, or what makes it impossible to go on."""
        files = download_many(self._services, self._tasks(), self._claims.check)
        with closing(files), ThreadPoolExecutor(1, thread_name_prefix="push") as self._pusher:
            first = next(files, None)
            if first is not None:
                # Loaded only when there is something to look at: some turns just push.
                model = load_model(self._services, self._job.candidate)
                looks = model.predict_many(chain([first], files), partial(self._decoded, model.side), self._floor)
                with closing(cast("Generator[tuple[Download, Look | CustomAIError]]", looks)):
                    for file, look in looks:
                        self._claims.check()
                        self._note(file.task_id, look)
                        self._send()
            self._send(last=True)

    def _decoded(self, side: int, file: Download) -> Picture:
        """Called by several threads."""
        from custom_ai.serving.stream import Picture

        most = self._services.settings.image_max_pixels
        if isinstance(file.content, CustomAIError):
            raise file.content
        return Picture(*decode_pixels(file.content, file.name, most, side))

    def _tasks(self) -> Iterator[tuple[int, str]]:
        """(task, image address) of chunk after chunk, claimed when they are needed."""
        while True:
            if time.monotonic() > self._over_at:
                self.over = True
                return
            mine = self._claims.take()
            if mine is None:
                return
            with self._services.database.read() as session:
                rows = chunks.waiting_tasks(session, mine, self._job.project_id)
                kept = found.load(session, mine.job_id, mine.number)
                hidden = hidden_among(session, self._job.project_id, (row[0] for row in rows))
            chunk = _Chunk(mine)
            wanted = []
            for task, image, touched in rows:
                if image is None or (touched and not takes_touched(self._job.which)):
                    chunk.items[task] = {"status": "skipped"}
                elif self._job.prepare and task not in hidden:
                    chunk.items[task] = {"status": "failed", "reason": reason(NOT_HIDDEN)}
                elif task in kept:
                    chunk.seen[task] = kept[task]
                else:
                    wanted.append((task, image))
            chunk.missing = {task for task, _ in wanted}
            self._chunk_of.update(dict.fromkeys(chunk.missing, chunk))
            if not wanted:
                self._complete(chunk)
            yield from wanted

    def _note(self, task: int, look: Look | CustomAIError) -> None:
        chunk = self._chunk_of.pop(task)
        chunk.missing.discard(task)
        if isinstance(look, CustomAIError):
            chunk.items[task] = {"status": "failed", "reason": reason_of(look)}
        else:
            chunk.seen[task] = Seen(look.size, rounded(look.boxes))
        chunk.new = True
        if not chunk.missing:
            self._complete(chunk)

    def _complete(self, chunk: _Chunk) -> None:
        if not self._ready:
            self._ready_since = time.monotonic()
        self._ready.append(chunk)

    def _send(self, last: bool = False) -> None:
        """Push what is ready, in the other thread, when it is worth a call; ``last``: all of it, and wait."""
        if self._pushing is not None and self._pushing.done():
            self._pushing.result()
            self._pushing = None
        number = sum(len(chunk.seen) for chunk in self._ready)
        due = number >= PUSH_PREDICTIONS or time.monotonic() - self._ready_since > PUSH_EVERY_S
        if self._ready and (due or last):
            if self._pushing is not None and number < 2 * PUSH_PREDICTIONS and not last:
                return  # Label Studio takes its time; the model need not wait yet
            self._wait()
            self._pushing = self._pusher.submit(self._push, self._ready)
            self._ready = []
        if last:
            self._wait()

    def _wait(self) -> None:
        while self._pushing is not None:
            self._claims.check()
            with suppress(FutureTimeout):
                self._pushing.result(timeout=0.5)
                self._pushing = None

    def _push(self, ready: Sequence[_Chunk]) -> None:
        """Keep what was found, push it, note it."""
        services, job = self._services, self._job
        version = job.version
        with services.database.write() as session:
            chunks.owned(session, [chunk.claim for chunk in ready], pushing=True)
            for chunk in ready:
                if chunk.new:
                    kept = found.load(session, job.id, chunk.claim.number)
                    found.save(session, job.id, chunk.claim.number, kept | chunk.seen)
            doubted = set(
                session.scalars(
                    select(AutoLabelItem.task_id).where(
                        AutoLabelItem.job_id == job.id,
                        AutoLabelItem.chunk.in_([chunk.claim.number for chunk in ready]),
                        AutoLabelItem.doubt,
                        AutoLabelItem.status == "waiting",
                    )
                )
            )
        there = services.label_studio.tasks_with_version(job.project_id, version, among=doubted)
        items: dict[int, dict[str, Any]] = {}
        rows = []
        for chunk in ready:
            items |= chunk.items
            for task, seen in chunk.seen.items():
                shapes = above(job.candidate, seen.boxes, self._threshold)
                items[task] = {"status": "done", "boxes": len(shapes), "reason": None}
                if task not in there:
                    rows.append(prediction(task, shapes, seen.size, self._control, version))
        report = services.label_studio.push_predictions(job.project_id, rows)
        for task in report.rejected:
            why = reason(N_("Label Studio did not store the prediction."))
            items[task] = {"status": "failed", "boxes": None, "reason": why}
        for task in report.gone:
            items[task] = {"status": "skipped", "boxes": None, "reason": None}
        for chunk in ready:
            self._claims.finished(chunk.claim)
        with services.database.write() as session:
            for chunk in ready:
                chunks.finish(session, chunk.claim)
            chunks.note(session, job.id, items)
            put_in_doubt(session, job.id, report.in_doubt)
            done = [task for task, values in items.items() if values["status"] == "done"]
            session.execute(
                update(Task)
                .where(Task.project_id == job.project_id, Task.task_id.in_(done))
                .values(predicted_version=version)
                .execution_options(synchronize_session=False)
            )
        apply_champion(services, job.project_id)
