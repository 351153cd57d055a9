"""Files by their content: models and the images of votes, each named by its sha256."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from custom_ai.errors import N_, ModelError

_PART = ".part-"


class FileStore:
    """A folder in which a file's name is the sha256 of its content, so that a name proves the content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, source: Path) -> str:
        """Copy a file in; returns its sha256 (hex). A file that is already there is kept."""
        sha256 = file_sha256(source)
        if not self._path(sha256).exists():
            with self._temporary(sha256) as name, source.open("rb") as read, Path(name).open("wb") as write:
                shutil.copyfileobj(read, write)
        return sha256

    def put_bytes(self, content: bytes) -> str:
        """Store bytes; returns their sha256 (hex)."""
        sha256 = hashlib.sha256(content).hexdigest()
        if not self._path(sha256).exists():
            with self._temporary(sha256) as name:
                Path(name).write_bytes(content)
        return sha256

    def path(self, sha256: str) -> Path:
        """The file with this hash, verified now.

        Raises ModelError when it is not here or was changed.
        """
        path = self._path(sha256)
        if not path.is_file():
            raise ModelError(model=sha256[:12], why=N_("its file is not in the model store"))
        if file_sha256(path) != sha256:
            raise ModelError(model=sha256[:12], why=N_("its file was changed after it was stored"))
        return path

    def remove(self, sha256: str) -> None:
        """Remove the file with this hash; harmless when it is not here. The caller knows that nobody needs it."""
        self._path(sha256).unlink(missing_ok=True)

    def sweep(self, older_than_s: float = 3600.0) -> None:
        """Remove the half-written files of processes that were killed."""
        for part in self.folder.glob(f"??/{_PART}*"):
            with suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > older_than_s:
                    part.unlink()

    def _path(self, sha256: str) -> Path:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise ModelError(model=sha256[:12], why=N_("this is not a sha256"))
        return self.folder / sha256[:2] / sha256

    def _temporary(self, sha256: str) -> _Rename:
        return _Rename(self._path(sha256))


class _Rename:
    """Write to a temporary name, then rename: whoever is killed leaves no half-written file."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.name = ""

    def __enter__(self) -> str:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        handle, self.name = tempfile.mkstemp(dir=self.target.parent, prefix=_PART)
        os.close(handle)
        return self.name

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            Path(self.name).replace(self.target)
        else:
            Path(self.name).unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
