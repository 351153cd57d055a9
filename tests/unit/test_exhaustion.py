"""Memory and disk that really run out: limits of the operating system, in processes of their own."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from custom_ai import exhaustion
from custom_ai.errors import DiskFull, TrainingError

DISK = """
import resource, sqlite3, sys
from pathlib import Path
import onnx, torch
from onnx import TensorProto, helper
from custom_ai import exhaustion
from custom_ai.errors import DiskFull
from custom_ai.store import FileStore

folder = Path(sys.argv[1])
source = folder / "source"
source.write_bytes(bytes(3_000_000))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
store = FileStore(folder / "store")
big = helper.make_tensor("w", TensorProto.FLOAT, [700_000], bytes(2_800_000), raw=True)
graph = helper.make_model(helper.make_graph([], "g", [], [], [big]))
database = sqlite3.connect(folder / "x.db", isolation_level=None)
database.execute("create table t (b blob)")
database.execute("pragma max_page_count = 50")  # SQLite calls a limit on files an I/O error
tries = {
    "torch": lambda: torch.save(torch.zeros(1_000_000), folder / "w.pt"),
    "onnx": lambda: onnx.save(graph, folder / "m.onnx"),
    "put": lambda: store.put(source),
    "put_bytes": lambda: store.put_bytes(bytes(2_000_000)),
    "sqlite": lambda: database.execute("insert into t values (?)", (bytes(2_000_000),)),
}
for name, act in tries.items():
    try:
        act()
    except Exception as error:
        assert isinstance(exhaustion.explain(error, folder), DiskFull), repr(error)
    else:
        raise AssertionError(name + " went through")
assert [one for one in (folder / "store").rglob("*") if one.is_file()] == []
print("all told")
"""

MEMORY = """
import resource
import cv2, numpy, torch
from custom_ai import exhaustion
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 200_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
def opencv():
    cv2.copyMakeBorder(numpy.zeros((9, 9, 3), numpy.uint8), 0, 20_000, 0, 20_000, cv2.BORDER_CONSTANT)
for act in (lambda: torch.zeros(200_000_000), lambda: numpy.ones(200_000_000), lambda: bytes(900_000_000), opencv):
    try:
        act()
    except Exception as error:
        assert exhaustion.memory(error), repr(error)
        assert not exhaustion.disk(error), repr(error)
    else:
        raise AssertionError("it went through")
print("all told")
"""


@pytest.mark.parametrize("code", [DISK, MEMORY], ids=["disk", "memory"])
def test_every_library_is_understood(code: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "all told", done.stderr[-2000:]


def test_causes_are_looked_at_and_others_left_alone(tmp_path: Path) -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as cause:
            raise RuntimeError("could not save") from cause
    except RuntimeError as error:
        found = exhaustion.explain(error, tmp_path)
    assert isinstance(found, DiskFull)
    assert str(tmp_path) in str(found)
    assert "CUSTOM_AI_STATE_DIR" in str(found)
    assert exhaustion.explain(ValueError("shape mismatch"), tmp_path) is None
    assert exhaustion.explain(FileNotFoundError(errno.ENOENT, "no such file"), tmp_path) is None
    assert not exhaustion.memory(TrainingError(why="the class is called out of memory"))


def test_training_does_not_begin_without_room(tmp_path: Path) -> None:
    exhaustion.need_room(tmp_path, 1)
    with pytest.raises(DiskFull, match="no room left in"):
        exhaustion.need_room(tmp_path, 2**60)
