"""What people have labelled, as files in a format of others.

Label Studio's own export keeps one annotation per task in YOLO, turns rotated boxes upright and ignores how a photo
was held; so annotations are read and converted by us. Which annotation of a task counts is decided as for training.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from custom_ai.archive import picture_of
from custom_ai.errors import N_, BadInput, CustomAIError, ImageError
from custom_ai.formats.common import DataSet, Format, Item, LeftOut, stem_of
from custom_ai.formats.detect import files, needs_sizes, picture_folder
from custom_ai.images import decode_upright, is_turned
from custom_ai.labelstudio.annotations import labelled_task, predicted_shapes, told_size
from custom_ai.labelstudio.config import Control, parse_label_config
from custom_ai.pipeline.connect import chosen_kind
from custom_ai.pipeline.pictures import download_many
from custom_ai.pipeline.uploads import limits_of
from custom_ai.services import Services
from custom_ai.state.journal import record
from custom_ai.types import ImageSize, LabelKind

Sink = Callable[[str, bytes], None]
"""Takes a file: its path with "/" between folders, and its content."""

NAME_CHARS = 120
NO_TASKS = N_("there is nothing to export: nobody has submitted an annotation of this kind in it")
NOT_EMPTY = N_("there are files in it already; name a new folder")
PREDICTED, LEFT_OUT = "predicted.txt", "left-out.txt"
"""Files beside the labels: pictures whose labels are a model's, and those that are missing, with the reasons."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    images: int
    shapes: int
    predicted: int
    """Images with a model's labels."""
    left_out: tuple[LeftOut, ...]
    notes: Counter[str] = field(default_factory=Counter)
    """What was left out of annotations, by ``labelstudio.regions.Note``."""


def export_labels(
    services: Services,
    project_id: int,
    into: Sink,
    *,
    by: str,
    format: Format,
    kind: LabelKind | None = None,
    with_predictions: bool = False,
    images: bool = False,
    told: Callable[[], None] = lambda: None,
) -> Exported:
    """Write the labels of a Label Studio project, connected or not, and with ``images`` its pictures, too.

    ``kind``: None for that of the project. ``with_predictions``: tasks without an annotation come with the
    predictions that Label Studio shows. ``told`` is called after each picture. Raises BadInput when there is nothing
    to write, LabelConfigError, LabelStudioMissing, LabelStudioUnreachable.
    """
    if format is Format.IMAGES:
        raise BadInput(what=f"format = {format.value!r}", why=N_("expected coco, yolo or voc"))
    remote = services.label_studio.project(project_id)
    control = parse_label_config(remote.label_config, project_id).control(kind or chosen_kind(services, project_id))
    notes: Counter[str] = Counter()
    found = list(_items(services, project_id, control, remote.model_version if with_predictions else None, notes))
    if not found:
        raise BadInput(what=f"{N_('project')} {project_id}", why=NO_TASKS)
    sizes = needs_sizes(format, control.kind)
    left_out: list[LeftOut] = []
    items = {item.number: item for item, _ in found}
    wanted = [(item.number, uri) for item, uri in found if images or (sizes and item.size is None)]
    for one in download_many(services, wanted):
        told()
        item = items[one.task_id]
        try:
            if isinstance(one.content, CustomAIError):
                raise one.content
            picture = picture_of(one.name, one.content, limits_of(services.settings))
        except ImageError as error:
            del items[one.task_id]
            left_out.append(LeftOut(item.name, str(error.params["why"])))
            continue
        name = item.name if item.name.lower().endswith(_SUFFIXES) else f"{item.name}{picture.extension}"
        content = _upright(one.content, picture.extension, services.settings.image_max_pixels)
        items[one.task_id] = replace(item, name=name, size=ImageSize(picture.width, picture.height))
        if images:
            into(f"{picture_folder(format)}/{name}", content)
    data = DataSet(control.classes, tuple(items.values()), control.kind)
    for name, content in files(data, format):
        into(name, content)
    predicted = [item.name for item in data.items if item.predicted]
    if predicted:
        into(PREDICTED, "".join(f"{name}\n" for name in predicted).encode())
    if left_out:
        into(LEFT_OUT, "".join(f"{one.where}: {one.why}\n" for one in left_out).encode())
    shapes = sum(len(item.shapes or ()) for item in data.items)
    with services.database.write() as session:
        record(
            session, by, "labels.export", project_id, remote.title, format=format.value, images=len(data.items)
        )  # fmt: skip
    return Exported(len(data.items), shapes, len(predicted), tuple(left_out), notes)


_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp")


def _items(
    services: Services, project_id: int, control: Control, version: str | None, notes: Counter[str]
) -> Iterator[tuple[Item, str]]:
    """The tasks with labels, and the addresses of their images; ``version``: None without predictions."""
    taken: set[str] = set()
    for raw in services.label_studio.tasks(project_id):
        task = labelled_task(raw, control, notes)
        shapes, size = task.boxes, None
        if shapes is not None:
            chosen = [one for one in raw["annotations"] if one.get("id") == task.annotation_id]
            size = told_size(chosen[0]) if chosen else None
        elif version is not None:
            prediction = _shown(raw.get("predictions") or [], version)
            if prediction is not None:
                shapes, size = predicted_shapes(prediction, control), told_size(prediction)
        if shapes is not None and task.image:
            name = _name(task.image, task.task_id, taken)
            yield Item(name, size, shapes, task.task_id, predicted=task.boxes is None), task.image


def _shown(predictions: list[Any], version: str) -> Any | None:
    """The prediction that Label Studio shows; without a version in force the newest."""
    fitting = [one for one in predictions if not version or one.get("model_version") == version]
    return max(fitting, key=lambda one: int(one.get("id") or 0), default=None)


def _name(uri: str, task_id: int, taken: set[str]) -> str:
    """A file name for a task's image: its own, as far as files may be called so; two images differ in their stems."""
    parts = urlsplit("" if uri[:5].lower() == "data:" else uri)
    local = parse_qs(parts.query).get("d") if parts.path.startswith("/data/local-files") else None
    last = (local[0] if local else unquote(parts.path)).rpartition("/")[2]
    plain = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', "_", last).strip(". ")[-NAME_CHARS:] or f"task-{task_id}"
    stem, suffix = stem_of(plain), plain[len(stem_of(plain)) :]
    if stem.casefold() in taken:
        stem = f"{stem}-{task_id}"
    taken.add(stem.casefold())
    return stem + suffix


def _upright(content: bytes, extension: str, max_pixels: int) -> bytes:
    """The image; written anew when it has to be turned, because many programs do not turn and labels are upright."""
    if not is_turned(content):
        return content
    buffer = io.BytesIO()
    kinds = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP"}
    decode_upright(content, "", max_pixels).save(buffer, kinds[extension], quality=95)
    return buffer.getvalue()


@contextmanager
def folder_or_zip(path: Path) -> Iterator[Sink]:
    """Writes into a new folder, or into a ZIP when the name says so. Raises BadInput for a folder with files."""
    if path.suffix.lower() == ".zip":
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
                yield archive.writestr
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BadInput(what=f"--out {path}", why=NOT_EMPTY)

    def put(name: str, content: bytes) -> None:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    yield put
