"""Archives that are sent in pieces: safe to repeat, to interrupt and to go on with, and never in memory as a whole."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from custom_ai.archive import Archive, Limits
from custom_ai.errors import N_, ArchiveTooLarge, BadInput, Conflict, NotFound, UploadIncomplete
from custom_ai.services import Services
from custom_ai.settings import Settings
from custom_ai.state.tables import ACTIVE, ImportJob, Upload, now
from custom_ai.store import file_sha256

log = logging.getLogger(__name__)
CHUNK_BYTES = 8_000_000
"""What a browser sends in one piece."""
UNFINISHED_AT_ONCE = 5
"""Of one person."""
RESERVE_BYTES = 500_000_000
"""Of the disk, left for the database and the models."""
_READ_BYTES = 256 * 1024

EMPTY = N_("the file is empty")
FULL = N_("the disk of this service is too full for it; ask its administrator, or try again later")
TOO_MANY = N_("too many uploads of yours wait to be used; use or remove them first, or come back tomorrow")
DAMAGED = N_("the piece was damaged on its way; send it again")


def limits_of(settings: Settings) -> Limits:
    """What an archive may bring."""
    return Limits(
        images=settings.import_max_images,
        image_bytes=settings.image_max_bytes,
        image_pixels=settings.image_max_pixels,
        ratio=settings.import_max_ratio,
        unpacked_bytes=settings.import_max_unpacked_bytes,
    )


def path_of(settings: Settings, upload_id: int) -> Path:
    """The file with what has arrived of an upload."""
    return settings.state_dir / "uploads" / f"{upload_id}.zip"


def begin(services: Services, *, by: str, name: str, size: int) -> dict[str, Any]:
    """Announce an archive of ``size`` bytes. Raises BadInput, Conflict."""
    if not 0 < size <= services.settings.upload_max_bytes:
        if size <= 0:
            raise BadInput(what=f"size = {size}", why=EMPTY)
        raise ArchiveTooLarge(size=size, limit=services.settings.upload_max_bytes)
    folder = path_of(services.settings, 0).parent
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < size + RESERVE_BYTES:
        raise Conflict(why=FULL)
    with services.database.write() as session:
        waiting = session.scalar(
            select(func.count())
            .select_from(Upload)
            .outerjoin(ImportJob, ImportJob.upload_id == Upload.id)
            .where(Upload.owner == by, ImportJob.id.is_(None))
        )
        if (waiting or 0) >= UNFINISHED_AT_ONCE:
            raise Conflict(why=TOO_MANY)
        upload = Upload(owner=by, name=Path(name.replace("\\", "/")).name[:200] or "archive.zip", size=size)
        session.add(upload)
        session.flush()
        path_of(services.settings, upload.id).write_bytes(b"")
        return _shown(services, upload)


def show(services: Services, upload_id: int, *, by: str) -> dict[str, Any]:
    """How much has arrived. Raises NotFound, also for somebody else's."""
    with services.database.read() as session:
        return _shown(services, _own(session, upload_id, by))


def write(
    services: Services,
    upload_id: int,
    *,
    by: str,
    offset: int,
    read: Callable[[int], bytes],
    sha256: bytes | None = None,
) -> dict[str, Any]:
    """Put a piece in its place; the same piece may be sent again. ``read(n)`` gives its next bytes, b"" at its end.

    Raises Conflict when something before it is missing or the upload is complete, BadInput when it is longer than
    what was announced or its ``sha256`` is another one (then it does not count as arrived).
    """
    with services.database.write() as session:
        upload = _own(session, upload_id, by)
        if upload.complete:
            raise Conflict(why=N_("this upload is complete already"))
        upload.touched_at = now()
    digest = hashlib.sha256()
    path = path_of(services.settings, upload_id)
    handle = _opened(path)
    try:
        there = os.fstat(handle).st_size
        if not 0 <= offset <= there:
            raise UploadIncomplete(there=there, size=upload.size)
        at = offset
        while piece := read(_READ_BYTES):
            if at + len(piece) > upload.size:
                raise BadInput(what=N_("the piece"), why=N_("it is longer than the announced size"))
            digest.update(piece)
            at += _put(handle, piece, at)
        if sha256 is not None and not hmac.compare_digest(digest.digest(), sha256):
            if os.fstat(handle).st_size == at:
                os.ftruncate(handle, min(offset, there))
            raise BadInput(what=N_("the piece"), why=DAMAGED)
    finally:
        os.close(handle)
    return show(services, upload_id, by=by)


