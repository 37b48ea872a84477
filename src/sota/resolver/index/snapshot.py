"""States of the fleet on disk: one file a shard, and a list of the files that belong together.

A file is written once, synced, and never changed; the list is replaced by renaming. After a power cut the list is
complete, and so is each file that it names. An unchanged shard keeps its file. Length and checksum of everything are
verified when it is read: a damaged snapshot, or one of another format or database, is ignored, and the index is built
from the database.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np
from pyroaring import BitMap

from sota.kit.files.durable import private_folder, sync_folder, write_atomic
from sota.resolver.changes.model import Kind
from sota.resolver.changes.store import Position
from sota.resolver.index.dictionary import Dictionary
from sota.resolver.index.fleet import Fleet, Shard
from sota.resolver.index.vin_pattern import VIN_LENGTH
from sota.resolver.index.vins import SHARD_SIZE, Vins, places_of

FORMAT = 1
LIST = "fleet.json"
LENGTH = 8


class ShardFile(msgspec.Struct, frozen=True):
    """A file of the list: name, length, CRC-32, and for each kind the things whose bitmaps it holds, in order."""

    name: str
    length: int
    checksum: int
    used: int
    links: dict[str, list[int]]


class FleetList(msgspec.Struct, frozen=True):
    """The list: the log position to follow from, the dictionary, and the shards by number."""

    format: int
    number: int
    mark: bytes
    texts: dict[str, dict[int, list[str]]]
    shards: dict[int, ShardFile]


class Snapshots:
    """Keeps the newest state in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[int, tuple[Shard, ShardFile]] = {}

    def save(self, fleet: Fleet) -> None:
        """Write a state; then delete files that no list names.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        private_folder(self._folder)
        written: dict[int, tuple[Shard, ShardFile]] = {}
        for number, shard in fleet.shards.items():
            before = self._written.get(number)
            same = before is not None and before[0] is shard
            written[number] = before if before is not None and same else (shard, self._write(shard, fleet.position))
        files = {number: file for number, (_shard, file) in written.items()}
        texts = {str(int(kind)): {n: list(t) for n, t in of.items()} for kind, of in fleet.dictionary.texts.items()}
        content = FleetList(FORMAT, fleet.position.number, fleet.position.mark, texts, files)
        encoded = msgspec.json.encode(content)
        sync_folder(self._folder)
        write_atomic(self._folder / LIST, b"%08x" % zlib.crc32(encoded) + encoded, mode=0o600)
        self._written = written
        self._tidy({file.name for file in files.values()})

    def load(self) -> Fleet | None:
        """Read the newest state; None if there is none.

        Raises:
            ValueError: it is damaged, or of another format.
            OSError: a file is missing or cannot be read.
        """
        try:
            content = (self._folder / LIST).read_bytes()
        except FileNotFoundError:
            return None
        if content[:LENGTH] != b"%08x" % zlib.crc32(content[LENGTH:]):
            raise ValueError(f"{LIST} is broken")
        listed = msgspec.json.decode(content[LENGTH:], type=FleetList)  # raises a ValueError
        if listed.format != FORMAT:
            raise ValueError(f"{LIST} has format {listed.format}, and this program reads {FORMAT}")
        shards = {number: self._read(number, file) for number, file in listed.shards.items()}
        self._written = {number: (shard, listed.shards[number]) for number, shard in shards.items()}
        texts = {Kind(int(kind)): {n: tuple(t) for n, t in of.items()} for kind, of in listed.texts.items()}
        return Fleet(Position(listed.number, listed.mark), Dictionary(texts), shards)

    def _write(self, shard: Shard, position: Position) -> ShardFile:
        name = f"shard-{shard.number}-{position.number}-{os.urandom(4).hex()}"
        checksum, length = 0, 0
        used = shard.vehicles.max() + 1 if shard.vehicles else 0
        with (self._folder / name).open("xb") as file:
            (self._folder / name).chmod(0o600)
            for part in _parts(shard, used):
                checksum = zlib.crc32(part, checksum)
                length += file.write(part)
            file.flush()
            os.fsync(file.fileno())
        links = {str(int(kind)): list(of_kind) for kind, of_kind in shard.links.items()}
        return ShardFile(name, length, checksum, used, links)

    def _read(self, number: int, file: ShardFile) -> Shard:
        content = memoryview((self._folder / Path(file.name).name).read_bytes())
        if len(content) != file.length or zlib.crc32(content) != file.checksum:
            raise ValueError(f"{file.name} is broken")
        rows = np.zeros((SHARD_SIZE, VIN_LENGTH), dtype=np.uint8)
        end = file.used * VIN_LENGTH
        rows.reshape(-1)[:end] = np.frombuffer(content[:end], dtype=np.uint8)
        bitmaps = _read_bitmaps(content[end:])
        vehicles = next(bitmaps)
        links: dict[Kind, Mapping[int, BitMap]] = {kind: {} for kind in Kind}
        for kind, things in file.links.items():
            links[Kind(int(kind))] = {thing: next(bitmaps) for thing in things}
        return Shard(number, vehicles, Vins(rows), links)

    def _tidy(self, named: set[str]) -> None:
        for path in self._folder.glob("shard-*"):
            if path.name not in named:
                path.unlink(missing_ok=True)


def _parts(shard: Shard, used: int) -> Iterator[bytes | memoryview]:
    """Return a file's content: the VINs of existing vehicles, then each bitmap after its length."""
    rows = np.zeros((used, VIN_LENGTH), dtype=np.uint8)
    places = places_of(shard.vehicles)
    # Others are left out: nothing of a deleted vehicle stays on disk.
    rows[places] = shard.vins.rows[places]
    yield rows.reshape(-1).data
    for bitmap in (shard.vehicles, *(owners for of_kind in shard.links.values() for owners in of_kind.values())):
        content = bitmap.serialize()
        yield len(content).to_bytes(LENGTH, "little")
        yield content


def _read_bitmaps(content: memoryview) -> Iterator[BitMap]:
    """Read bitmaps one after the other, as many as are asked for."""
    start = 0
    while True:
        length = int.from_bytes(content[start : start + LENGTH], "little")
        end = start + LENGTH + length
        if not length or end > len(content):
            raise ValueError("a shard's file ends too early")
        yield BitMap.deserialize(bytes(content[end - length : end]))
        start = end
