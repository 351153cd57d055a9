"""Archives that anybody may send: what can be used is used, everything else gets its reason."""

from __future__ import annotations

import dataclasses
import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from custom_ai import archive as module
from custom_ai.archive import Archive, Limits
from custom_ai.archive_names import readable
from custom_ai.errors import BadInput, ImageError
from custom_ai.images import EMPTY, TOO_MANY_PIXELS, UNDECODABLE
from zips import make_zip, picture, with_raw_name, with_table_field

LIMITS = Limits(images=100, image_bytes=5_000_000, image_pixels=1_000_000, ratio=200, unpacked_bytes=50_000_000)


def looked_at(path: Path, limits: Limits = LIMITS) -> dict[str, str]:
    """What comes of each file: the extension of an image that can be used, or why not."""
    found = {}
    with Archive(path, limits) as archive:
        for entry in archive.entries():
            try:
                found[entry.name] = archive.read(entry).extension
            except ImageError as error:
                found[entry.name] = str(error.params["why"])
        assert len(archive) == len(found)
    return found


def entry_of(name: str, *, mode: int = 0, system: int = 3) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = system, mode << 16
    return info


def test_images_are_known_by_their_content(tmp_path: Path) -> None:
    members = [
        ("a.jpg", picture(1)),
        ("deep/er/b.JPEG", picture(2)),
        ("c", picture(3, "PNG")),
        ("d.txt", picture(4, "WEBP")),
        ("e.gif", picture(5, "GIF")),
        ("f.bmp", picture(6, "BMP")),
        ("labels/", b""),
        ("labels/a.txt", b"0 .5 .5 .1 .1"),
        ("notes.jpg", b"not an image at all"),
        ("scan.tif", picture(7, "TIFF")),
        ("empty.png", b""),
        ("broken.jpg", picture(8, size=(400, 300))[:900]),
        ("inside.zip", b"PK\x03\x04"),
    ]
    assert looked_at(make_zip(tmp_path / "a.zip", members)) == {
        "a.jpg": ".jpg",
        "deep/er/b.JPEG": ".jpg",
        "c": ".png",
        "d.txt": ".webp",
        "e.gif": ".gif",
        "f.bmp": ".bmp",
        "labels/a.txt": module.NO_IMAGE,
        "notes.jpg": module.NO_IMAGE,
        "scan.tif": module.OTHER_IMAGE,
        "empty.png": EMPTY,
        "broken.jpg": UNDECODABLE,
        "inside.zip": module.NESTED,
    }


def test_files_of_systems_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    members = [
        ("__MACOSX/._a.jpg", b"x"),
        (".DS_Store", b"x"),
        ("x/Thumbs.db", b"x"),
        (".hidden/b.jpg", picture()),
        (entry_of("link.jpg", mode=stat.S_IFLNK | 0o777), b"/etc/passwd"),
        (entry_of("pipe.jpg", mode=stat.S_IFIFO), b""),
        (entry_of("good.jpg", mode=stat.S_IFREG | 0o644), picture(1)),
        (entry_of("dos.jpg", mode=stat.S_IFLNK, system=0), picture(2)),  # these bits mean nothing on FAT
    ]
    assert looked_at(make_zip(tmp_path / "a.zip", members)) == {
        "__MACOSX/._a.jpg": module.SYSTEM_FILE,
        ".DS_Store": module.SYSTEM_FILE,
        "x/Thumbs.db": module.SYSTEM_FILE,
        ".hidden/b.jpg": module.SYSTEM_FILE,
        "link.jpg": module.LINK,
        "pipe.jpg": module.LINK,
        "good.jpg": ".jpg",
        "dos.jpg": ".jpg",
    }


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("../../etc/x.jpg", "x.jpg"),
        ("/etc/x.jpg", "etc/x.jpg"),
        ("C:/Users/ann/x.jpg", "Users/ann/x.jpg"),
        ("./a//b/x.jpg", "a/b/x.jpg"),
        ("a/..", "?"),
        ("", "?"),
        ("a\x00\x1b[31m\u202egpj.exe", "a__[31m_gpj.exe"),
        ("\u1109\u1161\u110c\u1175\u11ab.jpg", "사진.jpg"),  # as macOS writes it, letter by letter
        ("d/" + "x" * 400 + ".jpg", ("x" * 400 + ".jpg")[-300:]),
    ],
)
def test_names_are_made_readable_and_climb_nowhere(path: str, shown: str) -> None:
    assert readable(path) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("사진 1.jpg".encode("cp949"), "사진 1.jpg"),
        ("동물\\고양이.jpg".encode("cp949"), "동물/고양이.jpg"),
        ("사진.jpg".encode(), "사진.jpg"),  # UTF-8 without saying so
        ("été.jpg".encode("cp437"), "été.jpg"),
        ("Müller.jpg".encode("cp437"), "Müller.jpg"),
    ],
)
def test_names_in_the_encoding_of_an_old_system(tmp_path: Path, raw: bytes, shown: str) -> None:
    placeholder = "x" * (len(raw) - 4) + ".jpg"
    path = with_raw_name(make_zip(tmp_path / "a.zip", [(placeholder, picture())]), placeholder, raw)
    assert looked_at(path) == {shown: ".jpg"}


