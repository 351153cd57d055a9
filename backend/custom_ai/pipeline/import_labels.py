"""Pictures of a folder or ZIP, with labels in COCO, YOLO or VOC, into a Label Studio project. Safe to repeat.

A task and its labels reach Label Studio in one request, and every picture carries a mark made of its content (see
``labelstudio.uploading``): who calls again after an interruption sends only what is missing.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from custom_ai.archive import Picture
from custom_ai.errors import N_, BadInput, ImageError, LabelStudioError
from custom_ai.formats import detect
from custom_ai.formats.common import DataSet, Format, LeftOut
from custom_ai.formats.source import Source
from custom_ai.labelstudio.config import Control, parse_label_config
from custom_ai.labelstudio.new_labels import annotation_body, with_classes
from custom_ai.labelstudio.new_tasks import upload_files
from custom_ai.labelstudio.results import backend_result, prediction
from custom_ai.labelstudio.uploading import BATCH_BYTES, BATCH_FILES, file_name, mark_of, marked_tasks, untouched
from custom_ai.pipeline.connect import chosen_kind
from custom_ai.pipeline.import_archive import OVER_THE_LIMIT, unchanged, without_faces
from custom_ai.pipeline.importing import checked_classes
from custom_ai.pipeline.look import look
from custom_ai.services import Services
from custom_ai.state.journal import record
from custom_ai.state.tables import Project
from custom_ai.types import Box, ImageSize, LabelKind

VERSION = "imported"
"""The model version of labels that come as predictions."""
TWICE = N_("the same picture is there under another name")
OTHER_SIZE = N_("its labels are for a picture of other proportions, so it comes without them")
UNKNOWN = N_(
    "the labelling config has no such classes; add them to it by --add-classes, or say by --rename old=new which "
    "of its classes they are"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a data set is to be imported."""

    by: str
    format: Format | None = None
    """None: whichever it has."""
    kind: LabelKind | None = None
    """None: that of the project."""
    as_predictions: bool = False
    add_classes: bool = False
    rename: Mapping[str, str] = field(default_factory=dict)
    """What classes of the data set are called in Label Studio."""
    classes: Sequence[str] = ()
    """By number, for YOLO labels that come without names."""
    deidentify: bool = False
    version: str = VERSION


@dataclass(slots=True)
class Imported:
    """What has come of it."""

    images: int = 0
    """New tasks."""
    completed: int = 0
    """Pictures that were there without labels and have got theirs now."""
    already: int = 0
    """Pictures that were there with all that we have for them."""
    shapes: int = 0
    added_classes: tuple[str, ...] = ()
    left_out: list[LeftOut] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


def import_labels(
    services: Services, project_id: int, source: Source, wanted: Wanted, told: Callable[[int, int], None] | None = None
) -> Imported:
    """Import what is not there yet; ``told`` hears how many pictures of how many were looked at.

    Labels of pictures that are there, and that nobody has worked on, are added. Raises BadInput for classes that the
    labelling config does not have, and for label files that cannot be read at all; LabelConfigError,
    LabelStudioMissing, LabelStudioUnreachable (call again then).
    """
    remote = services.label_studio.project(project_id)
    kind = wanted.kind or chosen_kind(services, project_id)
    config = parse_label_config(remote.label_config, project_id)
    control = config.control(kind)
    data = detect.read(source, control.kind, wanted.format, wanted.classes)
    names, unknown = _known_names(data, control, wanted.rename)
    if unknown and not wanted.add_classes:
        raise BadInput(what=", ".join(repr(one) for one in unknown), why=UNKNOWN)
    if unknown:
        checked_classes([(name, "") for name in unknown])
        xml = with_classes(config, remote.label_config, control, unknown)
        remote = services.label_studio.update_project(project_id, label_config=xml)
        control = parse_label_config(remote.label_config, project_id).control(kind)
    done = Imported(added_classes=tuple(unknown), left_out=list(data.left_out), notes=data.notes)
    _Import(services, project_id, control, wanted, names, done).run(source, data, told or (lambda one, all: None))
    details = {"images": done.images, "shapes": done.shapes, "as": "predictions" if wanted.as_predictions else "labels"}
    with services.database.write() as session:
        record(session, wanted.by, "labels.import", project_id, remote.title, **details)
        connected = (found := session.get(Project, project_id)) is not None and found.gone_at is None
    if connected and (done.images or done.completed or done.added_classes):
        look(services, project_id)  # Label Studio sends no webhook for annotations that are imported
    return done


def classes_of(source: Source, wanted: Wanted) -> list[str]:
    """The classes that shapes of a data set have, as they are to be called."""
    data = detect.read(source, wanted.kind or LabelKind.BOX, wanted.format, wanted.classes)
    return list(dict.fromkeys(wanted.rename.get(name, name) for name in _used(data) or data.classes if name))


def _used(data: DataSet) -> list[str]:
    used = {box.label for item in data.items for box in item.shapes or ()}
    return [name for name in dict.fromkeys((*data.classes, *sorted(used))) if name in used]


