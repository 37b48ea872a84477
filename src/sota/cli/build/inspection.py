"""Inspects a package's file: its kind, its content, and whether it is intact, for all kinds but images.

An image has a reader of its own (``boundaries/update_image``). The others are recognised by their first bytes and
inspected by their own tools. Any other file is for the installer ``command``, which accepts everything.
"""

from __future__ import annotations

import re
import shlex
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sota.cli.build.builders import LIMITS
from sota.cli.build.tools import ToolFailed, run
from sota.kit.errors import Invalid, StartError
from sota.kit.files import flat_tar
from sota.slm.installers.archive_files import unpack

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
NOT_CHECKED = "by its own signature, not checked: give --certificate"
LISTED = 20
CPIO, CPIO_HEADER, NAME_LIMIT = (b"070702", b"070701"), 110, 4096
CONTROL = ("Package", "Version", "Architecture", "Depends", "Maintainer")
Fields = list[tuple[str, object]]


def kind_of_file(path: Path) -> str:
    """Return which installer takes a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        begin = file.read(512)
    if begin.startswith(b"manifest.json\0"):
        return "image"
    if begin.startswith(b"!<arch>\ndebian-binary"):
        return "deb"
    if begin.startswith(b"hsqs"):
        return "rauc"
    if begin.startswith(CPIO):
        return "swupdate"
    return "archive" if begin.startswith(COMPRESSED) or begin[257:262] == b"ustar" else "command"


def look(path: Path, kind: str, certificate: Path | None) -> Fields:
    """Describe a file that is not an image; ``certificate`` is that of RAUC's or SWUpdate's own signature.

    Raises:
        StartError: it is damaged, its signature is not of that certificate, or a tool is missing.
    """
    if certificate is not None and kind not in {"rauc", "swupdate"}:
        raise StartError(f"{path}: --certificate is for what RAUC and SWUpdate sign; this is for {kind}")
    try:
        if kind == "deb":
            return _look_at_deb(path)
        if kind == "archive":
            return _look_at_archive(path)
        if kind == "rauc":
            return _look_at_bundle(path, certificate)
        return _look_at_swu(path, certificate) if kind == "swupdate" else []
    except (ToolFailed, Invalid) as error:
        raise StartError(f"{path}: {error.detail}", exit_code=1) from None


def _look_at_deb(path: Path) -> Fields:
    control = run("dpkg-deb", "--field", path.resolve(), *CONTROL, folder=path.parent).decode(errors="replace")
    listed = run("dpkg-deb", "--contents", path.resolve(), folder=path.parent).decode(errors="replace")
    pairs = (line.partition(": ") for line in control.splitlines() if ": " in line)
    files = [line.split(maxsplit=5)[-1] for line in listed.splitlines() if not line.startswith("d")]
    return [*((name, value) for name, _, value in pairs), *_told(files)]


def _look_at_archive(path: Path) -> Fields:
    unpack(path, None, LIMITS)
    with tarfile.open(path) as archive:
        members = [member for member in archive if not member.isdir()]
    return [("unpacked", f"{sum(member.size for member in members)} bytes"), *_told([each.name for each in members])]


def _look_at_bundle(path: Path, certificate: Path | None) -> Fields:
    trust = ("--no-verify",) if certificate is None else (f"--keyring={certificate.resolve()}",)
    told = run("rauc", "info", *trust, "--output-format=shell", path.resolve(), folder=path.parent).decode()
    values = dict(word.partition("=")[::2] for word in shlex.split(told))
    images = [value for name, value in values.items() if name.startswith("RAUC_IMAGE_NAME_")]
    return [
        ("version", values.get("RAUC_MF_VERSION", "")),
        ("compatible", values.get("RAUC_MF_COMPATIBLE", "")),
        ("signed", NOT_CHECKED if certificate is None else f"by {certificate}"),
        *_told(images),
    ]


def _look_at_swu(path: Path, certificate: Path | None) -> Fields:
    description, signature, found = b"", b"", dict[str, str]()
    for name, parts in _entries_of_cpio(path):
        if name == "sw-description":
            description = b"".join(parts)
        elif name == "sw-description.sig":
            signature = b"".join(parts)
        else:
            found[name] = flat_tar.sha256(parts)
    text = description.decode(errors="replace")
    for name, sha256 in found.items():
        if sha256 not in text:
            raise Invalid(f"{name} is damaged: its SHA-256 is not in sw-description.")
    if certificate is not None:
        _check_signature(description, signature, certificate)
    version = re.search(r'\bversion\s*=\s*"([^"]*)"', text)
    hardware = re.search(r"\bhardware-compatibility\s*:\s*\[([^\]]*)\]", text)
    return [
        ("version", version[1] if version else ""),
        ("hardware", hardware[1].strip() if hardware else ""),
        ("signed", NOT_CHECKED if certificate is None else f"by {certificate}"),
        *_told([*found]),
    ]


def _entries_of_cpio(path: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Iterate over a cpio archive (newc, crc): each name, and its content, to be read before the next one."""
    with path.open("rb") as file:
        while True:
            header = file.read(CPIO_HEADER)
            if len(header) < CPIO_HEADER or not header.startswith(CPIO):
                raise Invalid("It is no image of SWUpdate, or a damaged one.")
            try:
                size, name_size = int(header[54:62], 16), int(header[94:102], 16)
            except ValueError:
                raise Invalid("It is no image of SWUpdate, or a damaged one.") from None
            if name_size > NAME_LIMIT:
                raise Invalid("A name in it is too long.")
            name = file.read(name_size).rstrip(b"\0").decode(errors="replace")
            if name == "TRAILER!!!":
                return
            begin = file.tell() + -file.tell() % 4
            yield name, flat_tar.content(path, flat_tar.TarEntry(name, begin, size))
            file.seek(begin + size + -size % 4)


def _check_signature(description: bytes, signature: bytes, certificate: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "description").write_bytes(description)
        (folder / "signature").write_bytes(signature)
        trust = ("-CAfile", certificate.resolve(), "-purpose", "any", "-binary")
        names = ("-in", "signature", "-content", "description", "-out", "checked")
        run("openssl", "cms", "-verify", "-inform", "DER", *trust, *names, folder=folder)


def _told(files: list[str]) -> Fields:
    more = [("…", f"{len(files) - LISTED} more")] if len(files) > LISTED else []
    return [*(("file", name) for name in files[:LISTED]), *more]