def test_a_unicode_name_beside_the_old_one_counts_when_it_belongs_to_it(tmp_path: Path) -> None:
    for crc, shown in ((zlib.crc32(b"a.jpg"), "가.jpg"), (1, "a.jpg")):
        info = zipfile.ZipInfo("a.jpg")
        field = struct.pack("<BI", 1, crc) + "가.jpg".encode()
        info.extra = struct.pack("<HH", 0x7075, len(field)) + field
        assert list(looked_at(make_zip(tmp_path / f"{crc}.zip", [(info, picture())]))) == [shown]


def test_bombs_are_left_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    white = io.BytesIO()
    Image.new("RGB", (900, 900), "white").save(white, "BMP")
    large = Image.effect_noise((1200, 1200), 90)
    noise = io.BytesIO()
    large.save(noise, "PNG")
    members = [
        ("zeros.jpg", bytes(4_000_000)),  # 1000 to 1
        ("white.bmp", white.getvalue()),
        ("pixels.png", noise.getvalue()),
        ("good.jpg", picture()),
    ]
    found = looked_at(make_zip(tmp_path / "a.zip", members), dataclasses.replace(LIMITS, image_bytes=2_500_000))
    assert found == {
        "zeros.jpg": module.BOMB,
        "white.bmp": module.BOMB,
        "pixels.png": TOO_MANY_PIXELS,
        "good.jpg": ".jpg",
    }
    tight = dataclasses.replace(LIMITS, image_bytes=1_000_000)
    assert looked_at(make_zip(tmp_path / "b.zip", [("n.png", noise.getvalue())]), tight) == {"n.png": module.TOO_HEAVY}


def test_a_size_that_is_a_lie_unpacks_no_further_than_it_says(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("liar.jpg", picture() + bytes(3_000_000))])
    with_table_field(path, 24, struct.pack("<I", 500))  # its size unpacked
    assert looked_at(path) == {"liar.jpg": module.BROKEN}


def test_entries_that_share_one_stream(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.jpg", picture(1)), ("b.jpg", picture(2)), ("c.jpg", picture(3))])
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = struct.pack("<I", 0)  # where b begins: where a does
    path.write_bytes(data)
    assert looked_at(path) == {"a.jpg": module.OVERLAPS, "b.jpg": module.OVERLAPS, "c.jpg": ".jpg"}


def test_encrypted_and_unusual_methods(tmp_path: Path) -> None:
    path = with_table_field(make_zip(tmp_path / "a.zip", [("a.jpg", picture())]), 8, struct.pack("<H", 1))
    assert looked_at(path) == {"a.jpg": module.ENCRYPTED}
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        assert looked_at(make_zip(tmp_path / "b.zip", [("a.jpg", picture())], method)) == {"a.jpg": module.METHOD}
    path = with_table_field(make_zip(tmp_path / "c.zip", [("a.jpg", picture())]), 10, struct.pack("<H", 9))
    assert looked_at(path) == {"a.jpg": module.METHOD}


def test_damage_inside_is_the_matter_of_one_file(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.jpg", picture(1)), ("b.jpg", picture(2))], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"\xff\xd8\xff") + 60] ^= 0xFF
    path.write_bytes(data)
    assert looked_at(path) == {"a.jpg": module.BROKEN, "b.jpg": ".jpg"}


def test_what_is_no_archive_at_all(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "whole.zip", [(f"{n}.jpg", picture(n)) for n in range(5)]).read_bytes()
    table = whole.index(b"PK\x01\x02")
    files = {
        "text": b"hello",
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "table": whole[:table] + b"XXXX" + whole[table + 4 :],
        "name": whole[: table + 8]
        + struct.pack("<H", 0x800)
        + whole[table + 10 : table + 46]
        + b"\xff"
        + whole[table + 47 :],
    }
    for name, content in files.items():
        path = tmp_path / f"{name}.zip"
        path.write_bytes(content)
        with pytest.raises(BadInput, match="not a ZIP"):
            Archive(path, LIMITS)
    with pytest.raises(BadInput, match="not a ZIP"):
        Archive(tmp_path / "missing.zip", LIMITS)


def test_too_many_files_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [(f"{n}.txt", b"") for n in range(1001)])
    with pytest.raises(BadInput, match="too many files"):
        Archive(path, LIMITS)
    data = bytearray(path.read_bytes())
    end = data.index(b"PK\x05\x06")
    path.write_bytes(bytes(module.DIRECTORY_BYTES) + data)  # the table may lie anywhere and be of any length
    end += module.DIRECTORY_BYTES
    with path.open("r+b") as file:
        file.seek(end + 12)
        file.write(struct.pack("<II", end, 0))
    with pytest.raises(BadInput, match="too many files"):
        Archive(path, LIMITS)


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [(f"{n}.png", picture(n, "BMP", (300, 300))) for n in range(5)])
    with pytest.raises(BadInput, match="UNPACKED"):
        Archive(path, dataclasses.replace(LIMITS, unpacked_bytes=1_000_000))


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("b/", b""), ("b/x.jpg", picture(1)), ("y.jpg", picture(2))])
    with Archive(path, LIMITS) as one, Archive(path, LIMITS) as other:
        assert list(one.entries()) == list(other.entries())
        assert [entry.position for entry in one.entries()] == [1, 2]
        assert [one.read(entry).sha256 for entry in one.entries()] == [
            one.read(entry).sha256 for entry in other.entries()
        ]