def complete(services: Services, upload_id: int, *, by: str, sha256: str | None = None) -> dict[str, Any]:
    """All has arrived: check it (``sha256`` in hex, of the whole file) and look into it. May be repeated.

    Raises Conflict when something is missing, BadInput when it is another file than was sent, or no ZIP.
    """
    with services.database.read() as session:
        upload = _own(session, upload_id, by)
    if not upload.complete:
        path = path_of(services.settings, upload_id)
        there = _size(path)
        if there != upload.size:
            raise UploadIncomplete(there=there, size=upload.size)
        if sha256 is not None and not hmac.compare_digest(file_sha256(path), sha256.lower()):
            why = N_("what has arrived has another checksum; remove this upload and begin again")
            raise BadInput(what=f"sha256 = {sha256!r}", why=why)
        with Archive(path, limits_of(services.settings)) as archive:
            files = len(archive)
        with services.database.write() as session:
            session.execute(
                update(Upload).where(Upload.id == upload_id).values(complete=True, files=files, touched_at=now())
            )
    return show(services, upload_id, by=by)


def discard(services: Services, upload_id: int, *, by: str) -> None:
    """Remove an upload. Raises NotFound; Conflict while its images are being imported."""
    with services.database.write() as session:
        upload = _own(session, upload_id, by)
        job = session.scalar(select(ImportJob.status).where(ImportJob.upload_id == upload_id))
        if job in ACTIVE:
            raise Conflict(why=N_("its images are being imported"))
        session.delete(upload)
    path_of(services.settings, upload_id).unlink(missing_ok=True)


def sweep(services: Services) -> None:
    """Remove what nobody has gone on with for ``upload_keep_s``, and files without a row."""
    settings = services.settings
    limit = now() - timedelta(seconds=settings.upload_keep_s)
    with services.database.write() as session:
        old = session.scalars(
            select(Upload)
            .outerjoin(ImportJob, ImportJob.upload_id == Upload.id)
            .where(Upload.touched_at < limit, ImportJob.id.is_(None) | ImportJob.status.not_in(ACTIVE))
        ).all()
        for upload in old:
            session.delete(upload)
        session.flush()
        kept = set(session.scalars(select(Upload.id)))
    for path in path_of(settings, 0).parent.glob("*.zip"):
        if path.stem.isdigit() and int(path.stem) not in kept and path.stat().st_mtime < limit.timestamp():
            path.unlink(missing_ok=True)
            log.info("upload %s removed", path.stem)


def _own(session: Session, upload_id: int, by: str) -> Upload:
    upload = session.get(Upload, upload_id)
    if upload is None or upload.owner != by:
        raise NotFound(what=N_("upload"), id=upload_id)
    return upload


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError as error:
        raise Conflict(why=N_("the file of this upload is gone; begin again")) from error


def _put(handle: int, piece: bytes, at: int) -> int:
    try:
        written = 0
        while written < len(piece):
            written += os.pwrite(handle, piece[written:], at + written)
        return written
    except OSError as error:
        log.warning("an upload cannot be written: %s", error)
        raise Conflict(why=FULL) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _shown(services: Services, upload: Upload) -> dict[str, Any]:
    there = _size(path_of(services.settings, upload.id))
    return {
        "id": upload.id,
        "name": upload.name,
        "size": upload.size,
        "offset": min(there, upload.size),
        "complete": upload.complete,
        "files": upload.files,
        "chunk_bytes": CHUNK_BYTES,
        "expires_at": (upload.touched_at + timedelta(seconds=services.settings.upload_keep_s)).isoformat(),
    }
