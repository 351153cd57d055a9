"""A real face, found, hidden, and not found again; and runs over many files that may be killed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from custom_ai.cli import main
from custom_ai.errors import ImageError, ModelError
from custom_ai_deid import deidentify as module
from custom_ai_deid.areas import Area, iou
from custom_ai_deid.deidentify import Deidentifier, Options
from custom_ai_deid.faces import Looking
from custom_ai_deid.journal import JOURNAL, REPORT, TABLE, Line
from custom_ai_deid.retinaface_network import RetinaFace
from custom_ai_deid.run import deidentify_into

ASTRONAUT = Path(__file__).parents[1] / "data" / "astronaut.jpg"
FACE = Area(83, 61, 173, 176)


@pytest.fixture(scope="module")
def deidentifier() -> Deidentifier:
    return Deidentifier(Options())


def photo() -> Image.Image:
    return Image.open(io.BytesIO(ASTRONAUT.read_bytes()))


def turned(orientation: int) -> bytes:
    """The same photo as a camera held sideways writes it."""
    back = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    image = photo()
    way = back[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    (image if way is None else image.transpose(way)).save(buffer, "JPEG", quality=92, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_face_is_hidden_whichever_way_the_camera_was_held(deidentifier: Deidentifier, orientation: int) -> None:
    done = deidentifier.process(turned(orientation), "photo.jpg")
    (found,) = done.areas
    assert iou(found, FACE) > 0.6
    assert (done.width, done.height) == photo().size == Image.open(io.BytesIO(done.data)).size
    again = deidentifier.process(done.data, "photo.jpg")
    assert again.areas == ()
    before, after = (np.asarray(Image.open(io.BytesIO(one))) for one in (ASTRONAUT.read_bytes(), done.data))
    assert np.abs(after[200:].astype(int) - before[200:]).mean() < 4  # below the chin


def test_an_image_without_faces_keeps_its_pixels(deidentifier: Deidentifier) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((64, 96, 3), 200, np.uint8)).save(buffer, "JPEG", comment=b"by Ann")
    done = deidentifier.process(buffer.getvalue(), "wall.jpg")
    assert not done.rewritten
    assert b"Ann" not in done.data
    assert done.sha256_before != done.sha256_after


def test_people_have_the_last_word(deidentifier: Deidentifier) -> None:
    corner = Area(0, 0, 40, 40, source="drawn")
    done = deidentifier.process(ASTRONAUT.read_bytes(), "photo.jpg", drawn=[corner])
    assert done.areas == (corner,)
    assert deidentifier.process(ASTRONAUT.read_bytes(), "photo.jpg", drawn=[]).areas == ()


def test_turned_faces_are_found_where_nobody_knows_which_side_is_up() -> None:
    image = photo().resize((640, 512)).transpose(Image.Transpose.ROTATE_90)
    pixels = np.asarray(image)
    upside = Deidentifier(Options(looking=Looking()))._finder.find(pixels)
    expected = Area(61 * 2, (320 - 173) * 2, 176 * 2, (320 - 83) * 2)
    assert max(iou(area, expected) for area in upside) > 0.5


def test_nothing_is_handed_out_that_is_not_sure(deidentifier: Deidentifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.files, "metadata_left", lambda data: ["EXIF tag 34853"])
    with pytest.raises(ImageError, match=r"photo.jpg \(EXIF tag 34853\) cannot be used: metadata could not be removed"):
        deidentifier.process(ASTRONAUT.read_bytes(), "photo.jpg")


def test_a_network_that_finds_no_faces_is_refused(tmp_path: Path) -> None:
    from fake_trainer import one_box_model

    (tmp_path / "other.onnx").write_bytes(one_box_model(2))
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    for name in ("other.onnx", "broken.onnx", "missing.onnx"):
        with pytest.raises(ModelError, match=name):
            RetinaFace(tmp_path / name)


def sources(folder: Path, count: int = 3) -> list[str]:
    folder.mkdir()
    for number in range(count):
        pixels = np.asarray(photo()) // (number % 5 + 1)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return [f"{number}.png" for number in range(count)]


def test_what_cannot_be_done_is_not_written_and_said(tmp_path: Path, deidentifier: Deidentifier) -> None:
    names = sources(tmp_path / "in", 2)
    (tmp_path / "in" / "1.png").write_bytes(b"no image")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.png").write_bytes(b"of an earlier run")
    files = [(name, (tmp_path / "in" / name).read_bytes) for name in [*names, "gone.png"]]
    lines = deidentify_into(files, tmp_path / "out", deidentifier)
    assert [bool(line.sha256_after) for line in lines] == [True, False, False]
    assert "not an image that can be decoded" in lines[1].reason
    assert not (tmp_path / "out" / "1.png").exists()
    report = json.loads((tmp_path / "out" / REPORT).read_text())
    assert report["summary"] | {"faces_by_size_px": None} == {
        "images": 3, "failed": 2, "with_faces": 1, "faces": 1, "faces_by_size_px": None, "doubtful_images": 0,
        "pixels_unchanged": 0,
    }  # fmt: skip
    assert report["settings"]["looking"]["min_score"] == 0.3
    assert len((tmp_path / "out" / TABLE).read_text("utf-8-sig").splitlines()) == 4


def test_what_was_done_is_not_done_again_and_what_was_changed_is(tmp_path: Path) -> None:
    class Counting(Deidentifier):
        seen: list[str]

        def process(self, data, name, drawn=None):  # type: ignore[no-untyped-def]
            self.seen.append(name)
            return super().process(data, name, drawn)

    names = sources(tmp_path / "in")
    files = [(name, (tmp_path / "in" / name).read_bytes) for name in names]
    counting = Counting(Options())

    def run() -> set[str]:
        counting.seen = []
        deidentify_into(files, tmp_path / "out", counting)
        return set(counting.seen)

    assert run() == {*names}
    assert run() == set()
    (tmp_path / "out" / "0.png").write_bytes(b"somebody has changed it")
    (tmp_path / "in" / "1.png").write_bytes(ASTRONAUT.read_bytes())
    assert run() == {"0.png", "1.png"}
    with (tmp_path / "out" / JOURNAL).open("a") as file:
        file.write('{"name": "2.png", "sha256')  # a kill in the middle of a line
    assert run() == set()
    counting.options = Options(margin=1.6)
    assert run() == {*names}


def test_killed_at_any_moment(tmp_path: Path, deidentifier: Deidentifier) -> None:
    names = sources(tmp_path / "in", 12)
    command = [sys.executable, "-m", "custom_ai", "deidentify", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        had = len([*(tmp_path / "out").glob("*.png")])
        while len([*(tmp_path / "out").glob("*.png")]) < min(had + 2, 12) and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for path in (tmp_path / "out").glob("[0-9]*.png"):  # whole, and without the face
            assert deidentifier.process(path.read_bytes(), path.name).areas == ()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").glob("[0-9]*.png")) == sorted(names)
    lines = [Line(**one | {"areas": ()}) for one in _images(tmp_path / "out")]
    assert all(line.sha256_after for line in lines)


def _images(out: Path) -> list[dict[str, object]]:
    images = json.loads((out / REPORT).read_text())["images"]
    return [{key: value for key, value in one.items() if key != "doubtful"} for one in images]


def test_an_archive_whose_names_climb_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in ("../../up.jpg", "a/b.jpg", "/etc/root.jpg", "note.txt", "__MACOSX/._b.jpg"):
            archive.writestr(name, ASTRONAUT.read_bytes() if name.endswith("jpg") else "hello")
    monkeypatch.setattr(
        sys, "argv", ["custom-ai", "deidentify", str(tmp_path / "photos.zip"), "--out", str(tmp_path / "out" / "here")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1  # the note is no image
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.jpg")}
    assert written == {"here/up.jpg", "here/a/b.jpg", "here/etc/root.jpg"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing-here", "--out", "o"], "there is no such folder or file"),
        (["src", "--out", "o", "--style", "glitter"], "there are: mosaic, blur, solid"),
        (["src", "--out", "src"], "the originals would be lost"),
        (["src", "--out", "o"], "there are no images in it"),
    ],
)
def test_bad_input(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["custom-ai", "deidentify", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert message in " ".join(capsys.readouterr().err.split())
