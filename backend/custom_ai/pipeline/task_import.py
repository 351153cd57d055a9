"""Tasks that a program imports together with their predictions: it waits for the answer and has the result.

The images are fetched and predicted first, then tasks and predictions go to Label Studio in one call: no task is
ever there without its prediction. Each task carries a mark in its ``meta``, because Label Studio's import is not
repeatable and its answer may get lost; who asks again with the same key finds what has arrived.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sqlalchemy import delete, func, select

from custom_ai.errors import N_, BadInput, Conflict, CustomAIError, ImageError, NotFound
from custom_ai.images import decode_upright
from custom_ai.labelstudio.config import Control
from custom_ai.labelstudio.images import fetch_image
from custom_ai.labelstudio.new_tasks import marked, upload_files, with_mark
from custom_ai.labelstudio.results import backend_result
from custom_ai.labelstudio.uploading import file_name
from custom_ai.pipeline.hidden_imports import Imported, note_imported
from custom_ai.pipeline.look import control_of, request_look
from custom_ai.pipeline.pictures import above, fetch_many, load_model, lowest, threshold_of
from custom_ai.pipeline.versions import in_force
from custom_ai.pipeline.vote import champion
from custom_ai.plugins import FACES
from custom_ai.services import Services
from custom_ai.state.journal import reason_of, record
from custom_ai.state.tables import Candidate, Project, Task, TaskImport, now
from custom_ai.types import ImageSize

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 100
"""Tasks in one request: seconds on two cores, while the program waits."""
KEEP = timedelta(days=1)
"""How long an answer is remembered under its key."""
BUSY = timedelta(minutes=2)
"""A request of the same key that began longer ago is taken for dead."""
KEY_CHARS = 100
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class File:
    """An image that came with the request."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class _Ready:
    """What predicting needs, read once."""

    model: Candidate
    control: Control
    version: str
    threshold: float | None
    hides: bool
    """Whether faces are hidden before Label Studio gets an image."""


def import_tasks(
    services: Services, project_id: int, tasks: Sequence[Any], files: Sequence[File], *, by: str, key: str = ""
) -> dict[str, Any]:
    """New tasks with predictions: ``tasks`` in Label Studio's format (`data`, `meta`), or uploaded images.

    Answers {"version", "tasks": [{"task", "prediction", "error"}]} in the order of the request; an image that
    cannot be had leaves its task without a prediction, an uploaded file that is no image refuses all. The same
    ``key`` with the same content answers the same within a day, and imports nothing twice. Raises NotFound,
    BadInput, ImageError, Conflict (no model; the key is in use), and the errors of Label Studio.
    """
    with services.database.read() as session:
        project = session.get(Project, project_id)
        if project is None or project.gone_at is not None:
            raise NotFound(what=N_("project"), id=project_id)
        best = champion(session, project_id)
        if best is None:
            raise Conflict(why=N_("no model serves this project yet; train and choose one first"))
        force = in_force(session, best)
    control = control_of(project)
    threshold = threshold_of(services, control, force.threshold, project.threshold)
    ready = _Ready(best, control, force.version, threshold, project.deidentify != "off")
    wanted = _checked(tasks, files, control)
    began = _begin(services, project_id, key, _digest(tasks, files))
    if began.answer is not None:
        return began.answer
    try:
        answer = _carry_out(services, ready, wanted, files, began)
    except CustomAIError:
        _release(services, began)
        raise
    with services.database.write() as session:
        if began.id is not None:
            session.get_one(TaskImport, began.id).answer = answer
        record(session, by, "tasks.import", project_id, project.title, tasks=len(wanted), model=ready.version)
    request_look(services, project_id)
    return answer


