"""A fleet made up for benchmarks of the Resolver: the same for every engine, at any size, from a seed.

Each vehicle has 20 of 2,000 packages (100 names in 20 versions) and 5 of 400 components, evenly spread: real fleets are
more regular, and compress better. A tenth of the VINs begin with 1HGC. Row ids count from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sota.resolver.changes.model import Kind, Texts
from sota.resolver.index.dictionary import Dictionary
from sota.resolver.index.fleet import Fleet, Shard, ShardBuilder
from sota.resolver.index.vin_pattern import VIN_LENGTH
from sota.resolver.index.vins import SHARD_SIZE

PACKAGES_OF_ONE, COMPONENTS_OF_ONE = 20, 5
PACKAGES, COMPONENTS = 2_000, 400
VERSIONS = [f"{major}.{minor}.{patch}" for major in (1, 2) for minor in range(5) for patch in (0, 1)]
PREFIXES = np.frombuffer(b"1HGC2T1BWVWZWBA3JTDKKMHC5YJ3SALWZFA1VF1L", dtype=np.uint8).reshape(10, 4)

F1 = r'vin_matches "^1HGC.*[0-4]$" AND has_component "^ECU-7.*" AND NOT has_package "ivi" "^1\.[0-3]\."'
F2 = r'vin_matches "[0-4]$" AND has_component "^ECU-7.*" AND NOT has_package "ivi" "^1\.[0-3]\."'

Numbers = npt.NDArray[np.int64]


def packages() -> dict[int, tuple[str, str]]:
    """Return the dictionary of packages."""
    names = ["ivi", *(f"package-{number:02d}" for number in range(1, PACKAGES // len(VERSIONS)))]
    pairs = [(name, version) for name in names for version in VERSIONS]
    return dict(enumerate(pairs, start=1))


def components() -> dict[int, str]:
    """Return the dictionary of components."""
    return {number + 1: f"ECU-{number // 40}{number % 40:02d}" for number in range(COMPONENTS)}


class Part:
    """The vehicles of one shard."""

    def __init__(self, shard: int, vehicles: int) -> None:
        self.shard = shard
        first, end = max(1, shard * SHARD_SIZE), min((shard + 1) * SHARD_SIZE, vehicles + 1)
        self.ids = np.arange(first, end, dtype=np.int64)
        self._random = np.random.default_rng([2026, shard])
        self.vins = self._make_vins()

    def _make_vins(self) -> npt.NDArray[np.uint8]:
        count = len(self.ids)
        vins = np.empty((count, VIN_LENGTH), dtype=np.uint8)
        vins[:, :4] = PREFIXES[self._random.integers(0, len(PREFIXES), count)]
        rest = self.ids.copy()
        for place in range(12, 3, -1):
            vins[:, place] = rest % 10 + ord("0")
            rest //= 10
        vins[:, 13:] = self._random.integers(ord("0"), ord("9") + 1, (count, 4))
        return vins

    def links(self) -> Iterator[tuple[Kind, Numbers]]:
        """Yield what each vehicle has, one thing for every vehicle in turn, and none twice."""
        for kind, each, all_of_them in (
            (Kind.PACKAGE, PACKAGES_OF_ONE, PACKAGES),
            (Kind.COMPONENT, COMPONENTS_OF_ONE, COMPONENTS),
        ):
            for slot in range(each):
                yield kind, slot + 1 + each * self._random.integers(0, all_of_them // each, len(self.ids))

    def build(self) -> Shard:
        """Make the index of these vehicles."""
        builder = ShardBuilder(self.shard)
        places = self.ids - self.shard * SHARD_SIZE
        builder.add_vehicles(places, self.vins)
        for kind, things in self.links():
            builder.add_links(kind, places, things)
        return builder.build()


def parts(vehicles: int) -> list[int]:
    """Return the numbers of the shards of so many vehicles."""
    return list(range((vehicles + SHARD_SIZE) // SHARD_SIZE))


def dictionary() -> Dictionary:
    """Return a dictionary with an empty cache."""
    names: dict[Kind, dict[int, Texts]] = {
        Kind.PACKAGE: {**packages()},
        Kind.COMPONENT: {number: (text,) for number, text in components().items()},
    }
    return Dictionary(names)


def build_fleet(vehicles: int) -> Fleet:
    """Make the index of the whole fleet."""
    return Fleet(dictionary=dictionary(), shards={number: Part(number, vehicles).build() for number in parts(vehicles)})


def write_files(folder: Path, vehicles: int, rows_of_file: int = 2_000_000) -> Iterator[tuple[str, Path]]:
    """Write the fleet as text files for databases, table by table; return the table's name and the file."""
    yield (
        "software",
        _write(folder, "software", [f"{n}\t{name}\t{version}" for n, (name, version) in packages().items()]),
    )
    yield "component", _write(folder, "component", [f"{n}\t{text}" for n, text in components().items()])
    for number in parts(vehicles):
        part = Part(number, vehicles)
        vins = part.vins.tobytes().decode()
        lines = [f"{n}\t{vins[i * 17 : i * 17 + 17]}" for i, n in enumerate(part.ids.tolist())]
        yield "vehicle", _write(folder, "vehicle", lines)
        columns: dict[Kind, list[Numbers]] = {Kind.PACKAGE: [], Kind.COMPONENT: []}
        for kind, things in part.links():
            columns[kind].append(things)
        for kind, table in ((Kind.PACKAGE, "installed_package"), (Kind.COMPONENT, "installed_component")):
            things = np.stack(columns[kind], axis=1)
            things.sort(axis=1)
            at_once = rows_of_file // things.shape[1]
            for start in range(0, len(part.ids), at_once):
                some = things[start : start + at_once]
                owners = np.repeat(part.ids[start : start + at_once], things.shape[1]).tolist()
                pairs = zip(owners, some.reshape(-1).tolist(), strict=True)
                yield table, _write(folder, table, [f"{owner}\t{thing}" for owner, thing in pairs])


def _write(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / f"{name}.tsv"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o644)
    return path
