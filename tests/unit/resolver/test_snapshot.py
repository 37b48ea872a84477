"""A state comes back from disk as it was, or not at all."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sota.resolver.changes.model import Kind
from sota.resolver.changes.store import Position
from sota.resolver.index.fleet import Fleet
from sota.resolver.index.pending import Pending
from sota.resolver.index.snapshot import LIST, Snapshots
from sota.resolver.language.evaluation import Vehicle
from tests.support.fleets import contents, fleet_of

pytestmark = pytest.mark.slow

VEHICLES = [
    Vehicle(f"A{number:016d}", frozenset({("Über Navi", f"{number % 7}.0.0")}), frozenset({"ECU-7"}))
    for number in range(40)
]


def a_fleet() -> Fleet:
    made = fleet_of(VEHICLES, spread=100_000)
    return Fleet(Position(12, b"12345678"), made.dictionary, made.shards)


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    fleet = a_fleet()
    Snapshots(tmp_path / "index").save(fleet)
    again = Snapshots(tmp_path / "index").load()
    assert again is not None
    assert (again.position, contents(again)) == (fleet.position, contents(fleet))
    assert len(again.shards) == 4


def test_where_none_was_saved_there_is_none(tmp_path: Path) -> None:
    assert Snapshots(tmp_path / "index").load() is None


def test_shard_that_did_not_change_keeps_its_file_and_old_files_go(tmp_path: Path) -> None:
    fleet, snapshots = a_fleet(), Snapshots(tmp_path)
    snapshots.save(fleet)
    before = {path.name for path in tmp_path.glob("shard-*")}
    pending = Pending()
    pending.vehicles[5] = True
    changed = pending.apply(fleet, Position(13, b"abcdefgh"), {5: "B0000000000000005"}, {})
    (tmp_path / "shard-9-of-a-crash").write_bytes(b"half")
    snapshots.save(changed)
    after = {path.name for path in tmp_path.glob("shard-*")}
    assert len(before & after) == 3
    assert len(after) == 4
    again = Snapshots(tmp_path).load()
    assert again is not None
    assert contents(again) == contents(changed)


def test_deleted_vehicle_leaves_nothing_on_disk(tmp_path: Path) -> None:
    fleet, snapshots = a_fleet(), Snapshots(tmp_path)
    snapshots.save(fleet)
    pending = Pending()
    pending.vehicles[0] = False
    pending.purged.add(0)
    snapshots.save(pending.apply(fleet, Position(13, b"abcdefgh"), {}, {}))
    vin = VEHICLES[0].vin.encode()
    assert not [path.name for path in tmp_path.iterdir() if vin in path.read_bytes()]


@pytest.mark.parametrize("seed", range(20))
def test_broken_snapshot_is_refused(tmp_path: Path, seed: int) -> None:
    Snapshots(tmp_path).save(a_fleet())
    generator = random.Random(seed)
    victim = generator.choice(sorted(tmp_path.iterdir()))
    content = bytearray(victim.read_bytes())
    if generator.random() < 0.3:
        content = content[: generator.randrange(len(content))]
    else:
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    victim.write_bytes(content)
    with pytest.raises(ValueError, match="broken"):
        Snapshots(tmp_path).load()


def test_missing_shard_is_refused(tmp_path: Path) -> None:
    Snapshots(tmp_path).save(a_fleet())
    next(tmp_path.glob("shard-*")).unlink()
    with pytest.raises(FileNotFoundError):
        Snapshots(tmp_path).load()


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    Snapshots(tmp_path / "index").save(a_fleet())
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "index").iterdir()} == {0}
    assert (tmp_path / "index" / LIST).exists()


def test_kinds_keep_their_numbers() -> None:
    assert {kind.name: int(kind) for kind in Kind} == {"PACKAGE": 1, "COMPONENT": 2, "ATTRIBUTE": 3, "GROUP": 4}
