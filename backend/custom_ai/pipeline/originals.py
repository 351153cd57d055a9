"""What becomes of original images when a de-identified copy takes their place: vault, disk, and our own copies."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from custom_ai.errors import N_, SettingsError
from custom_ai.images import decode_upright
from custom_ai.pipeline.pictures import MAX_SIDE
from custom_ai.services import Services
from custom_ai.settings import Settings
from custom_ai.state.deid_tables import DeidentifiedImage
from custom_ai.state.journal import record
from custom_ai.state.tables import Selection, SelectionImage, Task
from custom_ai.vault import Vault

log = logging.getLogger(__name__)
_SOME = 500


def vault_of(settings: Settings) -> Vault:
    """Raises SettingsError when there is no key."""
    key = settings.vault_key.get_secret_value()
    if not key:
        raise SettingsError(
            name="vault_key",
            why=N_("originals can be kept only with a key; `custom-ai vault-key` makes one"),
        )
    return Vault(settings.state_dir / "vault", key)


def read_original(services: Services, row: DeidentifiedImage, *, by: str, why: str) -> bytes:
    """An original from the vault; who reads it is noted first. Raises ImageError, SettingsError."""
    vault = vault_of(services.settings)
    with services.database.write() as session:
        record(session, by, "vault.read", row.project_id, f"task {row.task_id}", sha256=row.sha256_before, why=why)
    return vault.get(row.project_id, row.sha256_before, f"task {row.task_id}")


def is_hidden(row: DeidentifiedImage | None, uri: str) -> bool:
    """Whether a task with this image address shows a de-identified copy, by our own record."""
    return row is not None and row.state == "done" and row.uri == uri and row.uri != ""


def hidden_among(session: Session, project_id: int, tasks: Iterable[int]) -> set[int]:
    """Those of the tasks that show a de-identified copy, by our mirror and our record."""
    wanted = sorted(set(tasks))
    found: set[int] = set()
    for start in range(0, len(wanted), _SOME):
        found.update(
            session.scalars(
                select(Task.task_id)
                .join(
                    DeidentifiedImage,
                    (DeidentifiedImage.project_id == Task.project_id) & (DeidentifiedImage.task_id == Task.task_id),
                )
                .where(
                    Task.project_id == project_id,
                    Task.task_id.in_(wanted[start : start + _SOME]),
                    DeidentifiedImage.state == "done",
                    DeidentifiedImage.uri == Task.image,
                )
            )
        )
    return found


def current_images(services: Services, project_id: int) -> dict[int, str]:
    """The addresses of the de-identified copies, by task: labels that were frozen before still name the originals."""
    with services.database.read() as session:
        rows = session.execute(
            select(DeidentifiedImage.task_id, DeidentifiedImage.uri)
            .join(Task, (Task.project_id == DeidentifiedImage.project_id) & (Task.task_id == DeidentifiedImage.task_id))
            .where(DeidentifiedImage.project_id == project_id, DeidentifiedImage.uri == Task.image)
        )
        return {row[0]: row[1] for row in rows}


def erase(settings: Settings, name: str) -> bool:
    """Remove an uploaded file (upload/4/a.jpg) from Label Studio's disk; False when its folder cannot be reached.

    Never anything outside of the folder, also not by symbolic links. A file that is not there any more is erased.
    """
    if settings.label_studio_media_dir is None:
        return False
    root = settings.label_studio_media_dir.resolve()
    path = Path(root, name)
    if not (root / "upload").is_dir() or not path.parent.resolve().is_relative_to(root / "upload"):
        log.error("%s is not below %s: not erased", name, root)
        return False
    try:
        path.unlink(missing_ok=True)  # of a link the link itself, never what it leads to
    except OSError as error:
        log.error("%s could not be erased: %s", path, error)
        return False
    return True


def forget_copies(services: Services, project_id: int, task_id: int, content: bytes) -> None:
    """Our own copies of a task's image go, or are made of ``content`` anew: caches, and what people vote on."""
    for path in (services.settings.state_dir / "cache" / f"project-{project_id}").glob(f"{task_id}-*"):
        path.unlink(missing_ok=True)
    with services.database.read() as session:
        rows = session.execute(
            select(SelectionImage.id, SelectionImage.sha256)
            .join(Selection, Selection.id == SelectionImage.selection_id)
            .where(Selection.project_id == project_id, SelectionImage.task_id == task_id)
        ).all()
    if not rows:
        return
    small = decode_upright(content, f"task {task_id}", services.settings.image_max_pixels)
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=90)
    new = services.store.put_bytes(buffer.getvalue())
    mine = [id for id, _ in rows]
    for old in {sha256 for _, sha256 in rows} - {new}:
        # Before the rows change: who is killed in between finds the old name there, and comes here again.
        with services.database.read() as session:
            others = select(func.count()).where(SelectionImage.sha256 == old, SelectionImage.id.not_in(mine))
            needed = session.scalar(others)
        if not needed:
            services.store.remove(old)
    with services.database.write() as session:
        session.execute(update(SelectionImage).where(SelectionImage.id.in_(mine)).values(sha256=new))
