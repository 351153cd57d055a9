"""A sign of life for long work, and the ear for a cancel."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from custom_ai import exhaustion
from custom_ai.errors import N_, Cancelled, Conflict, CustomAIError, LabelStudioUnreachable
from custom_ai.policy import MAX_ATTEMPTS
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import reason, reason_of

log = logging.getLogger(__name__)
BEAT_S = 2.0


class Fenced(Conflict):
    """This attempt was taken for dead and another one has taken over: stop, write nothing."""

    code = "fenced"


class Pulse:
    """While entered, a thread writes the heartbeat of one attempt and notices a cancel within seconds."""

    def __init__(self, services: Services, kind: work.Work, id: int, attempt: int) -> None:
        self._services, self._kind, self._id, self._attempt = services, kind, id, attempt
        self._stop = threading.Event()
        self._cancel = threading.Event()
        self._fenced = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"pulse-{id}", daemon=True)

    def cancelled(self) -> bool:
        """Whether the work should end: somebody cancelled it, or another attempt took over."""
        return self._cancel.is_set() or self._fenced.is_set()

    def check(self) -> None:
        """Raises Cancelled or Fenced when the work should end."""
        if self._fenced.is_set():
            raise Fenced(why=N_("another worker has taken this over"))
        if self._cancel.is_set():
            raise Cancelled()

    def guard(self, session: Session) -> None:
        """Raises Fenced unless this attempt still owns the work. Call it first in a transaction that writes."""
        kind = self._kind
        owned = session.scalar(
            select(kind.id).where(kind.id == self._id, kind.attempt == self._attempt, kind.status == "running")
        )
        if owned is None:
            self._fenced.set()
            self.check()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            try:
                with self._services.database.write() as session:
                    cancel = work.beat(session, self._kind, self._id, self._attempt)
            except SQLAlchemyError:
                log.warning("no heartbeat for %s %s: database away", self._kind.__tablename__, self._id)
                continue
            if cancel is None:
                self._fenced.set()
                return
            if cancel:
                self._cancel.set()

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()


def carry_out(
    services: Services,
    kind: work.Work,
    id: int,
    attempt: int,
    do: Callable[[Pulse], None],
    end: Callable[[str, dict[str, object]], None],
) -> bool:
    """Do one attempt at some work with a pulse, and see to its end whatever happens.

    ``do`` ends the work as done by itself; ``end(status, reason)`` is called with "failed" or "cancelled".
    When Label Studio does not answer, the work goes back into the queue and the tick rings for it.
    Returns whether the work has ended.
    """
    name = kind.__tablename__
    with Pulse(services, kind, id, attempt) as pulse:
        try:
            do(pulse)
        except Fenced:
            log.warning("%s %s: attempt %s was taken over", name, id, attempt)
            return False
        except Cancelled as error:
            end("cancelled", reason_of(error))
        except LabelStudioUnreachable as error:
            if attempt < MAX_ATTEMPTS:
                log.warning("%s %s waits: %s", name, id, error)
                with services.database.write() as session:
                    work.queue_again(session, kind, id, attempt, reason_of(error))
                return False
            end("failed", reason_of(error))
        except CustomAIError as error:
            log.warning("%s %s failed: %s", name, id, error)
            end("failed", reason_of(error))
        except Exception as error:
            log.exception("%s %s failed", name, id)
            known = exhaustion.explain(error, services.settings.state_dir)
            internal = reason(N_("Internal error; the log has it under {name} {id}."), name=name, id=id)
            end("failed", reason_of(known) if known else internal)
    return True
