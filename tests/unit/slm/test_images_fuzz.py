"""A million manifests and images, each of them changed, and archives: none crashes a reader, nothing leaves its folder.

Half of the changes know what a manifest is made of, so that they come past its syntax. `make fuzz` takes them all;
`make test` a seeded sample.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import random
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings

from sota.boundaries.update_image.image import read_image, write_image
from sota.boundaries.update_image.manifest import Manifest, encode, file_of, parse
from sota.kit.errors import Invalid, Refused
from sota.kit.files import flat_tar
from sota.slm.installers.archive_files import BadArchive, Limits, unpack

pytestmark = pytest.mark.slow

ALL, SAMPLE = 1_000_000, 5_000
"""Of manifests and images; archives come beside them."""
MANIFESTS, IMAGES, ARCHIVES = 0.8, 0.2, 0.05
"""The share of each."""
IMAGES_TAKEN_OUT, ARCHIVES_TAKEN_OUT = 5, 40
"""One of so many whole images, and of archives, is also written to the disk, which takes a hundred times as long."""
GROWN_BLOCKS = 20_000  # of memory, as the interpreter counts them
CONTENT = b"content of a file" * 20
PIECES = [
    b"../", b"/etc/passwd", b"\0", b"\xff", b"-1", b"999999999999999999999", b"null", b"[" * 40, b"}", b'"',
    b"install", b"remove", b"reboot", b"run", b"image", b"on_failure", b"\n", b"0" * 11, b"ustar\0", b"x", b"2", b"5",
]  # fmt: skip
NAMES = [
    "../x",
    "..",
    ".",
    "/etc/passwd",
    "a/b",
    "a.deb",
    "A",
    "-x",
    ".new",
    "a\n",
    "a\0b",
    "\u202e",
    "x" * 99,
    "x" * 300,
]
VALUES: list[Any] = [
    *NAMES, None, True, -1, 0, 1, 1 << 33, 1 << 70, 1.5, "", [], {}, [[]], "image", "deb", "rollback", "abort",
    "continue", "1.0.0", "01.0.0", "flash", "0" * 64, {"name": "a", "version": "1.0.0"},
    {"operation": "reboot", "id": "z"},
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
    """Change a few things, at least one: bytes, pieces put in or taken out, a part twice, an end too early."""
    content = bytearray(original)
    while content == original:
        for _ in range(1 + chance.randrange(3)):
            _change(chance, content)
    return bytes(content)


def _change(chance: random.Random, content: bytearray) -> None:
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


def changed_manifest(chance: random.Random, original: bytes) -> bytes:
    """Change a manifest as bytes, or as what it says: members of other values, gone, twice or unheard of."""
    if chance.random() < 0.5:
        return changed(chance, original)
    content = original
    while content == original:
        document = msgspec.json.decode(original)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            _change_member(chance, document)
        content = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    return content


def _change_member(chance: random.Random, within: Any) -> None:
    while isinstance(within, dict | list) and within:
        key = chance.choice(list(within)) if isinstance(within, dict) else chance.randrange(len(within))
        if isinstance(within[key], dict | list) and within[key] and chance.random() < 0.8:
            within = within[key]
            continue
        how = chance.randrange(6)
        if how == 0:
            del within[key]
        elif how == 1 and isinstance(within, dict):
            within[chance.choice(NAMES)] = copy.deepcopy(within[key])
        elif how == 1 and isinstance(within, list):
            within.append(copy.deepcopy(within[key]))
        else:
            within[key] = copy.deepcopy(chance.choice(VALUES))
        return


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
            manifest = parse(changed_manifest(chance, original))
        except Invalid:
            continue
        read += 1
        assert_harmless(manifest)
    assert count // 500 < read < count
    assert sys.getallocatedblocks() - before < GROWN_BLOCKS


def assert_harmless(manifest: Manifest) -> None:
    """What is read contradicts itself nowhere, and no text of it can name another folder or be an option."""
    assert len({operation.id for operation in manifest.operations}) == len(manifest.operations)
    names = {file.name for file in manifest.files}
    assert names == {file_of(operation) for operation in manifest.operations} - {None}
    arguments = [value for each in manifest.operations for value in getattr(each, "arguments", {}).values()]
    assert all("/" not in name and not name.startswith(".") and name.isascii() for name in names)
    assert all(not value.startswith("-") and value.isprintable() for value in arguments)


@pytest.mark.hypothesis
def test_images_are_whole_or_refused(tmp_path: Path) -> None:
    count, chance = number_of(IMAGES)
    file, taken = tmp_path / "a.deb", tmp_path / "folder" / "taken"
    file.write_bytes(CONTENT)
    taken.parent.mkdir()
    buffer = io.BytesIO()
    write_image(buffer, example(), {"a.deb": file}, lambda _: None)
    original, path, whole = buffer.getvalue(), tmp_path / "image", 0
    for _ in range(count):
        path.write_bytes(changed_image(chance, original))
        try:
            image = read_image(path)
            image.check_files()
        except (Invalid, Refused):
            continue
        assert_harmless(image.manifest)
        for each in image.manifest.files if whole % IMAGES_TAKEN_OUT == 0 else []:
            image.take_out(each.name, taken)
            assert taken.read_bytes() == CONTENT
        whole += 1
    assert count // 500 < whole < count
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.deb", "folder", "image"}
    assert [entry.name for entry in taken.parent.iterdir()] == ["taken"]


def changed_image(chance: random.Random, original: bytes) -> bytes:
    """Change an image: its bytes, or its manifest in an archive that is whole, or the name of its file."""
    how = chance.randrange(3)
    if how == 0:
        return changed(chance, original)
    manifest = changed_manifest(chance, encode(example()))
    buffer = io.BytesIO()
    flat_tar.write(buffer, [("manifest.json", manifest), ("a.deb", CONTENT)])
    if how == 1:
        return buffer.getvalue()
    content, at = bytearray(buffer.getvalue()), buffer.getvalue().rindex(b"a.deb\0")
    content[at : at + 100] = chance.choice(NAMES).encode()[:100].ljust(100, b"\0")
    header = content[at : at + 512]
    header[148:156] = b" " * 8
    content[at + 148 : at + 156] = b"%06o\0 " % sum(header)
    return bytes(content)


@pytest.mark.hypothesis
def test_archives_stay_in_their_folder(tmp_path: Path) -> None:
    count, chance = number_of(ARCHIVES)
    modes = ["w", "w:gz", "w:xz", "w:bz2"]
    originals = [archive(mode) for mode in modes]
    path, inner = tmp_path / "archive", tmp_path / "outer" / "folder"
    taken = 0
    inner.mkdir(parents=True)
    for number in range(count):
        hostile = number % 2 == 1
        content = hostile_archive(chance, tmp_path) if hostile else changed(chance, chance.choice(originals))
        path.write_bytes(content)
        folder = inner if number % ARCHIVES_TAKEN_OUT in {0, 1} else None
        # A name may also be one that the file system does not take (OSError).
        with contextlib.suppress(BadArchive, OSError):
            unpack(path, folder, Limits(max_bytes=1 << 20, max_files=50))
            taken += 1
        for entry in inner.rglob("*"):
            assert not entry.is_symlink() or Path(os.path.realpath(entry)).is_relative_to(inner)
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


def hostile_archive(chance: random.Random, outside: Path) -> bytes:
    """Make a whole archive of entries that want to get out, or that lie in one another."""
    names = [
        "a",
        "a/b",
        "a/b/c",
        "../escaped",
        "a/../../escaped",
        str(outside / "escaped"),
        "./a",
        "a//b",
        "",
        ".",
        "..",
    ]
    kinds = [tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for _ in range(1 + chance.randrange(4)):
            member = tarfile.TarInfo(chance.choice(names))
            member.type = chance.choice(kinds)
            member.linkname = chance.choice([*names, "../..", "b/../..", "../a"])
            member.mode = chance.choice([0o644, 0o755, 0o4755, 0o000])
            member.size = len(CONTENT) if member.isreg() else 0
            file.addfile(member, io.BytesIO(CONTENT))
    return buffer.getvalue()


def clear(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), key=lambda each: -len(each.parts)):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()
