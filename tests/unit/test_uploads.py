"""Archives in pieces: repeated, interrupted, damaged, somebody else's."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from page_world import Visitor, World
from sqlalchemy import update

from custom_ai.errors import ArchiveTooLarge, BadInput, Conflict, NotFound, UploadIncomplete
from custom_ai.pipeline import uploads
from custom_ai.pipeline.importing import request_import
from custom_ai.services import Services
from custom_ai.state.tables import Upload, now
from support import services_in
from zips import make_zip, picture


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    made = services_in(tmp_path, upload_max_bytes=100_000)
    yield made
    made.database.dispose()


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    return make_zip(tmp_path / "a.zip", [(f"{n}.jpg", picture(n)) for n in range(5)]).read_bytes()


def reading(content: bytes) -> Callable[[int], bytes]:
    return io.BytesIO(content).read


def put(services: Services, upload_id: int, offset: int, content: bytes, **values: Any) -> int:
    there = uploads.write(services, upload_id, by="ann", offset=offset, read=reading(content), **values)["offset"]
    assert isinstance(there, int)
    return there


def test_pieces_may_come_twice_and_be_cut_short(services: Services, archive: bytes) -> None:
    upload = uploads.begin(services, by="ann", name="C:\\photos\\a.zip", size=len(archive))["id"]
    assert put(services, upload, 0, archive[:1000]) == 1000
    assert put(services, upload, 0, archive[:1000]) == 1000  # the answer got lost, so it was sent again
    assert put(services, upload, 1000, archive[1000:1300]) == 1300  # the line broke in the middle of a piece
    assert put(services, upload, 1000, archive[1000:2000]) == 2000
    with pytest.raises(UploadIncomplete, match="2000 of"):
        put(services, upload, 2001, b"x")
    with pytest.raises(UploadIncomplete):
        uploads.complete(services, upload, by="ann")
    assert put(services, upload, 2000, archive[2000:]) == len(archive)
    done = uploads.complete(services, upload, by="ann", sha256=hashlib.sha256(archive).hexdigest().upper())
    assert (done["complete"], done["files"], done["name"]) == (True, 5, "a.zip")
    assert uploads.path_of(services.settings, upload).read_bytes() == archive
    assert uploads.complete(services, upload, by="ann")["complete"]  # asked again
    with pytest.raises(Conflict, match="complete already"):
        put(services, upload, 0, b"x")


def test_damage_on_the_way_is_noticed(services: Services, archive: bytes) -> None:
    upload = uploads.begin(services, by="ann", name="a.zip", size=len(archive))["id"]
    put(services, upload, 0, archive[:500])
    right = hashlib.sha256(archive[500:900]).digest()
    with pytest.raises(BadInput, match="damaged on its way"):
        put(services, upload, 500, bytes(400), sha256=right)
    assert uploads.show(services, upload, by="ann")["offset"] == 500
    assert put(services, upload, 500, archive[500:900], sha256=right) == 900
    with pytest.raises(BadInput, match="longer than the announced size"):
        put(services, upload, 900, bytes(len(archive)))
    put(services, upload, 900, archive[900:])
    with pytest.raises(BadInput, match="another checksum"):
        uploads.complete(services, upload, by="ann", sha256="0" * 64)


def test_what_is_refused_at_the_start(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArchiveTooLarge, match="100001 bytes is not taken, at most 100000"):
        uploads.begin(services, by="ann", name="a.zip", size=100_001)
    with pytest.raises(BadInput):
        uploads.begin(services, by="ann", name="a.zip", size=0)
    for _ in range(uploads.UNFINISHED_AT_ONCE):
        last = uploads.begin(services, by="ann", name="a.zip", size=10)["id"]
    with pytest.raises(Conflict, match="too many uploads"):
        uploads.begin(services, by="ann", name="a.zip", size=10)
    uploads.begin(services, by="bob", name="a.zip", size=10)
    uploads.discard(services, last, by="ann")
    assert not uploads.path_of(services.settings, last).exists()
    uploads.begin(services, by="ann", name="a.zip", size=10)
    monkeypatch.setattr(uploads, "RESERVE_BYTES", 2**60)
    with pytest.raises(Conflict, match="too full"):
        uploads.begin(services, by="carl", name="a.zip", size=10)


def test_what_is_no_archive_can_be_removed(services: Services) -> None:
    upload = uploads.begin(services, by="ann", name="a.zip", size=5)["id"]
    put(services, upload, 0, b"hello")
    with pytest.raises(BadInput, match="not a ZIP file"):
        uploads.complete(services, upload, by="ann")
    for call in (uploads.show, uploads.complete, uploads.discard):
        with pytest.raises(NotFound):
            call(services, upload, by="bob")
    with pytest.raises(Conflict, match="not complete yet"):
        request_import(services, by="ann", upload_id=upload, title="abc", classes=[("a", "")])
    uploads.discard(services, upload, by="ann")
    with pytest.raises(NotFound):
        uploads.show(services, upload, by="ann")


def test_old_uploads_are_swept_away_and_used_ones_stay(services: Services, archive: bytes) -> None:
    ids = {}
    for name in ("old", "young", "used"):
        ids[name] = uploads.begin(services, by="ann", name="a.zip", size=len(archive))["id"]
        put(services, ids[name], 0, archive)
    uploads.complete(services, ids["used"], by="ann")
    request_import(services, by="ann", upload_id=ids["used"], title="Still queued", classes=[("a", "")])
    stray = uploads.path_of(services.settings, 999)
    stray.write_bytes(b"left by a crash")
    long_ago = now() - timedelta(days=2)
    with services.database.write() as session:
        session.execute(update(Upload).where(Upload.id.in_([ids["old"], ids["used"]])).values(touched_at=long_ago))
    for path in (stray, uploads.path_of(services.settings, ids["old"])):
        os.utime(path, (long_ago.timestamp(), long_ago.timestamp()))
    uploads.sweep(services)
    left = {int(path.stem) for path in stray.parent.glob("*.zip")}
    assert left == {ids["young"], ids["used"]}
    with pytest.raises(NotFound):
        uploads.show(services, ids["old"], by="ann")
    with pytest.raises(Conflict, match="being imported"):
        uploads.discard(services, ids["used"], by="ann")


# The routes


def test_the_whole_way_by_rest(world: World, client: FlaskClient, archive: bytes) -> None:
    token = client.get("/api/me").json["csrf_token"]
    head = {"X-CSRFToken": token}
    made = client.post("/api/uploads", json={"name": "a.zip", "size": len(archive)}, headers=head)
    assert made.status_code == 201
    where = f"/api/uploads/{made.json['id']}"
    digest = base64.b64encode(hashlib.sha256(archive).digest()).decode()
    refused = client.put(f"{where}/content?offset=0", data=archive)
    assert (refused.status_code, refused.json["error"]["code"]) == (400, "csrf")
    for bad in ("md5=:AAAA:", "sha-256=:AAAA:", "sha-256=:äöü:"):
        answer = client.put(f"{where}/content?offset=0", data=archive, headers=head | {"Content-Digest": bad})
        assert answer.status_code == 400, bad
    assert client.put(f"{where}/content", data=archive, headers=head).status_code == 400
    piece = client.put(
        f"{where}/content?offset=0", data=archive, headers=head | {"Content-Digest": f"sha-256=:{digest}:"}
    )
    assert piece.json["offset"] == len(archive)
    early = client.put(f"{where}/content?offset={len(archive) + 1}", data=b"x", headers=head)
    assert (early.status_code, early.json["error"]["code"]) == (409, "upload_incomplete")
    assert client.post(f"{where}/complete", json={}, headers=head).json["files"] == 5

    body = {"upload": made.json["id"], "title": "New", "classes": ["a", {"name": "b", "colour": "#00ff00"}]}
    for bad_body in ({"upload": "1"}, body | {"classes": [1]}, body | {"title": 3}, body | {"kind": "circle"}):
        assert client.post("/api/imports", json=bad_body, headers=head).status_code == 400, bad_body
    started = client.post("/api/imports", json=body, headers=head)
    assert started.status_code == 201 and started.json["classes"][1] == {"name": "b", "colour": "#00ff00"}
    number = started.json["id"]
    assert world.bell.rung == [("import_archive", (number, 1))]
    assert [one["id"] for one in client.get("/api/imports").json["imports"]] == [number]

    world.house.visitor = Visitor(2, "bob@example.com")  # sees neither before there is a project
    for path in (where, f"/api/imports/{number}", f"/api/imports/{number}/left-out"):
        assert client.get(path).status_code == 404
    assert client.get("/api/imports").json == {"imports": []}
    world.house.visitor = Visitor(1, "ann@example.com")
    assert client.post(f"/api/imports/{number}/again", headers=head).status_code == 409
    assert client.post(f"/api/imports/{number}/cancel", headers=head).json["status"] == "cancelled"
    assert client.post(f"/api/imports/{number}/again", headers=head).json["status"] == "queued"
    assert world.bell.rung[-1] == ("import_archive", (number, 2))
    client.post(f"/api/imports/{number}/cancel", headers=head)
    assert client.delete(where, headers=head).status_code == 204
    assert client.get(f"/api/imports/{number}").json["can_go_on"] is False


def test_a_size_that_is_no_number(client: FlaskClient) -> None:
    head = {"X-CSRFToken": client.get("/api/me").json["csrf_token"]}
    for size in (None, "10", 1.5, True, -1, 5_000_000_000):
        answer = client.post("/api/uploads", json={"name": "a.zip", "size": size}, headers=head)
        assert answer.status_code in (400, 413), size
        assert "error" in answer.json
