"""Images, fetched through Label Studio and kept upright, and the models that look at them.

Every image is decoded once, turned upright by its EXIF orientation, and written without metadata:
training, predicting and Label Studio's percentages then share one frame.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import statistics
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from custom_ai import dataset
from custom_ai.errors import CustomAIError, ImageError
from custom_ai.images import decode_upright
from custom_ai.labelstudio.config import Control
from custom_ai.labelstudio.images import fetch_image, shown
from custom_ai.pipeline.pulse import Pulse
from custom_ai.services import Services
from custom_ai.state.tables import Candidate
from custom_ai.training.contract import TrainImage
from custom_ai.types import Box, ImageSize

if TYPE_CHECKING:
    from PIL.Image import Image

    from custom_ai.serving.engine import Model

log = logging.getLogger(__name__)
_DOWNLOADS = 4
"""Images fetched at the same time: enough to hide the network, few enough for a small Label Studio."""
MAX_SIDE = 1600
"""Training and voting images are kept at most this wide and high; boxes are fractions, so they stay ..."""
TINY_PX = 32
"""... but training images twice, or four times, as large where the objects of a class would be smaller than this."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Download:
    """The image file of a task, or what is wrong with it."""

    task_id: int
    name: str
    """Its address, as people may see it."""
    content: bytes | CustomAIError


def fetch(services: Services, task_id: int, uri: str) -> Image:
    """One image, upright, RGB. Raises ImageError, or LabelStudioUnreachable when asking again may help."""
    content = fetch_image(services.label_studio.session, services.settings, task_id, uri)
    return decode_upright(content, shown(uri), services.settings.image_max_pixels)


def fetch_many(
    services: Services, tasks: Iterable[tuple[int, str]], check: Callable[[], None] = lambda: None
) -> Generator[tuple[int, Image | CustomAIError]]:
    """(task id, image or what is wrong with it), in order; a few are fetched ahead.

    ``check`` is called twice a second while we wait; what it raises ends the waiting at once.
    """

    def one(task: tuple[int, str]) -> tuple[int, Image | CustomAIError]:
        try:
            return task[0], fetch(services, *task)
        except ImageError as error:
            return task[0], error

    return _ahead(one, tasks, check)


def download_many(
    services: Services, tasks: Iterable[tuple[int, str]], check: Callable[[], None] = lambda: None
) -> Generator[Download]:
    """The same without decoding, for those who decode where they need it."""

    def one(task: tuple[int, str]) -> Download:
        task_id, uri = task
        try:
            return Download(task_id, shown(uri), fetch_image(services.label_studio.session, services.settings, *task))
        except ImageError as error:
            return Download(task_id, shown(uri), error)

    return _ahead(one, tasks, check)


