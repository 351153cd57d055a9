"""The chunks that a worker holds: a sign of life for each of them, and the ear for a pause or a cancel."""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from custom_ai.errors import N_, Cancelled
from custom_ai.pipeline import chunks
from custom_ai.pipeline.chunks import Claim
from custom_ai.pipeline.pulse import BEAT_S, Fenced
from custom_ai.services import Services
from custom_ai.state.tables import AutoLabelJob

log = logging.getLogger(__name__)


class Claims:
    """While entered, a thread gives signs of life. On leaving, what was not finished is given back."""

    def __init__(self, services: Services, job_id: int, worker: str) -> None:
        self._services, self._job_id, self._worker = services, job_id, worker
        self._held: set[Claim] = set()
        self._lock = threading.Lock()
        self._stop, self._unwanted, self._fenced = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"claims-{job_id}", daemon=True)

    def take(self) -> Claim | None:
        """Claim the next chunk."""
        with self._services.database.write() as session:
            mine = chunks.claim(session, self._job_id, self._worker)
        if mine is not None:
            with self._lock:
                self._held.add(mine)
        return mine

    def finished(self, mine: Claim) -> None:
        """The chunk is done: no more signs of life for it."""
        with self._lock:
            self._held.discard(mine)

    def check(self) -> None:
        """Raises Cancelled when the job shall not go on (for now), Fenced when another worker took over."""
        if self._fenced.is_set():
            raise Fenced(why=N_("another worker has taken this over"))
        if self._unwanted.is_set():
            raise Cancelled()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            with self._lock:
                held = list(self._held)
            try:
                with self._services.database.write() as session:
                    lost = chunks.beat(session, held)
                    wanted = session.scalar(
                        select(AutoLabelJob.id).where(AutoLabelJob.id == self._job_id, *chunks.WANTED)
                    )
            except SQLAlchemyError:
                log.warning("no sign of life for auto-labelling job %s: database away", self._job_id)
                continue
            with self._lock:
                lost = [one for one in lost if one in self._held]  # not what was finished meanwhile
            if lost:
                self._fenced.set()
            if wanted is None:
                self._unwanted.set()

    def __enter__(self) -> Claims:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        with self._services.database.write() as session:
            chunks.give_back(session, self._held)
