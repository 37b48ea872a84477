"""The file of a backup: a ZIP archive, written aside and renamed when it is complete, and read with distrust.

Rules kept here:

* a backup appears under its name only when all of it is on the disk; a failure leaves no file;
* nothing is unpacked by a name of the archive: the manifest names the files, and both must agree;
* no more bytes of a file are read than the manifest says, and its hash is compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from sota.cli.backup.manifest import MAX_BYTES, NAME, Manifest, SavedFile, decode
from sota.kit.errors import StartError
from sota.kit.files.durable import sync, sync_folder

PIECE = 1 << 20
DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OverflowError, ValueError)
Advance = Callable[[int], None]


class Writer:
    """An archive that is being written."""

    def __init__(self, archive: zipfile.ZipFile, advance: Advance) -> None:
        self._archive, self._advance = archive, advance
        self.files: list[SavedFile] = []

    @contextlib.contextmanager
    def member(self, name: str, *, mode: int = 0o600, is_packed: bool = False) -> Iterator[Callable[[bytes], None]]:
        """Add a file with the content that the block writes."""
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED
        info.external_attr = (stat.S_IFREG | mode) << 16
        digest, sizes = hashlib.sha256(), [0]
        with self._archive.open(info, "w", force_zip64=True) as target:

            def write(content: bytes) -> None:
                target.write(content)
                digest.update(content)
                sizes[0] += len(content)
                self._advance(len(content))

            yield write
        self.files.append(SavedFile(name=name, size=sizes[0], sha256=digest.hexdigest(), mode=mode))

    def add_file(self, name: str, path: Path, *, mode: int = 0o600, is_packed: bool = False) -> None:
        """Add a file from the disk."""
        with (
            os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as source,
            self.member(name, mode=mode, is_packed=is_packed) as write,
        ):
            while piece := source.read(PIECE):
                write(piece)

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest."""
        self._archive.writestr(zipfile.ZipInfo(NAME), msgspec.json.format(msgspec.json.encode(manifest)))


@contextlib.contextmanager
def writing(path: Path, advance: Advance = lambda _bytes: None) -> Iterator[Writer]:
    """Write a backup; it gets its name, and mode 0600, when the block ends without an error.

    Raises:
        StartError: it cannot be written (exit code 1); nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                os.fchmod(file.fileno(), 0o600)
                with zipfile.ZipFile(file, "w", compresslevel=1) as archive:
                    yield Writer(archive, advance)
                file.flush()
                sync(file.fileno())
            partial.replace(path)
            sync_folder(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StartError(f"{error.filename or path}: {error.strerror}: no backup was written", exit_code=1) from None


class Reader:
    """An archive for reading: its manifest, and its files."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self._archive = path, archive
        self.manifest = self._read_manifest()
        self._infos = self._compare()

    def verify(self, advance: Advance) -> None:
        """Read all of it and compare the hashes.

        Raises:
            StartError: a file is damaged.
        """
        for file in self.manifest.files:
            for piece in self.pieces(file):
                advance(len(piece))

    def pieces(self, file: SavedFile) -> Iterator[bytes]:
        """Read a file, piece by piece.

        Raises:
            StartError: it does not match the manifest; by then all pieces but the last were yielded.
        """
        digest, left = hashlib.sha256(), file.size
        try:
            with self._archive.open(self._infos[file.name]) as source:
                while piece := source.read(PIECE):
                    left -= len(piece)
                    if left < 0:
                        break
                    digest.update(piece)
                    yield piece
        except (*DAMAGES, OSError) as error:
            raise self._damaged(f"{file.name}: {error}") from None
        if left or digest.hexdigest() != file.sha256:
            raise self._damaged(f"{file.name} is not what the manifest says")

    def _read_manifest(self) -> Manifest:
        try:
            info = self._archive.getinfo(NAME)
        except KeyError:
            raise StartError(f"{self.path} is no backup: it has no manifest") from None
        if info.file_size > MAX_BYTES:
            raise self._damaged("its manifest is too large")
        try:
            with self._archive.open(info) as source:
                content = source.read(MAX_BYTES + 1)
        except (*DAMAGES, OSError) as error:
            raise self._damaged(f"its manifest: {error}") from None
        return decode(content)

    def _compare(self) -> dict[str, zipfile.ZipInfo]:
        infos = {info.filename: info for info in self._archive.infolist() if info.filename != NAME}
        sizes = {file.name: file.size for file in self.manifest.files}
        if len(self._archive.infolist()) != len(infos) + 1 or len(sizes) != len(self.manifest.files):
            raise self._damaged("it contains a name twice")
        if {name: info.file_size for name, info in infos.items()} != sizes:
            raise self._damaged("its files are not those of the manifest")
        for info in infos.values():
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
                raise self._damaged(f"{info.filename} is packed in a way that no backup uses")
        return infos

    def _damaged(self, why: str) -> StartError:
        return StartError(f"{self.path} is damaged, nothing was changed: {why}", exit_code=1)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open a backup.

    Raises:
        StartError: it cannot be read, or is not a backup.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StartError(f"{path} is no file")
        with contextlib.ExitStack() as opened:
            try:
                archive = opened.enter_context(zipfile.ZipFile(path))
            except DAMAGES as error:
                raise StartError(f"{path} is no backup, or is cut off: {error}", exit_code=1) from None
            yield Reader(path, archive)
    except OSError as error:
        raise StartError(f"{error.filename or path}: {error.strerror}", exit_code=1) from None
