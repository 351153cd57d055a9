"""A de-identified copy takes the place of one task's image in Label Studio.

A process may be killed between any two steps. Before something changes in Label Studio, the row of the image says what
is about to change, and whoever comes next goes on from the row and from what the task points to: the task always points
to a file that is there, and the old file goes only when Label Studio says that the task points to the new one.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from custom_ai.errors import N_, Conflict, ImageError
from custom_ai.labelstudio import replacing
from custom_ai.labelstudio.config import Control
from custom_ai.labelstudio.images import fetch_image, shown
from custom_ai.pipeline.originals import erase, forget_copies, is_hidden, read_original, vault_of
from custom_ai.pipeline.pulse import Pulse
from custom_ai.plugins import SMALL_PX, UNSURE, Hidden, Hider
from custom_ai.services import Services
from custom_ai.state.deid_tables import DeidentifiedImage, DeidentifyJob
from custom_ai.state.tables import Task, now

log = logging.getLogger(__name__)
_EXTENSIONS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
}
NO_EXTENSION = N_("Label Studio takes no uploads of this kind")
NOT_STORED = N_("Label Studio has not stored the changed image as it was sent; it is tried again next time")
NOT_SET = N_("Label Studio did not take the changed image for the task")
SIZE = N_("the changed image has another size")
STILL_THERE = N_(
    "the task shows the changed image, but Label Studio still hands out the original: delete the uploaded file there"
)


class Swap:
    """Swaps the images of one job's tasks, one by one."""

    def __init__(self, services: Services, job: DeidentifyJob, control: Control, hider: Hider, pulse: Pulse) -> None:
        self._services, self._job, self._control = services, job, control
        self._hider, self._pulse = hider, pulse
        self._studio = services.label_studio
        self._uploads: dict[str, int] | None = None

    def task(self, task_id: int) -> None:
        """All of it. Raises LabelStudioMissing when the task is gone, ImageError when it stays as it is."""
        raw = self._studio.task(self._job.project_id, task_id)
        uri = self._control.image_uri(raw["data"])
        row = self._row(task_id)
        if row is not None and row.state == "swapping" and uri == row.uri_new != "":
            self._finish(row)
            row = self._row(task_id)
        if is_hidden(row, uri) and row is not None and row.wanted is None:
            return
        again = row is not None and row.wanted is not None and row.uri == uri
        half = row is not None and row.state == "swapping" and row.uri_old == uri and row.uri_new != ""
        if row is not None and half and self._arrived(row):  # uploaded, but the task does not point to it yet
            self._set(row, raw["data"])
            return
        if row is not None and row.mark:
            self._remove_lost(row, uri)
        self._begin(task_id, uri, raw["data"], row if again else None)

    def _begin(self, task_id: int, uri: str, data: dict[str, Any], redo: DeidentifiedImage | None) -> None:
        job, services = self._job, self._services
        content, hidden, areas = self._hide(task_id, uri, redo)
        name = shown(uri)
        if redo is not None and (redo.width, redo.height) != (hidden.width, hidden.height):
            raise ImageError(image=name, why=SIZE)
        before = hashlib.sha256(content).hexdigest()
        values: dict[str, Any] = {
            "state": "swapping",
            "uri_old": uri,
            "upload_old": self._number_of(task_id, uri),
            "uri_new": "",
            "upload_new": None,
            "mark": secrets.token_hex(6),
            "sha256_after": hidden.sha256,
            "width": hidden.width,
            "height": hidden.height,
            "areas": areas,
            "doubtful": hidden.doubtful,
        }
        if redo is None:
            if job.originals == "vault":
                vault_of(services.settings).put(job.project_id, before, content)
            values |= {"uri": "", "uri_original": uri, "sha256_before": before, "kept": job.originals == "vault"}
            values |= {"original": "", "path": "", "approved_by": None, "approved_at": None, "wanted": None}
        extension = _extension(hidden.data, name)
        self._write(task_id, values)
        number, address = replacing.upload_copy(
            self._studio, job.project_id, f"hidden-{values['mark']}{extension}", hidden.data
        )
        self._pulse.check()
        self._write(task_id, {"uri_new": address, "upload_new": number})
        row = self._row(task_id)
        assert row is not None
        if not self._arrived(row):
            raise ImageError(image=name, why=NOT_STORED)
        self._set(row, data)

    def _hide(
        self, task_id: int, uri: str, redo: DeidentifiedImage | None
    ) -> tuple[bytes, Hidden, list[dict[str, Any]]]:
        """The image that it was made from, what came of it, and the areas with where they are from."""
        services = self._services
        name = shown(uri)
        if redo is None or not redo.kept:
            content = fetch_image(services.label_studio.session, services.settings, task_id, uri)
        else:
            content = read_original(services, redo, by=self._job.requested_by, why="review")
        if redo is None:
            hidden = self._hider(content, name)
            areas = [{"area": [*area], "source": "found", "removed": False} for area in hidden.areas]
            return content, hidden, areas
        wanted = redo.wanted or []
        left = [one for one in wanted if not one["removed"]]
        if not redo.kept:  # what is hidden in the copy is hidden for ever
            old = [one["area"] for one in redo.areas]
            left = [one for one in left if one["area"] not in old]
        hidden = self._hider.again(
            content,
            name,
            [_area(one) for one in left if one["source"] == "found"],
            [_area(one) for one in left if one["source"] == "drawn"],
        )
        return content, Hidden(hidden.data, _shown(wanted), hidden.width, hidden.height, hidden.sha256), wanted

    def _number_of(self, task_id: int, uri: str) -> int | None:
        """Label Studio's number of the uploaded file at an address; None: it is none, or nobody knows."""
        name = replacing.uploaded_file(self._studio.session, self._services.settings, uri)
        if name is None:
            return None
        number = replacing.upload_of(self._studio, task_id)
        return number if number is not None else replacing.own_uploads(self._studio, self._job.project_id).get(name)

    def _arrived(self, row: DeidentifiedImage) -> bool:
        """Whether Label Studio hands out the new copy as it was made."""
        services = self._services
        try:
            there = fetch_image(services.label_studio.session, services.settings, row.task_id, row.uri_new)
        except ImageError:
            return False
        return hashlib.sha256(there).hexdigest() == row.sha256_after

    def _set(self, row: DeidentifiedImage, data: dict[str, Any]) -> None:
        assert row.upload_new is not None
        self._pulse.check()
        # Under whatever key the address stands, so that no other field shows the original.
        changed = {key: row.uri_new if value == row.uri_old else value for key, value in data.items()}
        replacing.set_data(self._studio, row.task_id, changed, row.upload_new)
        raw = self._studio.task(self._job.project_id, row.task_id)
        if self._control.image_uri(raw["data"]) != row.uri_new:
            raise ImageError(image=shown(row.uri_old), why=NOT_SET)
        self._finish(row)

    def _finish(self, row: DeidentifiedImage) -> None:
        """The task shows the copy: make what it showed before unreachable, then say that it is done."""
        services = self._services
        fetched = fetch_image(services.label_studio.session, services.settings, row.task_id, row.uri_new)
        fate, path = self._retire(row)
        forget_copies(services, row.project_id, row.task_id, fetched)
        first = row.uri == ""
        values: dict[str, Any] = {
            "state": "done",
            "uri": row.uri_new,
            "uri_old": "",
            "upload_old": None,
            "mark": "",
            "done_at": now(),
        }
        if first:
            values |= {"original": fate, "path": path}
        elif row.areas == row.wanted:
            values["wanted"] = None
        with services.database.write() as session:
            self._pulse.guard(session)
            session.execute(update(DeidentifiedImage).where(*_is(row)).values(values))
            session.execute(
                update(Task)
                .where(Task.project_id == row.project_id, Task.task_id == row.task_id)
                .values(image=row.uri_new)
            )
            if first and fate in ("erased", "on_disk"):  # others may have waited for this one
                session.execute(
                    update(DeidentifiedImage)
                    .where(
                        DeidentifiedImage.project_id == row.project_id,
                        DeidentifiedImage.uri_original == row.uri_original,
                        DeidentifiedImage.original == "shared",
                    )
                    .values(original=fate, path=path)
                )

    def _retire(self, row: DeidentifiedImage) -> tuple[str, str]:
        """What became of the file at ``uri_old``, and where it still lies."""
        name = replacing.uploaded_file(self._studio.session, self._services.settings, row.uri_old)
        if name is None:
            return ("replaced" if row.uri_old[:5].lower() == "data:" else "outside"), ""
        if self._others(row):
            return "shared", ""
        if row.upload_old is not None:
            replacing.delete_uploads(self._studio, row.project_id, [row.upload_old])
        if replacing.is_served(self._studio.session, name):
            raise Conflict(why=STILL_THERE)
        return ("erased", "") if erase(self._services.settings, name) else ("on_disk", name)

    def _others(self, row: DeidentifiedImage) -> set[int]:
        """Other tasks that point to ``uri_old``, as far as Label Studio or our mirror know."""
        users = replacing.users_of(self._studio, row.project_id, self._control.image_key, row.uri_old)
        with self._services.database.read() as session:
            ours = session.scalars(
                select(Task.task_id).where(Task.project_id == row.project_id, Task.image == row.uri_old)
            ).all()
        return {*users, *ours} - {row.task_id}

    def _remove_lost(self, row: DeidentifiedImage, uri: str) -> None:
        """What an earlier attempt has uploaded, and the task does not point to."""
        lost = {
            name: number
            for name, number in replacing.own_uploads(self._studio, row.project_id).items()
            if f"hidden-{row.mark}" in name and f"/data/{name}" != uri
        }
        replacing.delete_uploads(self._studio, row.project_id, [*lost.values()])
        for name in lost:
            erase(self._services.settings, name)

    def _row(self, task_id: int) -> DeidentifiedImage | None:
        with self._services.database.read() as session:
            return session.get(DeidentifiedImage, (self._job.project_id, task_id))

    def _write(self, task_id: int, values: dict[str, Any]) -> None:
        with self._services.database.write() as session:
            self._pulse.guard(session)
            row = session.get(DeidentifiedImage, (self._job.project_id, task_id))
            if row is None:
                row = DeidentifiedImage(project_id=self._job.project_id, task_id=task_id)
                session.add(row)
            for name, value in values.items():
                setattr(row, name, value)


def _is(row: DeidentifiedImage) -> tuple[Any, ...]:
    return DeidentifiedImage.project_id == row.project_id, DeidentifiedImage.task_id == row.task_id


def _area(one: dict[str, Any]) -> tuple[float, float, float, float, float]:
    x1, y1, x2, y2, score = one["area"]
    return float(x1), float(y1), float(x2), float(y2), float(score)


def _shown(areas: Sequence[dict[str, Any]]) -> list[tuple[float, float, float, float, float]]:
    return [_area(one) for one in areas if not one["removed"]]


def doubtful(areas: Sequence[dict[str, Any]]) -> bool:
    """Whether others may have been missed beside these (see ``plugins.Hidden``)."""
    found = [_area(one) for one in areas if one["source"] == "found" and not one["removed"]]
    return any(score < UNSURE or max(x2 - x1, y2 - y1) < SMALL_PX for x1, y1, x2, y2, score in found)


def _extension(data: bytes, name: str) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    for head, extension in _EXTENSIONS.items():
        if data.startswith(head):
            return extension
    raise ImageError(image=name, why=NO_EXTENSION)
