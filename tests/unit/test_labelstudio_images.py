"""Fetching images: where the token goes, which hosts are asked, and limits."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest
from fake_label_studio import Call, Reply, as_json, serving

from custom_ai.errors import ImageError, ImageForbidden, LabelStudioAuth, LabelStudioUnreachable
from custom_ai.labelstudio import images
from custom_ai.labelstudio.images import fetch_image, shown
from custom_ai.labelstudio.session import Session
from custom_ai.settings import Settings

PICTURE = b"not really a picture"


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PAUSE_S", 0.001)


def settings(**values: Any) -> Settings:
    return Settings(http_timeout_s=2, http_retry_s=0, **values)


def fetch(url: str, uri: object, task_id: int = 5, **values: Any) -> bytes:
    with Session(url, "our-token", timeout_s=2, retry_s=0) as session:
        return fetch_image(session, settings(**values), task_id, uri)


def token_of(call: Call) -> str | None:
    return call.headers.get("Authorization")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/data/upload/1/a b.jpg", "/ls/data/upload/1/a%20b.jpg"),
        ("/ls/data/upload/1/a.jpg", "/ls/data/upload/1/a.jpg"),
        (" /data/local-files/?d=x/y.jpg ", "/ls/data/local-files/?d=x/y.jpg"),
        ("BASE/data/upload/1/%EA%B3%A0.jpg", "/ls/data/upload/1/%EA%B3%A0.jpg"),
        ("https://public.example/studio/data/upload/1/a.jpg", "/ls/data/upload/1/a.jpg"),
        ("s3://bucket/key?.jpg", "/ls/tasks/5/resolve/?fileuri=czM6Ly9idWNrZXQva2V5Py5qcGc="),
        ("gs://b/ü", "/ls/tasks/5/resolve/?fileuri=Z3M6Ly9iL8O8"),
        ("azure-blob://b/k", "/ls/tasks/5/resolve/?fileuri=YXp1cmUtYmxvYjovL2Ivaw=="),
    ],
)
def test_label_studios_own_images_with_the_token(uri: str, path: str) -> None:
    with serving(lambda _: Reply(200, PICTURE)) as server:
        public = "https://public.example/studio"
        data = fetch(f"{server.url}/ls", uri.replace("BASE", f"{server.url}/ls"), label_studio_public_url=public)
        assert data == PICTURE
        assert [(call.path, token_of(call)) for call in server.calls] == [(path, "Token our-token")]


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        (None, ImageError, "no image address"),
        ("  ", ImageError, "no image address"),
        (["/data/upload/1/a.jpg"], ImageError, "no image address"),
        ("file:///etc/passwd", ImageForbidden, "not allowed"),
        ("ftp://h/a.jpg", ImageForbidden, "not allowed"),
        ("C:\\a.jpg", ImageForbidden, "not allowed"),
        ("a.jpg", ImageForbidden, "not allowed"),
        ("//elsewhere/a.jpg", ImageForbidden, "not allowed"),
        ("javascript:alert(1)", ImageForbidden, "not allowed"),
        ("/api/token/", ImageForbidden, "not an address of images"),
        ("/data/../api/token/", ImageForbidden, "not an address of images"),
        ("/data/%2e%2e/api/token/", ImageForbidden, "not an address of images"),
        ("http://elsewhere.example/a.jpg?sig=s3cret", ImageForbidden, "CUSTOM_AI_IMAGE_HOSTS"),
        ("http://169.254.169.254/latest", ImageForbidden, "CUSTOM_AI_IMAGE_HOSTS"),
        ("http://localhost:1/a.jpg", ImageForbidden, "CUSTOM_AI_IMAGE_HOSTS"),
        ("http://[::1/a.jpg", ImageError, "cannot be read"),
        ("http:///a.jpg", ImageError, "cannot be read"),
        ("http://h:99999999/a.jpg", ImageError, "cannot be read"),
        ("/data/upload/\x00.jpg", ImageError, "cannot be read"),
        ("data:text/html;base64,AAAA", ImageError, "base64"),
        ("data:image/png,AAAA", ImageError, "base64"),
        ("data:image/png;base64,???", ImageError, "base64"),
        ("data:image/png;base64,ü", ImageError, "base64"),
        ("data:image/png;base64," + "A" * 400, ImageError, "larger"),
        ("data:image/png;base64," + "A" * 160, ImageError, "larger"),
    ],
)
def test_refused_without_asking_anybody(uri: object, error: type[ImageError], words: str) -> None:
    with serving(lambda _: Reply(200, PICTURE)) as server:
        with pytest.raises(error, match=words) as caught:
            fetch(server.url, uri, image_max_bytes=100)
        assert server.calls == []
        assert "s3cret" not in str(caught.value)


def test_data_uris() -> None:
    coded = base64.b64encode(PICTURE).decode()
    for uri in (f"data:image/png;base64,{coded}", f"DATA:image/svg+xml;charset=utf-8;BASE64,{coded}"):
        assert fetch("http://127.0.0.1:9", uri) == PICTURE


def test_listed_hosts_without_the_token() -> None:
    with serving(lambda _: Reply(200, PICTURE)) as server:
        elsewhere = server.url.replace("127.0.0.1", "localhost")
        assert fetch("http://127.0.0.1:9", f"{elsewhere}/a.jpg", image_hosts=("localhost",)) == PICTURE
        assert fetch(server.url, f"{elsewhere}/a.jpg", image_hosts=(elsewhere[7:],)) == PICTURE
        assert [token_of(call) for call in server.calls] == [None, None]


class TestRedirects:
    def test_to_cloud_storage_without_the_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def resolve(*_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("52.216.1.1", 80))]

        with serving(lambda _: Reply(200, PICTURE)) as storage:
            target = storage.url.replace("127.0.0.1", "localhost") + "/signed?sig=1"
            with serving(lambda _: Reply(303, b"", {"Location": target})) as server:
                with pytest.raises(ImageForbidden, match="private network"):
                    fetch(server.url, "s3://bucket/a.jpg")
                assert storage.calls == []
                assert fetch(server.url, "s3://bucket/a.jpg", image_hosts=("localhost",)) == PICTURE
                with monkeypatch.context() as patch:
                    # localhost passes for a public host: only the check is given the other address
                    patch.setattr(images.socket, "getaddrinfo", resolve)
                    images._check_host(settings(), target, "a", trusted_hop=True)
                assert [token_of(call) for call in storage.calls] == [None]

    def test_a_listed_host_may_not_send_us_elsewhere(self) -> None:
        with serving(lambda _: Reply(200, PICTURE)) as inside:
            with serving(lambda _: Reply(302, b"", {"Location": f"{inside.url}/x"})) as outside:
                uri = outside.url.replace("127.0.0.1", "localhost") + "/a.jpg"
                with pytest.raises(ImageForbidden, match="IMAGE_HOSTS"):
                    fetch("http://127.0.0.1:9", uri, image_hosts=("localhost",))
            with serving(lambda _: Reply(302, b"", {"Location": f"{inside.url}/api/token/"})) as outside:
                uri = outside.url.replace("127.0.0.1", "localhost") + "/a.jpg"
                with pytest.raises(ImageForbidden, match="not an address of images"):
                    fetch(inside.url, uri, image_hosts=("localhost",))
            assert inside.calls == []

    def test_to_the_sign_in_page(self) -> None:
        with serving(lambda _: Reply(302, b"", {"Location": "/user/login/?next=/data"})) as server:
            with pytest.raises(ImageForbidden):
                fetch(server.url, "/data/upload/1/a.jpg")
            assert len(server.calls) == 1

    def test_round_and_round(self) -> None:
        with serving(lambda _: Reply(302, b"", {"Location": "/data/upload/1/a.jpg"})) as server:
            with pytest.raises(ImageError, match="redirects"):
                fetch(server.url, "/data/upload/1/a.jpg")
            assert len(server.calls) == images.REDIRECTS + 1


@pytest.mark.parametrize(
    ("reply", "error", "words", "calls"),
    [
        (as_json({"detail": "no"}, 401), LabelStudioAuth, "token", 1),
        (Reply(403), ImageError, "refused", 1),
        (Reply(404), ImageError, "no such file", 1),
        (Reply(500), ImageError, "no such file", images.ATTEMPTS),
        (Reply(502), LabelStudioUnreachable, "502", images.ATTEMPTS),
        (Reply(200, b"", {"Content-Length": "1000"}), ImageError, "larger", 1),
        (Reply(200, b"x" * 101), ImageError, "larger", 1),
        (Reply(200, repeat(b"x" * 50)), ImageError, "larger", 1),
    ],
)
def test_what_can_go_wrong(reply: Reply, error: type[Exception], words: str, calls: int) -> None:
    with serving(lambda _: reply) as server:
        with pytest.raises(error, match=words):
            fetch(server.url, "/data/upload/1/a.jpg", image_max_bytes=100)
        assert len(server.calls) == calls


def test_a_cut_download_is_tried_again() -> None:
    replies = iter([Reply(200, iter([b"x"]), {"Content-Length": "20"}), Reply(200, PICTURE)])
    with serving(lambda _: next(replies)) as server:
        assert fetch(server.url, "/data/upload/1/a.jpg") == PICTURE


def test_a_drip_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def drip() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.01)
            yield b"x" * images.CHUNK_BYTES

    monkeypatch.setattr(images, "TOTAL_TIMEOUTS", 0.05)
    with serving(lambda _: Reply(200, drip())) as server, pytest.raises(ImageError, match="too long"):
        fetch(server.url, "/data/upload/1/a.jpg")


def test_label_studio_is_down() -> None:
    with serving(lambda _: Reply()) as server:
        gone = server.url
    with pytest.raises(LabelStudioUnreachable):
        fetch(gone, "/data/upload/1/a.jpg")


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("https://u:p@h.example/a/b.jpg?X-Amz-Signature=s", "https://h.example/a/b.jpg"),
        ("/data/local-files/?d=a/b.jpg", "/data/local-files/?d=a/b.jpg"),
        ("s3://bucket/key.jpg", "s3://bucket/key.jpg"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_addresses_for_people(uri: str, text: str) -> None:
    assert shown(uri) == text