def _known_names(data: DataSet, control: Control, rename: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What each class that shapes have is called in Label Studio, and those names that it does not have."""
    there = {unicodedata.normalize("NFC", name): name for name in control.classes}
    wanted = {name: unicodedata.normalize("NFC", rename.get(name, name).strip()) for name in _used(data)}
    unknown = list(dict.fromkeys(name for name in wanted.values() if name not in there))
    return {name: there.get(called, called) for name, called in wanted.items()}, unknown


_Labels = tuple[Box, ...] | None


class _Import:
    """One call."""

    def __init__(
        self,
        services: Services,
        project_id: int,
        control: Control,
        wanted: Wanted,
        names: Mapping[str, str],
        done: Imported,
    ) -> None:
        self._services, self._project_id, self._control, self._wanted = services, project_id, control, wanted
        self._names, self._done = names, done
        self._batch: list[tuple[Picture, _Labels]] = []

    def run(self, source: Source, data: DataSet, told: Callable[[int, int], None]) -> None:
        prepare = without_faces(self._services) if self._wanted.deidentify else unchanged
        there = marked_tasks(self._services.label_studio, self._project_id)
        seen: set[str] = set()
        for number, item in enumerate(data.items):
            told(number, len(data.items))
            try:
                picture = source.picture(item.name)
                if picture.sha256 in seen:
                    raise ImageError(image=item.name, why=TWICE)
                if len(seen) >= self._services.settings.import_max_images:
                    raise ImageError(image=item.name, why=OVER_THE_LIMIT)
                labels = self._labels(item.shapes, item.size, picture)
                seen.add(picture.sha256)
                tasks = there.get(mark_of(picture.sha256))
                if tasks:
                    self._complete(tasks, picture, labels)
                    continue
                picture = replace(picture, data=prepare(picture)[0])
            except ImageError as error:
                self._done.left_out.append(LeftOut(item.name, str(error.params["why"])))
                continue
            heavy = sum(len(one.data) for one, _ in self._batch) + len(picture.data) > BATCH_BYTES
            if self._batch and (heavy or len(self._batch) >= BATCH_FILES):
                self._send_all()
            self._batch.append((picture, labels))
        self._send_all()
        told(len(data.items), len(data.items))

    def _labels(self, shapes: _Labels, size: ImageSize | None, picture: Picture) -> _Labels:
        if shapes is None:
            return None
        if size is not None and abs(size.width * picture.height / (size.height * picture.width) - 1) > 0.02:
            self._done.left_out.append(LeftOut(picture.name, OTHER_SIZE))
            return None
        return tuple(replace(box, label=self._names[box.label]) for box in shapes)

    def _complete(self, tasks: Sequence[Mapping[str, Any]], picture: Picture, labels: _Labels) -> None:
        """Give a picture that is there its labels, unless it has some."""
        studio, done = self._services.label_studio, self._done
        task = int(tasks[0]["id"])
        if labels is None:
            done.already += 1
            return
        if self._wanted.as_predictions:
            if task in studio.tasks_with_version(self._project_id, self._wanted.version, among=[task]):
                done.already += 1
                return
            row = prediction(task, labels, _size(picture), self._control, self._wanted.version)
            studio.push_predictions(self._project_id, [row])
        elif all(map(untouched, tasks)):
            studio.session.post(
                f"/api/tasks/{task}/annotations/", annotation_body(labels, _size(picture), self._control)
            )
        else:
            # Most likely by an earlier call of ours: what people have is never touched.
            done.already += 1
            return
        done.completed += 1
        done.shapes += len(labels)

    def _send_all(self) -> None:
        batch, self._batch = self._batch, []
        if batch:
            self._send(batch)

    def _send(self, batch: Sequence[tuple[Picture, _Labels]]) -> None:
        """Send pictures with their labels, in parts when Label Studio (or a proxy before it) refuses them together."""
        studio = self._services.label_studio
        try:
            files = [(file_name(one.name, one.sha256, one.extension), one.data) for one, _ in batch]
            addresses = upload_files(studio, self._project_id, files)
            bodies = [
                {"data": {self._control.image_key: address}, **self._body(picture, labels)}
                for address, (picture, labels) in zip(addresses, batch, strict=True)
            ]
            studio.import_tasks(self._project_id, bodies)
        except LabelStudioError as error:
            if error.params.get("http_status") not in (400, 413):
                raise
            if len(batch) == 1:
                self._done.left_out.append(LeftOut(batch[0][0].name, str(error.params.get("detail") or error)))
                return
            half = len(batch) // 2
            self._send(batch[:half])
            self._send(batch[half:])
            return
        self._done.images += len(batch)
        self._done.shapes += sum(len(labels or ()) for _, labels in batch)

    def _body(self, picture: Picture, labels: _Labels) -> dict[str, Any]:
        if labels is None:
            return {}
        if self._wanted.as_predictions:
            return {"predictions": [backend_result(labels, _size(picture), self._control, self._wanted.version)]}
        return {"annotations": [annotation_body(labels, _size(picture), self._control)]}


def _size(picture: Picture) -> ImageSize:
    return ImageSize(picture.width, picture.height)
