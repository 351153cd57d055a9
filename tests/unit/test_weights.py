"""Where base weights come from. The network is a server on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from custom_ai.errors import SettingsError
from custom_ai.settings import Settings, load_settings
from custom_ai.training import weights
from custom_ai.training.weights import describe_available, find_weights

CONTENT = b"w" * 150_000


class Release(BaseHTTPRequestHandler):
    """Serves one file well, and others badly."""

    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        if self.path == "/moved.pt":
            self.send_response(302)
            self.send_header("Location", "/good.pt")
            self.end_headers()
            return
        self.send_response(404 if self.path == "/missing.pt" else 200)
        length = {"/cut.pt": 200_000, "/tiny.pt": 9}.get(self.path, len(CONTENT))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.path == "/slow.pt":
            for _ in range(100):  # each read is quick, the whole is not
                self.wfile.write(CONTENT[:1000])
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.wfile.write(CONTENT[:length])

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def releases() -> Iterator[str]:
    Release.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Release) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path, download_timeout_s=1.0)


def files(settings: Settings) -> list[str]:
    return sorted(path.name for path in weights.weights_folder(settings).glob("*"))


def test_download_once_then_from_the_folder(settings: Settings, releases: str) -> None:
    found = find_weights("good.pt", settings, releases)
    assert found is not None
    assert found.path.read_bytes() == CONTENT
    assert releases in found.origin
    again = find_weights("good.pt", settings, releases)
    assert again is not None
    assert again.origin.startswith("good.pt from the weights folder, sha256 ")
    assert Release.asked == ["/good.pt"]
    assert files(settings) == ["good.pt"]


def test_redirects_are_followed(settings: Settings, releases: str) -> None:
    assert find_weights("moved.pt", settings, releases) is not None


@pytest.mark.parametrize("name", ["missing.pt", "cut.pt", "tiny.pt", "slow.pt"])
def test_failed_downloads_leave_nothing_and_are_not_repeated(settings: Settings, releases: str, name: str) -> None:
    started = time.monotonic()
    assert find_weights(name, settings, releases) is None
    assert time.monotonic() - started < 2.5
    assert find_weights(name, settings, releases) is None
    assert Release.asked == [f"/{name}"]
    assert files(settings) == [name.replace(".pt", ".unreachable")]


def test_wrong_hash_is_refused(settings: Settings, releases: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.SHA256, "good.pt", "0" * 64)  # no published file is small enough to serve here
    assert find_weights("good.pt", settings, releases) is None


def test_nobody_listens(settings: Settings) -> None:
    started = time.monotonic()
    assert find_weights("good.pt", settings, "http://127.0.0.1:9") is None
    assert time.monotonic() - started < 1.0


def test_downloads_can_be_switched_off(settings: Settings, releases: str) -> None:
    off = settings.model_copy(update={"download_weights": False})
    assert find_weights("good.pt", off, releases) is None
    assert Release.asked == []
    assert "random" in describe_available(off)
    assert "downloaded" in describe_available(settings)


def test_own_weights_come_first(settings: Settings, tmp_path: Path) -> None:
    own = tmp_path / "own.pt"
    with pytest.raises(SettingsError, match=r"own\.pt is not a file"):
        find_weights("good.pt", settings.model_copy(update={"base_weights": own}))
    own.write_bytes(b"x")
    found = find_weights("good.pt", settings.model_copy(update={"base_weights": own}))
    assert found is not None
    assert found.path == own
    assert found.origin.startswith("own.pt from the settings, sha256 2d711642b726")
    assert describe_available(settings.model_copy(update={"base_weights": own})) == found.origin


def test_no_name_no_weights(settings: Settings) -> None:
    assert find_weights("", settings) is None
