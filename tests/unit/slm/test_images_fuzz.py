"""A million manifests, images and archives, most of them wrong: none crashes a reader, nothing leaves its folder.

``make fuzz`` takes them all; ``make test`` a seeded sample.
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings

from sota.boundaries.update_image.image import read_image, write_image
from sota.boundaries.update_image.manifest import Manifest, encode, parse
from sota.kit import flat_tar
from sota.kit.errors import Invalid, Refused
from sota.slm.installers.archive_files import BadArchive, Limits, unpack

ALL, SAMPLE = 1_000_000, 5_000
MANIFESTS, IMAGES, ARCHIVES = 0.8, 0.15, 0.05
"""The share of each."""
TAKEN_OUT = 20
"""One of so many is also written to the disk, which takes a hundred times as long."""
GROWN_BLOCKS = 20_000  # of memory, as the interpreter counts them
CONTENT = b"content of a file" * 20
PIECES = [
    b"../", b"/etc/passwd", b"\0", b"\xff", b"-1", b"999999999999999999999", b"null", b"[" * 40, b"}", b'"',
    b"install", b"remove", b"reboot", b"run", b"image", b"on_failure", b"\n", b"0" * 11, b"ustar\0", b"x", b"2", b"5",
]  # fmt: skip


def example() -> Manifest:
    document = {
        "format": 1,
        "package": {"name": "spring", "version": "1.0.0"},
        "operations": [
            {"operation": "install", "id": "a", "package": {"name": "a", "version": "1.0.0"}, "installer": "deb",
             "file": "a.deb", "blacklist": [{"name": "b", "installer": "deb"}]},
            {"operation": "run", "id": "b", "action": "flash", "arguments": {"unit": "gw0"}, "on_failure": "abort"},
            {"operation": "remove", "id": "c", "package": {"name": "c", "version": "1.0.0"}, "installer": "deb"},
            {"operation": "reboot", "id": "d", "on_failure": "continue"},
        ],
        "files": [{"name": "a.deb", "size": len(CONTENT), "sha256": flat_tar.sha256([CONTENT])}],
    }  # fmt: skip
    return parse(msgspec.json.encode(document))


def changed(chance: random.Random, original: bytes) -> bytes:
    """Change a few things: bytes, pieces put in or taken out, a part twice, an end too early."""
    content = bytearray(original)
    for _ in range(chance.randrange(4)):
        at, how = chance.randrange(len(content) + 1), chance.randrange(5)
        if how == 0 and at < len(content):
            content[at] = chance.randrange(256)
        elif how == 1:
            content[at:at] = chance.choice(PIECES)
        elif how == 2:
            piece = chance.choice(PIECES)
            content[at : at + len(piece)] = piece
        elif how == 3:
            del content[at : at + chance.randrange(600)]
        else:
            other = chance.randrange(len(content) + 1)
            content[at:at] = content[other : other + chance.randrange(600)]
    return bytes(content)


def number_of(share: float) -> tuple[int, random.Random]:
    whole = settings.get_current_profile_name() == "fuzz"
    return int((ALL if whole else SAMPLE) * share), random.Random(None if whole else 20_260_101)


@pytest.mark.hypothesis
def test_manifests_are_read_or_refused() -> None:
    count, chance = number_of(MANIFESTS)
    original, read, before = encode(example()), 0, 0
    for number in range(count):
        if number == count // 10:  # what is made once is there by now
            before = sys.getallocatedblocks()
        try:
            manifest = parse(changed(chance, original))
        except Invalid:
            continue
        read += 1
        assert len({operation.id for operation in manifest.operations}) == len(manifest.operations)
    assert 0 < read < count
    assert sys.getallocatedblocks() - before < GROWN_BLOCKS


@pytest.mark.hypothesis
def test_images_are_whole_or_refused(tmp_path: Path) -> None:
    count, chance = number_of(IMAGES)
    file, taken = tmp_path / "a.deb", tmp_path / "folder" / "taken"
    file.write_bytes(CONTENT)
    taken.parent.mkdir()
    buffer = io.BytesIO()
    write_image(buffer, example(), {"a.deb": file}, lambda _: None)
    original, path, whole = buffer.getvalue(), tmp_path / "image", 0
    for number in range(count):
        path.write_bytes(changed(chance, original))
        try:
            image = read_image(path)
            image.check_files()
            for each in image.manifest.files if number % TAKEN_OUT == 0 else []:
                image.take_out(each.name, taken)
                whole += taken.read_bytes() == CONTENT
        except (Invalid, Refused):
            continue
    assert whole > 0
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.deb", "folder", "image"}
    assert [entry.name for entry in taken.parent.iterdir()] == ["taken"]


@pytest.mark.hypothesis
def test_archives_stay_in_their_folder(tmp_path: Path) -> None:
    count, chance = number_of(ARCHIVES)
    modes = ["w", "w:gz", "w:xz", "w:bz2"]
    originals = [archive(mode) for mode in modes]
    path, inner = tmp_path / "archive", tmp_path / "outer" / "folder"
    taken = 0
    inner.mkdir(parents=True)
    for number in range(count):
        path.write_bytes(changed(chance, chance.choice(originals)))
        folder = inner if number % TAKEN_OUT == 0 else None
        # A name may also be one that the file system does not take (OSError).
        with contextlib.suppress(BadArchive, OSError):
            unpack(path, folder, Limits(max_bytes=1 << 20, max_files=50))
            taken += 1
        for entry in inner.rglob("*"):
            assert not entry.is_symlink() or entry.resolve().is_relative_to(inner)
        assert [entry.name for entry in inner.parent.iterdir()] == ["folder"]
        if folder is not None:
            clear(inner)
            inner.mkdir()
    assert {entry.name for entry in tmp_path.iterdir()} == {"archive", "outer"}
    assert taken > 0


def archive(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:  # type: ignore[call-overload]
        for name, kind, link in (
            ("bin", tarfile.DIRTYPE, ""),
            ("bin/tool", tarfile.REGTYPE, ""),
            ("link", tarfile.SYMTYPE, "bin/tool"),
            ("bin/up", tarfile.SYMTYPE, "../bin"),
            ("copy", tarfile.LNKTYPE, "bin/tool"),
            ("n" * 120, tarfile.REGTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            member.size = len(CONTENT) if kind == tarfile.REGTYPE else 0
            file.addfile(member, io.BytesIO(CONTENT))
    return buffer.getvalue()


def clear(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), key=lambda each: -len(each.parts)):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()
