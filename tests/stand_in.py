"""A stand-in for Label Studio's part in auto-labelling: quick, forgetful of nothing, and it misbehaves on request.

What it answers is what Label Studio 1.23 answers to the calls that a job makes; the real one is in the flow tests.
"""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit


class StandIn:
    """The state of it: which tasks there are, and their predictions."""

    def __init__(self, tasks: range, picture: bytes = b"") -> None:
        self.tasks, self.picture = tasks, picture
        self.url = ""
        self.predictions: dict[int, dict[int, str]] = defaultdict(dict)
        """Task -> prediction id -> version."""
        self.pushes: list[int] = []
        """How many predictions each call brought."""
        self.asked = 0
        """How often the task list was asked for."""
        self.broken: set[int] = set()
        """Tasks without an image."""
        self.lost_answers = 0
        """So many pushes are acted on, but not answered."""
        self.down = False
        self.keep = True
        """Whether predictions are remembered (a benchmark of memory has no use for them)."""
        self._ids = count(1)
        self._lock = threading.Lock()

    def versions(self) -> dict[int, list[str]]:
        return {task: list(found.values()) for task, found in self.predictions.items() if found}

    def push(self, rows: list[dict[str, Any]]) -> int:
        with self._lock:
            self.pushes.append(len(rows))
            for row in rows if self.keep else ():
                self.predictions[row["task"]][next(self._ids)] = row["model_version"]
        return len(rows)

    def rows(self, query: str, page_size: int) -> list[dict[str, Any]]:
        """Rows of the task list."""
        self.asked += 1
        low, high, after, version = self.tasks.start, self.tasks.stop, 0, None
        for item in json.loads(query)["filters"]["items"]:
            column, value = item["filter"], item["value"]
            if column.endswith("predictions_model_versions"):
                (version,) = value
            elif item["operator"] == "greater":
                after = value
            else:
                low, high = max(low, value["min"]), min(high, value["max"] + 1)
        found = []
        with self._lock:
            for task in range(max(low, after + 1), high):
                stored = [{"id": id, "model_version": one} for id, one in self.predictions[task].items()]
                versions = self.predictions[task].values()
                if version is None or version in versions:
                    listed = ",".join(sorted(set(versions)))
                    found.append({"id": task, "predictions_model_versions": listed, "predictions": stored})
                if len(found) >= page_size:
                    break
        return found[:page_size]

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes] | None:
        """Status and body; None hangs up."""
        parts = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.down:
            return None
        if number := re.fullmatch(r"/data/upload/1/(\d+)\.\w+", parts.path):
            return (404, b"") if int(number[1]) in self.broken else (200, self.picture)
        if parts.path.endswith("/import/predictions"):
            made = self.push(json.loads(body))
            if self.lost_answers:
                self.lost_answers -= 1
                return None
            return 201, json.dumps({"created": made}).encode()
        if parts.path == "/api/tasks":
            return 200, json.dumps({"tasks": self.rows(asked["query"], int(asked["page_size"]))}).encode()
        if parts.path == "/api/predictions/":
            stored = self.predictions[int(asked["task"])]
            return 200, json.dumps([{"id": id, "model_version": one} for id, one in stored.items()]).encode()
        if method == "DELETE" and (number := re.fullmatch(r"/api/predictions/(\d+)/", parts.path)):
            for stored in self.predictions.values():
                stored.pop(int(number[1]), None)
            return 204, b""
        if view := re.fullmatch(r"/api/dm/views/(\d+)/", parts.path):
            items = [
                {
                    "filter": "filter:tasks:id",
                    "operator": "in",
                    "type": "Number",
                    "value": {"min": 1, "max": int(view[1])},
                }
            ]
            return 200, json.dumps({"project": 1, "data": {"filters": {"conjunction": "or", "items": items}}}).encode()
        return 200, json.dumps({"id": 1, "title": "Stand-in", "label_config": ""}).encode()


@contextmanager
def standing_in(state: StandIn) -> Iterator[StandIn]:
    """Serve it on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = state.answer(self.command, self.path, body)
            if found is None:
                self.close_connection = True
                return
            status, content = found
            head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            self.wfile.write(head.encode() + content)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_one

        def log_message(self, format: str, *args: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, address: Any) -> None:
            return  # a client was killed

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
