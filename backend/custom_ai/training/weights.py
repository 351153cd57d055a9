"""Finds the base weights that a recipe names. The only network access of training happens here.

A weights file is a pickle. It is opened by ultralytics alone, and comes only from places that the
administrator chose: the file or the folder in the settings, or the project's release page, which can be
switched off.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path

import httpx

from custom_ai.errors import N_, SettingsError
from custom_ai.settings import Settings
from custom_ai.training.contract import BaseWeights
from custom_ai.training.recipes import CUSTOM_WEIGHTS

RELEASES = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
"""Where ultralytics publishes its weights."""
KNOWN = ("yolov5nu.pt", "yolov8n.pt", "yolo11n.pt", "yolo26n.pt")
"""The weights that recipes ask for."""
SHA256: dict[str, str] = {}
"""Hashes of published files, where we know them; a download with another hash is thrown away."""
RETRY_S = 3600.0
"""After a failed download the next attempt waits so long: four candidates must not wait four times."""
MAX_BYTES = 200_000_000
MIN_BYTES = 100_000
"""A smaller answer is an error page, not a network."""


def weights_folder(settings: Settings) -> Path:
    return settings.weights_dir or settings.state_dir / "weights"


def find_weights(name: str, settings: Settings, releases: str = RELEASES) -> BaseWeights | None:
    """The file for the weights that a recipe calls ``name``, or None: then the start is random.

    Looks at settings.base_weights, then into the weights folder, then downloads within
    settings.download_timeout_s. Raises SettingsError when settings.base_weights does not exist.
    """
    if settings.base_weights is not None:
        path = settings.base_weights.expanduser()
        if not path.is_file():
            raise SettingsError(name="base_weights", why=f"{path} is not a file")
        return BaseWeights(path, f"{path.name} from the settings, sha256 {_sha256(path)[:12]}")
    if not name or name == CUSTOM_WEIGHTS:
        return None
    path = weights_folder(settings) / name
    if path.is_file():
        return BaseWeights(path, f"{name} from the weights folder, sha256 {_sha256(path)[:12]}")
    if settings.download_weights and _download(f"{releases}/{name}", path, settings.download_timeout_s):
        return BaseWeights(path, f"{name} from {releases}, sha256 {_sha256(path)[:12]}")
    return None


def describe_available(settings: Settings) -> str:
    """One line for the administrator. Does not use the network. Raises as find_weights does."""
    offline = settings.model_copy(update={"download_weights": False})
    found = [weights for name in KNOWN if (weights := find_weights(name, offline)) is not None]
    if found:
        return "; ".join(dict.fromkeys(weights.origin for weights in found))
    if settings.download_weights:
        return N_("none on disk yet; they will be downloaded when training starts, if that is possible")
    return N_("none; training starts from random weights")


def _download(url: str, path: Path, timeout_s: float) -> bool:
    """Whether ``path`` now holds the file; complete or not at all. A failure is remembered for an hour."""
    failed = path.with_suffix(".unreachable")
    if failed.exists() and time.time() - failed.stat().st_mtime < RETRY_S:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            done = _fetch(url, file.fileno(), timeout_s, SHA256.get(path.name))
        if done:
            Path(temporary).replace(path)
            failed.unlink(missing_ok=True)
            return True
        failed.touch()
        return False
    finally:
        Path(temporary).unlink(missing_ok=True)


def _fetch(url: str, file: int, timeout_s: float, sha256: str | None) -> bool:
    """Copy the answer to a file descriptor; ``timeout_s`` bounds the whole, not just each read."""
    deadline_at = time.monotonic() + timeout_s
    digest, size = hashlib.sha256(), 0
    try:
        with httpx.stream("GET", url, timeout=min(timeout_s, 5.0), follow_redirects=True) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                size += len(chunk)
                if time.monotonic() > deadline_at or size > MAX_BYTES:
                    return False
                os.write(file, chunk)
                digest.update(chunk)
    except httpx.HTTPError:
        return False
    return size >= MIN_BYTES and (sha256 is None or digest.hexdigest() == sha256)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
