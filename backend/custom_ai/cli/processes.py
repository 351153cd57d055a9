"""run, web and worker: the processes of an installation."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Annotated

import typer

from custom_ai import queue, wiring
from custom_ai.settings import PREFIX
from custom_ai.state.database import Database

log = logging.getLogger(__name__)
_PREDICT_TIMEOUT_S = 120
"""gunicorn's limit: a little more than the 100 s that Label Studio waits for /predict."""
_RESTART_PAUSE_S = 2.0
_STOP_S = 15.0


def run() -> None:
    """Run everything: database, queue (an embedded one unless REDIS_URL is set), web and workers."""
    settings = wiring.settings_of_this_process()
    wiring.notifiers(settings)  # what cannot work is said now, not when somebody waits for a mail
    Database(settings.sqlalchemy_url).migrate()
    with contextlib.ExitStack() as stack:
        environment = dict(os.environ)
        if not settings.redis_url:
            environment[PREFIX + "REDIS_URL"] = stack.enter_context(queue.embedded_server(settings.state_dir / "queue"))
        command = [sys.executable, "-m", "custom_ai"]
        _Family(
            {
                "web": [*command, "web"],
                "worker train": [*command, "worker", queue.TRAIN],
                "worker label": [*command, "worker", queue.LABEL],
                "worker import": [*command, "worker", queue.IMPORT],
                "worker notify": [*command, "worker", queue.NOTIFY],
                "worker default": [*command, "worker", queue.DEFAULT],
            },
            environment,
        ).watch()


def web() -> None:
    """Serve the ML backend, the REST API and the pages with gunicorn."""
    settings = wiring.settings_of_this_process()
    wiring.redis_of(settings)  # tells at once what is missing, instead of from within gunicorn
    # No --preload: CUDA cannot be used in a process that was forked after it was initialised.
    arguments = [
        "-m", "gunicorn", "custom_ai.wsgi:app()",
        "--bind", f"{settings.host}:{settings.port}",
        "--worker-class", "gthread",
        "--workers", str(settings.web_workers),
        "--threads", str(settings.web_threads),
        "--no-control-socket",
        "--timeout", str(_PREDICT_TIMEOUT_S),
        "--log-level", settings.log_level.lower(),
    ]  # fmt: skip
    os.execv(sys.executable, [sys.executable, *arguments])


def worker(
    queues: Annotated[list[str] | None, typer.Argument(help="train, label, import, notify, default; none: all")] = None,
) -> None:
    """Work on the queues; the one on `default` also keeps the clock (lost jobs, lost webhooks)."""
    settings = wiring.settings_of_this_process()
    names = queues or list(queue.ALL)
    for name in names:
        if name not in queue.ALL:
            raise typer.BadParameter(f"there is no queue {name!r}; there are: {', '.join(queue.ALL)}")
    connection = wiring.redis_of(settings)
    if queue.NOTIFY in names:
        wiring.notifiers(settings)
    clock = _start_clock() if queue.DEFAULT in names else None
    _import_what_jobs_need(names)
    try:
        queue.work(connection, names)
    finally:
        if clock is not None:
            clock.terminate()


def keep_clock(parent: int) -> None:
    """The body of the clock's process: see ``queue.keep_ticking``."""
    settings = wiring.settings_of_this_process()
    connection = wiring.redis_of(settings)
    queue.keep_ticking(connection, queue.RqBell(connection, settings.job_timeout_s), settings.tick_s, parent)


def _start_clock() -> subprocess.Popen[bytes]:
    # A process, not a thread: RQ forks for each job, and a fork copies only the forking thread.
    code = f"from custom_ai.cli.processes import keep_clock; keep_clock({os.getpid()})"
    return subprocess.Popen([sys.executable, "-c", code])


def _import_what_jobs_need(names: list[str]) -> None:
    """Import once what every forked job needs; not torch, which must start in a fresh process."""
    modules = ["custom_ai.jobs"]
    if queue.LABEL in names:  # half a second of each auto-labelling job
        modules += ["label_studio_sdk.label_interface", "custom_ai.serving.engine", "openvino"]
    for module in modules:
        with contextlib.suppress(ImportError):  # OpenVINO has no wheel for some machines
            importlib.import_module(module)


class _Family:
    """Child processes that are started again when they die, until this process is told to stop."""

    def __init__(self, commands: dict[str, list[str]], environment: dict[str, str]) -> None:
        self._commands, self._environment = commands, environment
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()

    def watch(self) -> None:
        signal.signal(signal.SIGTERM, self._asked_to_stop)
        signal.signal(signal.SIGINT, self._asked_to_stop)
        try:
            for name in self._commands:
                self._start(name)
            while not self._stop.wait(0.5):
                for name, child in list(self._children.items()):
                    if child.poll() is not None:
                        log.warning("%s ended with code %s and is started again", name, child.returncode)
                        self._stop.wait(_RESTART_PAUSE_S)
                        if not self._stop.is_set():
                            self._start(name)
        finally:
            self._end_all()

    def _start(self, name: str) -> None:
        # Its own session: Ctrl-C reaches only us, and we end the children in order.
        self._children[name] = subprocess.Popen(self._commands[name], env=self._environment, start_new_session=True)

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _end_all(self) -> None:
        for child in self._children.values():
            child.terminate()
        deadline = time.monotonic() + _STOP_S
        for child in self._children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                # A worker lets its job finish on the first signal. What is cut off here is started
                # again by the next run: the state is in SQL.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