def _carry_out(
    services: Services, ready: _Ready, wanted: list[dict[str, Any]], files: Sequence[File], began: TaskImport
) -> dict[str, Any]:
    studio, project_id = services.label_studio, began.project_id
    arrived = marked(studio, project_id, began.before, began.mark) if began.attempts else {}
    hidden, refused = _hide(services, ready, wanted, files) if ready.hides else ({}, {})
    files = [replace(one, content=hidden[number][0]) for number, one in enumerate(files)] if hidden else files
    found = _predict(services, ready, wanted, files, {number: one[0] for number, one in hidden.items()})
    for number, why in refused.items():  # fail closed: no such task is made
        found[number] = {"prediction": None, "error": why}
    missing = [number for number in range(len(wanted)) if number not in arrived and number not in refused]
    copies = [number for number in missing if number in hidden] if not files else []
    if copies:
        new = [(_name(File(hidden[number][2], hidden[number][0])), hidden[number][0]) for number in copies]
        for number, address in zip(copies, upload_files(studio, project_id, new), strict=True):
            old = ready.control.image_uri(wanted[number]["data"])
            data = wanted[number]["data"]
            wanted[number]["data"] = {key: address if value == old else value for key, value in data.items()}
    if missing and files:
        new = [(_name(files[number]), files[number].content) for number in missing]
        for number, address in zip(missing, upload_files(studio, project_id, new), strict=True):
            wanted[number]["data"] = {ready.control.image_key: address}
    bodies = []
    for number in missing:
        prediction = found[number]["prediction"]
        meta = with_mark(wanted[number]["meta"], began.mark, number)
        bodies.append({"data": wanted[number]["data"], "meta": meta, "predictions": [prediction] if prediction else []})
    if bodies:
        studio.import_tasks(project_id, bodies)
        arrived = marked(studio, project_id, began.before, began.mark)
    if hidden:
        with services.database.write() as session:
            for number, (_, one, _) in hidden.items():
                uri = ready.control.image_uri(wanted[number]["data"])
                if number in arrived and number in missing:
                    note_imported(session, project_id, arrived[number], one, uri)
    rows = [{"task": arrived.get(number), **one} for number, one in enumerate(found)]
    return {"version": ready.version, "tasks": rows}


def _predict(
    services: Services,
    ready: _Ready,
    wanted: list[dict[str, Any]],
    files: Sequence[File],
    hidden: Mapping[int, bytes],
) -> list[dict[str, Any]]:
    """{"prediction", "error"} for each task. Raises ImageError for an uploaded file that is no image."""
    import numpy as np

    images: Iterable[tuple[int, Image | CustomAIError]]
    most = services.settings.image_max_pixels
    if hidden and not files:
        images = (
            (number, decode_upright(hidden[number], f"tasks[{number}]", most))
            if number in hidden
            else (number, CustomAIError())
            for number in range(len(wanted))
        )
    elif files:
        images = ((number, decode_upright(one.content, one.name, most)) for number, one in enumerate(files))
    else:
        uris = [(number, ready.control.image_uri(one["data"])) for number, one in enumerate(wanted)]
        images = fetch_many(services, uris)
    model = load_model(services, ready.model)
    found: list[dict[str, Any]] = []
    coming = iter(images)
    while some := list(islice(coming, _AT_ONCE)):
        good = [image for _, image in some if not isinstance(image, CustomAIError)]
        shapes = iter(model.predict([np.asarray(one) for one in good], lowest(ready.model, ready.threshold)))
        for _, image in some:
            if isinstance(image, CustomAIError):
                found.append({"prediction": None, "error": reason_of(image)})
                continue
            kept = above(ready.model, next(shapes), ready.threshold)
            size = ImageSize(image.width, image.height)
            found.append({"prediction": backend_result(kept, size, ready.control, ready.version), "error": None})
    return found


_Hidden = tuple[bytes, Imported, str]
"""The changed file, what the record says of it, and a name for it."""


def _hide(
    services: Services, ready: _Ready, wanted: list[dict[str, Any]], files: Sequence[File]
) -> tuple[dict[int, _Hidden], dict[int, dict[str, object]]]:
    """The images in which faces are hidden, and why others could not be; an uploaded file that cannot raises."""
    hide = services.hider(FACES)
    done: dict[int, _Hidden] = {}
    refused: dict[int, dict[str, object]] = {}
    uris = [(number, ready.control.image_uri(one["data"])) for number, one in enumerate(wanted)]
    for number, (_, uri) in enumerate(uris):
        name = files[number].name if files else (urlsplit(uri).path.rpartition("/")[2] or "image.jpg")
        try:
            before = (
                files[number].content
                if files
                else fetch_image(services.label_studio.session, services.settings, 0, uri)
            )
            hidden = hide(before, name)
        except ImageError as error:
            if files:
                raise
            refused[number] = reason_of(error)
            continue
        one = Imported(
            sha256_before=hashlib.sha256(before).hexdigest(),
            sha256_after=hidden.sha256,
            width=hidden.width,
            height=hidden.height,
            areas=hidden.areas,
            doubtful=hidden.doubtful,
            original="never" if files else "outside",
            uri_original="" if files else uri,
        )
        done[number] = (hidden.data, one, name)
    return done, refused