def _ahead(
    work: Callable[[tuple[int, str]], T], tasks: Iterable[tuple[int, str]], check: Callable[[], None]
) -> Generator[T]:
    """``work`` done in a few threads, its results in order. ``tasks`` is iterated in the caller's thread."""

    def result(future: Future[T]) -> T:
        while True:
            check()
            with suppress(FutureTimeout):
                return future.result(timeout=0.5)

    coming: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="fetch")
    try:
        for task in tasks:
            coming.append(pool.submit(work, task))
            if len(coming) > 2 * _DOWNLOADS:  # images are large: never hold all of them
                yield result(coming.popleft())
        while coming:
            yield result(coming.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # who cancels does not wait for a server that hangs


def training_images(
    services: Services, project_id: int, snapshot: dataset.Snapshot, pulse: Pulse
) -> tuple[list[TrainImage], list[tuple[int, CustomAIError]]]:
    """The snapshot's images on disk, and those that could not be used with the reason."""
    images: list[TrainImage] = []
    left_out: list[tuple[int, CustomAIError]] = []
    items = {example.task_id: example for example in snapshot.examples}
    side = _side_for(snapshot)
    cached = {one: _cache_path(services, project_id, one, items[one].image, side) for one in items}
    missing = [(one, items[one].image) for one, path in cached.items() if not _readable(path)]
    for task_id, image in fetch_many(services, missing, pulse.check):
        pulse.check()
        if isinstance(image, CustomAIError):
            left_out.append((task_id, image))
        else:
            _save(image, cached[task_id], side)
    for task_id, path in cached.items():
        if path.exists():
            images.append(TrainImage(task_id, path, _size(path), items[task_id].boxes))
    return _with_groups(images), left_out


def _with_groups(images: Sequence[TrainImage]) -> list[TrainImage]:
    """The same images, near-duplicates marked by the task id of the first of them."""
    from PIL import Image

    from custom_ai.duplicates import fingerprint, groups

    prints = []
    for one in images:
        with Image.open(one.path) as image:
            prints.append(fingerprint(image))
    found = groups(prints)
    return [
        replace(image, group=images[first].task_id) if found.count(first) > 1 else image
        for image, first in zip(images, found, strict=True)
    ]


def load_model(services: Services, candidate: Candidate) -> Model:
    """The candidate's exported model, verified by hash and kept loaded. Raises ModelError."""
    assert candidate.onnx_sha256 is not None
    return services.models.get(candidate.onnx_sha256)


def lowest(candidate: Candidate, threshold: float | None = None) -> float:
    """The score below which no box of this candidate is of interest."""
    if threshold is not None:
        return threshold
    return min((float(one) for one in (candidate.thresholds or {}).values()), default=0.25)


def threshold_of(services: Services, control: Control, *asked: float | None) -> float | None:
    """Which threshold holds: the first that was asked for, else the labelling config's, else the settings', or None:
    the model's own."""
    for threshold in (*asked, control.score_threshold, services.settings.score_threshold):
        if threshold is not None:
            return threshold
    return None


def above(candidate: Candidate, boxes: Iterable[Box], threshold: float | None = None) -> tuple[Box, ...]:
    """The boxes that reach ``threshold``, or, when it is None, the candidate's threshold of their class."""
    limits = candidate.thresholds or {}
    return tuple(
        box for box in boxes if (box.score or 0.0) >= (limits.get(box.label, 0.25) if threshold is None else threshold)
    )


def cached_image(services: Services, project_id: int, task_id: int, uri: str) -> bytes:
    """The JPEG that training saw (or would see). Raises ImageError, LabelStudioUnreachable."""
    path = _cache_path(services, project_id, task_id, uri)
    if not path.exists():
        _save(fetch(services, task_id, uri), path)
    return path.read_bytes()


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height of a stored JPEG."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return image.size


def _side_for(snapshot: dataset.Snapshot) -> int:
    """How large images must be kept for the smallest class of the snapshot (its objects' median side)."""
    sides: dict[str, list[float]] = {}
    for example in snapshot.examples:
        for box in example.boxes:
            # Of images whose sizes are not known yet: at least so large is the share of the longer side.
            sides.setdefault(box.label, []).append(((box.x2 - box.x1) * (box.y2 - box.y1)) ** 0.5)
    smallest = min((statistics.median(some) for some in sides.values()), default=1.0)
    return next((MAX_SIDE * times for times in (1, 2) if smallest * MAX_SIDE * times >= TINY_PX), 4 * MAX_SIDE)


def _cache_path(services: Services, project_id: int, task_id: int, uri: str, side: int = MAX_SIDE) -> Path:
    larger = "" if side == MAX_SIDE else f"-{side}"
    name = f"{task_id}-{hashlib.sha256(uri.encode()).hexdigest()[:16]}{larger}.jpg"
    return services.settings.state_dir / "cache" / f"project-{project_id}" / name


def _readable(path: Path) -> bool:
    """Whether a kept image is there and whole; one that is not is removed, so that it is fetched again."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.draft("RGB", (1, 1))  # reads the whole file, but at an eighth of its size
            image.load()
    except OSError:
        path.unlink(missing_ok=True)
        return False
    return True


def _save(image: Image, path: Path, side: int = MAX_SIDE) -> None:
    small = image.copy()
    small.thumbnail((side, side))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        small.save(part, "JPEG", quality=95)
        part.replace(path)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _size(path: Path) -> ImageSize:
    from PIL import Image

    with Image.open(path) as image:
        return ImageSize(*image.size)
