"""The bell on a real Valkey, with a real worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue, Worker
from rq.serializers import JSONSerializer

from custom_ai import queue


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Redis]:
    with queue.embedded_server(tmp_path / "queue") as url, queue.connect(url) as client:
        yield client


def test_ringing_puts_ids_and_nothing_else_on_the_queue(connection: Redis) -> None:
    bell = queue.RqBell(connection, 100)
    assert not bell.waiting("train", 7, 1)
    bell.ring("train", 7, 1)
    assert bell.waiting("train", 7, 1)
    (job,) = Queue("train", connection=connection, serializer=JSONSerializer).jobs
    assert (job.func_name, list(job.args), job.timeout) == ("custom_ai.jobs.train", [7, 1], 100)


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("train", "train"),
        ("auto_label", "label"),
        ("import_archive", "import"),
        ("look", "default"),
        ("tick", "default"),
    ],
)
def test_what_takes_long_keeps_nothing_else_waiting(connection: Redis, job: str, name: str) -> None:
    queue.RqBell(connection, 100).ring(job, 1)
    queues = {one: Queue(one, connection=connection, serializer=JSONSerializer).count for one in queue.ALL}
    assert queues == {one: int(one == name) for one in queue.ALL}


def test_a_delayed_ring_waits_too(connection: Redis) -> None:
    bell = queue.RqBell(connection, 100)
    bell.ring("look", 7, delay_s=60)
    assert bell.waiting("look", 7)
    assert Queue("default", connection=connection, serializer=JSONSerializer).count == 0


def test_a_queue_that_is_away_does_not_stop_anybody() -> None:
    with queue.connect("redis://127.0.0.1:9/0") as client:
        bell = queue.RqBell(client, 100)
        bell.ring("look", 7)
        assert not bell.waiting("look", 7)
        queue.tick_once(client, bell, 60)


def test_many_clocks_make_one_tick(connection: Redis) -> None:
    bell = queue.RqBell(connection, 100)
    for _ in range(5):
        queue.tick_once(connection, bell, 60)
    assert Queue("default", connection=connection, serializer=JSONSerializer).count == 1


def test_what_was_queued_survives_a_restart(tmp_path: Path) -> None:
    with queue.embedded_server(tmp_path) as url, queue.connect(url) as client:
        queue.RqBell(client, 100).ring("auto_label", 3, 1)
    with queue.embedded_server(tmp_path) as url, queue.connect(url) as client:
        assert queue.RqBell(client, 100).waiting("auto_label", 3, 1)


def test_a_queue_that_dies_is_started_again_with_what_was_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_WATCH_S", 0.1)
    with queue.embedded_server(tmp_path) as url, queue.connect(url) as client:
        queue.RqBell(client, 100).ring("auto_label", 3, 1)
        time.sleep(1.1)  # what is younger than a second is not on disk
        os.kill(client.info()["process_id"], signal.SIGKILL)
        deadline = time.monotonic() + 15
        while not (again := queue.RqBell(client, 100).waiting("auto_label", 3, 1)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert again


def test_workers_are_counted_by_the_queue_of_the_job(connection: Redis) -> None:
    bell = queue.RqBell(connection, 100)
    assert bell.workers("auto_label") == 0
    for number in (1, 2):
        worker = Worker([queue.LABEL], connection=connection, serializer=JSONSerializer, name=f"label-{number}")
        worker.register_birth()
    assert (bell.workers("auto_label"), bell.workers("train")) == (2, 0)


def test_the_clock_ends_with_its_parent(tmp_path: Path) -> None:
    """A worker that is killed must not leave a clock behind."""
    with queue.embedded_server(tmp_path) as url:
        clock = (
            "import sys; from custom_ai.queue import RqBell, connect, keep_ticking; "
            f"c = connect({url!r}); keep_ticking(c, RqBell(c, 9), 60, int(sys.argv[1]))"
        )
        start = f"Popen([sys.executable, '-c', {clock!r}, str(os.getpid())], stdout=DEVNULL)"
        parent = f"import os, sys\nfrom subprocess import DEVNULL, Popen\nprint({start}.pid, flush=True)"
        process = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, timeout=30)
        clock_pid = int(process.stdout)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{clock_pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not Path(f"/proc/{clock_pid}").exists()
