from __future__ import annotations

from pathlib import Path

import pytest

from custom_ai.errors import ModelError
from custom_ai.store import FileStore, file_sha256


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "files")
    source = tmp_path / "model.onnx"
    source.write_bytes(b"weights")
    sha256 = store.put(source)
    assert sha256 == file_sha256(source) == store.put_bytes(b"weights")
    assert store.path(sha256).read_bytes() == b"weights"
    assert [file for file in (tmp_path / "files").rglob("*") if file.name.startswith(".part")] == []


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    sha256 = store.put_bytes(b"weights")
    store.path(sha256).write_bytes(b"other weights")
    with pytest.raises(ModelError, match="was changed"):
        store.path(sha256)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_only_hashes_are_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="not a sha256"):
        FileStore(tmp_path).path(name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"000000000000.*not in the model store"):
        FileStore(tmp_path).path("0" * 64)
