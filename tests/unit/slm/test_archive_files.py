"""Archives that are not trusted: nothing leaves its folder or costs more than it may, what is damaged is refused."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sota.slm.installers.archive_files import BadArchive, Limits, unpack
from sota.slm.installers.archive_slots import Slots
from sota.slm.installers.steps import Slot

LIMITS = Limits(max_bytes=1_000_000, max_files=100)


def member(name: str, kind: bytes = tarfile.REGTYPE, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in more.items():
        setattr(info, key, value)
    return info


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes] | tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for each in members:
            info, content = each if isinstance(each, tuple) else (each, b"")
            info.size = len(content) or info.size
            file.addfile(info, io.BytesIO(content))
    return path


def symlink(name: str, target: str) -> tarfile.TarInfo:
    return member(name, tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tarfile.TarInfo:
    return member(name, tarfile.LNKTYPE, linkname=target)


FILE = (member("a"), b"content")

HOSTILE: dict[str, tuple[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], ...]] = {
    "absolute": ((member("/etc/passwd"), b"x"),),
    "upwards": ((member("../outside"), b"x"),),
    "upwards inside": ((member("a/../../outside"), b"x"),),
    "link out": (symlink("a", "../outside"),),
    "link to root": (symlink("a", "/etc"),),
    "link up behind a name": (symlink("d/l", "../x"), symlink("e", "d/l/../..")),
    "through a link": (member("d", tarfile.DIRTYPE), symlink("l", "d"), (member("l/file"), b"x")),
    "file over a link": (symlink("l", "d"), (member("l"), b"x")),
    "file twice": (FILE, (member("a"), b"other")),
    "folder over a file": (FILE, (member("a/b"), b"x")),
    "hard link to nothing": (hard_link("a", "b"),),
    "hard link out": (hard_link("a", "../../etc/passwd"),),
    "hard link to a link": (symlink("l", "x"), hard_link("a", "l")),
    "device": (member("null", tarfile.CHRTYPE, devmajor=1, devminor=3),),
    "block device": (member("disk", tarfile.BLKTYPE),),
    "pipe": (member("pipe", tarfile.FIFOTYPE),),
    "long name": ((member("a" * 300), b"x"),),
    "deep": ((member("/".join("abcdefgh" * 10)), b"x"),),
    "nothing": (),
    "folders alone": (member("d", tarfile.DIRTYPE),),
    "many": tuple((member(f"f{number}"), b"x") for number in range(101)),
    "large": ((member("large"), bytes(1_000_001)),),
}


def extended(content: bytes, *, size: int | None = None) -> bytes:
    """Make an archive of one file with this as its extended header."""
    header = member("pax", tarfile.XHDTYPE, size=len(content) if size is None else size)
    padded = content + bytes(-len(content) % tarfile.BLOCKSIZE)
    file = member("a", size=1)
    return b"".join(
        (
            header.tobuf(tarfile.USTAR_FORMAT),
            padded,
            file.tobuf(tarfile.USTAR_FORMAT),
            b"x".ljust(tarfile.BLOCKSIZE, b"\0"),
            bytes(2 * tarfile.BLOCKSIZE),
        )
    )


def record(name: str, value: str) -> bytes:
    length = len(f" {name}={value}\n".encode())
    while len(str(length)) + len(f" {name}={value}\n".encode()) != length:
        length += 1
    return f"{length} {name}={value}\n".encode()


@pytest.mark.parametrize(
    "content",
    [
        record("comment", "1" * 10_000),
        record("comment", "x" * 20_000),
        b"1" * 8_000,
        b"2 2 2 2 2 2 2 2 =\n",
        b"9 a=b\n",
        record("comment", "x") + b"0 a=b\n",
    ],
    ids=["digits", "too long", "digits alone", "no records", "wrong length", "length of nothing"],
)
def test_extended_header_that_costs_time_is_refused_before_it_is_read(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.tar"
    file.write_bytes(extended(content))
    with pytest.raises(BadArchive, match="extended header"):
        unpack(file, None, LIMITS)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_extended_headers_of_long_names_are_read(tmp_path: Path, mode: str) -> None:
    name = "/".join(["ü" * 60] * 5)
    file = tmp_path / "a.tar"
    with tarfile.open(file, mode, format=tarfile.PAX_FORMAT) as made:  # type: ignore[call-overload]
        info = member(name, size=1, mtime=1234567890.123456)
        made.addfile(info, io.BytesIO(b"x"))
        # A file that begins like an extended header is none.
        made.addfile(member("inner", size=512), io.BytesIO(extended(b"", size=5)[:512]))
        made.addfile(member("last", size=512), io.BytesIO(b"y" * 512))
    (tmp_path / "to").mkdir()
    unpack(file, tmp_path / "to", LIMITS)
    assert (tmp_path / "to" / name).read_bytes() == b"x"
    assert (tmp_path / "to" / "last").read_bytes() == b"y" * 512


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("mode", ["w", "w:xz"])
def test_hostile_archive_is_refused(name: str, mode: str, tmp_path: Path) -> None:
    file = archive(tmp_path / "hostile.tar", *HOSTILE[name], mode=mode)
    with pytest.raises(BadArchive):
        unpack(file, None, LIMITS)
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(BadArchive):
        unpack(file, folder, LIMITS)
    assert sorted(path.name for path in (*tmp_path.iterdir(), *folder.parent.iterdir())) == [
        "deep", "folder", "hostile.tar",
    ]  # fmt: skip


def truncated(content: bytes) -> bytes:
    return content[:-1025]


def damaged_header(content: bytes) -> bytes:
    return content[:1030] + b"\xff" + content[1031:]


def damaged_checksum(content: bytes) -> bytes:
    return content[:-6] + bytes([content[-6] ^ 1]) + content[-5:]


@pytest.mark.parametrize(
    ("mode", "damage"),
    [
        ("w", truncated),
        ("w", damaged_header),
        ("w:gz", damaged_checksum),
        ("w:gz", lambda content: content[: len(content) // 2]),
        ("w:xz", lambda content: content[: len(content) // 2]),
        ("w:bz2", lambda content: content[: len(content) // 2]),
        ("w", lambda content: b""),
        ("w", lambda content: b"not an archive" * 100),
        ("w", lambda content: content + b"more"),
    ],
)
def test_damaged_archive_is_refused(mode: str, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    file = archive(tmp_path / "file.tar", FILE, (member("b"), b"more"), mode=mode)
    unpack(file, None, LIMITS)
    content = file.read_bytes().rstrip(b"\0") + bytes(1024) if damage is truncated else file.read_bytes()
    file.write_bytes(damage(content))
    with pytest.raises(BadArchive):
        unpack(file, None, LIMITS)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_bomb_is_refused_before_it_fills_anything(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    info = member("bomb")
    info.size = 200_000_000
    (tmp_path / "bomb").write_bytes(pack(info.tobuf() + bytes(20_000_000)))
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(BadArchive):
        unpack(tmp_path / "bomb", folder, LIMITS)
    assert list(folder.iterdir()) == []


def test_header_that_claims_to_be_endless_costs_no_memory(tmp_path: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
        info = member("x", kind)
        info.size = 8 << 30
        (tmp_path / "file").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
        with pytest.raises(BadArchive):
            unpack(tmp_path / "file", None, Limits(max_bytes=16 << 30, max_files=10))


def test_chain_of_headers_ends(tmp_path: Path) -> None:
    info = member("x", tarfile.XHDTYPE)
    info.size = 0
    (tmp_path / "file").write_bytes(info.tobuf(tarfile.GNU_FORMAT) * 5_000)
    with pytest.raises(BadArchive):
        unpack(tmp_path / "file", None, Limits(max_bytes=16 << 30, max_files=100))


def test_good_archive_is_unpacked_with_safe_modes(tmp_path: Path) -> None:
    file = archive(
        tmp_path / "file.tar",
        member("./bin", tarfile.DIRTYPE, mode=0o777),
        (member("bin/tool", mode=0o6777), b"#!/bin/sh\n"),
        (member("share/deep/data", mode=0o600), b"data"),
        symlink("share/deep/tool", "../../bin/tool"),
        symlink("here", "share/deep"),
        symlink("there", ".//share//deep/"),
        hard_link("copy", "bin/tool"),
        mode="w:xz",
    )
    folder = tmp_path / "folder"
    folder.mkdir()

    unpack(file, folder, LIMITS)

    assert (folder / "share/deep/tool").read_text() == "#!/bin/sh\n"
    assert (folder / "here/data").read_text() == "data"
    assert (folder / "copy").samefile(folder / "bin/tool")
    assert oct((folder / "bin/tool").stat().st_mode & 0o7777) == "0o755"
    assert oct((folder / "share/deep/data").stat().st_mode & 0o7777) == "0o644"
    for name in ("here", "there"):
        assert os.readlink(folder / name) == "share/deep"  # noqa: PTH115 - a Path hides doubled slashes


def test_places_change_over_and_back(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "app")
    for version in ("1.0.0", "2.0.0"):
        slots.install(archive(tmp_path / "file.tar", (member("version"), version.encode())), version, LIMITS)
        assert slots.read(slots.current() or "") == Slot(version, confirmed=False)
        slots.confirm(version)

    slots.restore("1.0.0")

    assert (tmp_path / "app/current/version").read_text() == "1.0.0"
    with pytest.raises(LookupError):
        slots.restore("2.0.0")
    with pytest.raises(LookupError):
        slots.confirm("2.0.0")
    slots.remove()
    assert not (tmp_path / "app").exists()


def test_hostile_archive_leaves_what_runs_alone(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "app")
    slots.install(archive(tmp_path / "good.tar", FILE), "1.0.0", LIMITS)
    slots.confirm("1.0.0")

    with pytest.raises(BadArchive):
        slots.install(archive(tmp_path / "bad.tar", FILE, *HOSTILE["through a link"]), "2.0.0", LIMITS)

    assert slots.read(slots.current() or "") == Slot("1.0.0", confirmed=True)
    assert sorted(path.name for path in (tmp_path / "app").iterdir()) == ["a", "a.json", "current"]
