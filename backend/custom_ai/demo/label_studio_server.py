"""A real Label Studio on this machine: its own data folder, loopback only, nothing sent anywhere.

with LabelStudioServer(Path(".venv-label-studio/bin/label-studio"), Path("data")) as server:
    Session(server.url, server.token)
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from custom_ai.errors import N_, Conflict

EMAIL = "admin@example.com"
START_TIMEOUT_S = 180.0
"""The first start makes the database: 25 s on two idle cores, more beside other work."""
STOP_TIMEOUT_S = 15.0
TAIL_CHARS = 2000

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SYSTEMROOT")
"""What the server gets of our environment. Label Studio reads plain names like HOST and PASSWORD too."""

NO_TOKEN = N_("Label Studio did not give out a personal access token")


class LabelStudioServer:
    """Starts and stops Label Studio; the same data folder brings back the same user and projects.

    ``environment`` is added to Label Studio's; ``files_root`` is a folder it may serve images from
    (`/data/local-files/?d=`). Ports: 0 takes a free one. Raises Conflict when it does not come up.
    """

    def __init__(
        self,
        executable: Path,
        data_dir: Path,
        *,
        port: int = 0,
        password: str = "",
        files_root: Path | None = None,
        environment: Mapping[str, str] | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.email = EMAIL
        self.password = password
        self.token = ""
        """A personal access token of the user, once started."""
        self.legacy_token = ""
        """The user's token of the old kind, which works after ``enable_legacy_tokens``."""
        self._secret_key = ""
        self.executable = executable
        self._port = port
        self._files_root = files_root
        self._environment = dict(environment or {})
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "label-studio.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, wait until it answers, and sign in. Does nothing when it runs already."""
        if self.running:
            return
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._recall()
        self._port = self._port or _free_port()
        if _in_use(self._port):  # Label Studio would silently take the next port
            raise Conflict(why=f"port {self._port} is in use")
        command = [str(self.executable), "start", "--no-browser", "--internal-host", "127.0.0.1"]
        command += ["--port", str(self._port)]
        with self.log_file.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._variables(),
                    start_new_session=True,
                )
            except OSError as error:
                raise Conflict(why=f"{self.executable} cannot be started: {error.strerror}") from error
        try:
            self._wait()
            self._sign_in()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it in good order; by force after a while."""
        self._signal(signal.SIGINT, STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._signal(signal.SIGKILL, STOP_TIMEOUT_S)
        self._process = None

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def enable_legacy_tokens(self, enabled: bool = True) -> None:
        """Let the organization accept tokens of the old kind (or not)."""
        with self.signed_in() as client:
            answer = client.post("/api/jwt/settings", json={"legacy_api_tokens_enabled": enabled})
            answer.raise_for_status()

    def _variables(self) -> dict[str, str]:
        variables = {name: os.environ[name] for name in _KEPT if name in os.environ}
        variables |= {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.data_dir),
            "LABEL_STUDIO_HOST": self.url,
            # By the environment, because others can read a command line.
            "LABEL_STUDIO_USERNAME": self.email,
            "LABEL_STUDIO_PASSWORD": self.password,
            # Label Studio 1.23 makes one up with `$` and `#` in it, fails to read such a key from its
            # .env at the next start, makes up another, and every token and sign-in is void.
            "SECRET_KEY": self._secret_key,
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            # Label Studio 1.23 does not connect to backends and webhooks on loopback otherwise.
            "USE_DEFAULT_BANNED_SUBNETS": "false",
            "PYTHONUNBUFFERED": "1",
        }
        if self._files_root is not None:
            variables |= {
                "LOCAL_FILES_SERVING_ENABLED": "true",
                "LOCAL_FILES_DOCUMENT_ROOT": str(self._files_root.resolve()),
            }
        return variables | self._environment

    def _wait(self) -> None:
        give_up_at = time.monotonic() + self._start_timeout_s
        while time.monotonic() < give_up_at:
            if not self.running:
                raise Conflict(why=f"Label Studio ended while starting:\n{self._tail()}")
            with contextlib.suppress(httpx.HTTPError, ValueError):
                if httpx.get(f"{self.url}/health", timeout=5).json().get("status") == "UP":
                    return
            time.sleep(0.3)
        seconds = round(self._start_timeout_s)
        raise Conflict(why=f"Label Studio did not start within {seconds} s:\n{self._tail()}")

    def _tail(self) -> str:
        with contextlib.suppress(OSError):
            return self.log_file.read_text(encoding="utf-8", errors="replace")[-TAIL_CHARS:]
        return ""

    def _signal(self, number: signal.Signals, wait_s: float) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)  # our own group, made at the start
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)

    def _sign_in(self) -> None:
        with self.signed_in() as client:
            self.legacy_token = client.get("/api/current-user/token").json()["token"]
            if not self.token or not self._token_works():
                self.token = self._new_token(client)
                self._remember()

    @contextlib.contextmanager
    def signed_in(self) -> Iterator[httpx.Client]:
        """A client with the user's session cookie, as a browser has it."""
        with httpx.Client(base_url=self.url, timeout=30, follow_redirects=False) as client:
            client.get("/user/login/")
            form = {"email": self.email, "password": self.password}
            form["csrfmiddlewaretoken"] = client.cookies.get("csrftoken") or ""
            answer = client.post("/user/login/", data=form, headers={"Referer": f"{self.url}/user/login/"})
            if answer.status_code != 302:
                raise Conflict(why=f"Label Studio does not let {self.email} in with the stored password")
            client.headers["X-CSRFToken"] = client.cookies.get("csrftoken") or ""
            client.headers["Referer"] = self.url
            yield client

    def _token_works(self) -> bool:
        return httpx.post(f"{self.url}/api/token/refresh/", json={"refresh": self.token}, timeout=30).is_success

    def _new_token(self, client: httpx.Client) -> str:
        answer = client.post("/api/token/")
        if answer.status_code == 409:  # one per user, and the old one cannot be read again
            for old in client.get("/api/token/").json():
                client.post("/api/token/blacklist/", json={"refresh": old["token"]})
            answer = client.post("/api/token/")
        token = answer.json().get("token") if answer.is_success else None
        if not token:
            raise Conflict(why=NO_TOKEN)
        return str(token)

    @property
    def _memory(self) -> Path:
        return self.data_dir / "credentials.json"

    def _recall(self) -> None:
        """Password and token from the last time."""
        stored: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            stored = json.loads(self._memory.read_text(encoding="utf-8"))
        self.password = self.password or str(stored.get("password") or secrets.token_urlsafe(12))
        self.token = self.token or str(stored.get("token") or "")
        self._secret_key = str(stored.get("secret_key") or secrets.token_urlsafe(48))
        self._remember()

    def _remember(self) -> None:
        self._memory.touch(mode=0o600)
        content = {"url": self.url, "email": self.email, "password": self.password}
        content |= {"token": self.token, "secret_key": self._secret_key}
        self._memory.write_text(json.dumps(content), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