def _checked(tasks: Sequence[Any], files: Sequence[File], control: Control) -> list[dict[str, Any]]:
    """The tasks with `data` and `meta` each. Raises BadInput naming the first that cannot be used."""
    if bool(tasks) == bool(files):
        raise BadInput(
            what=N_("the request"), why=N_("send a JSON list of tasks, or image files as multipart form data")
        )
    if max(len(tasks), len(files)) > MOST:
        raise BadInput(what=f"{max(len(tasks), len(files))}", why=N_("at most 100 tasks are taken in one request"))
    for one in files:
        if not one.name.lower().endswith(EXTENSIONS):
            raise BadInput(
                what=one.name[:100],
                why=N_("expected a file name that ends in .jpg, .png, .webp, .bmp or .gif"),
            )
    checked: list[dict[str, Any]] = [{"data": {}, "meta": {}} for _ in files]
    for number, task in enumerate(tasks):
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise BadInput(what=f"tasks[{number}]", why=N_('expected {"data": {...}} as Label Studio takes it'))
        unknown = sorted(set(task) - {"data", "meta"})
        if unknown:
            raise BadInput(what=f"tasks[{number}].{unknown[0]}", why=N_("only data and meta can be given here"))
        if not isinstance(task.get("meta") or {}, dict):
            raise BadInput(what=f"tasks[{number}].meta", why=N_("expected a JSON object"))
        if not control.image_uri(task["data"]):
            raise BadInput(what=f"tasks[{number}].data", why=N_("the image is missing that the labelling config names"))
        checked.append({"data": task["data"], "meta": task.get("meta") or {}})
    return checked


def _name(file: File) -> str:
    extension = file.name[file.name.rindex(".") :].lower() if "." in file.name else ".jpg"
    return file_name(file.name, hashlib.sha256(file.content).hexdigest(), extension)


def _digest(tasks: Sequence[Any], files: Sequence[File]) -> str:
    parts = [json.dumps(list(tasks), sort_keys=True).encode()]
    parts += [hashlib.sha256(one.name.encode() + b"\0" + one.content).digest() for one in files]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _begin(services: Services, project_id: int, key: str, sha256: str) -> TaskImport:
    """The row of this request: a new one, or that of its key, which is ours from now on. Raises BadInput, Conflict.

    Without a key it is not stored, and has no id.
    """
    if len(key) > KEY_CHARS:
        raise BadInput(what="Idempotency-Key", why=N_("it has more than 100 characters"))
    with services.database.write() as session:
        session.execute(delete(TaskImport).where(TaskImport.created_at < now() - KEEP))
        before = session.scalar(select(func.max(Task.task_id)).where(Task.project_id == project_id)) or 0
        row = session.scalar(select(TaskImport).where(TaskImport.project_id == project_id, TaskImport.key == key))
        if row is None or not key:
            row = TaskImport(
                project_id=project_id, key=key, sha256=sha256, mark=secrets.token_hex(8), before=before, attempts=0
            )
            if key:
                session.add(row)
            return row
        if row.sha256 != sha256:
            raise Conflict(why=N_("this Idempotency-Key was used for another request"))
        if row.answer is None:
            if row.begun_at > now() - BUSY:
                raise Conflict(why=N_("a request with this Idempotency-Key is being worked on; ask again in a moment"))
            row.begun_at = now()
            row.attempts += 1
        return row


def _release(services: Services, began: TaskImport) -> None:
    """It ended with an error: who asks again need not wait."""
    if began.id is None:
        return
    with services.database.write() as session:
        session.get_one(TaskImport, began.id).begun_at = now() - BUSY
