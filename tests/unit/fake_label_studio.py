"""A loopback HTTP server that misbehaves on request, where the real Label Studio cannot."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What to answer; a negative status hangs up without an answer."""

    status: int = 200
    body: bytes | Iterator[bytes] = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


Answer = Callable[[Call], Reply]


@dataclass
class Server:
    """A running server and the calls that it got."""

    url: str
    calls: list[Call]

    def paths(self) -> list[str]:
        return [call.path for call in self.calls]


def as_json(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def jwt(kind: str, lifetime_s: int = 300, name: str = "") -> str:
    """An unsigned token that looks like Label Studio's."""
    claims = {"token_type": kind, "iat": 1000, "exp": 1000 + lifetime_s, "jti": name}
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"aGVhZGVy.{part}.c2lnbmF0dXJl{name}"


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    """Serve ``answer`` on a free loopback port."""
    calls: list[Call] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            call = Call(self.command, self.path, dict(self.headers), self.rfile.read(length))
            calls.append(call)
            reply = answer(call)
            self.close_connection = True
            if reply.status < 0:
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if isinstance(reply.body, bytes) and "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            try:
                for chunk in [reply.body] if isinstance(reply.body, bytes) else reply.body:
                    self.wfile.write(chunk)
            except OSError:
                return  # the client hung up, as it should on too much

        do_GET = do_POST = do_PATCH = do_DELETE = handle_one

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}", calls)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
