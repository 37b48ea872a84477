"""Restored databases, vehicles of other lives, and updates under way: what the registers say must be what happened.

A :class:`Ground` is a backend. :meth:`Ground.play` gives a new vehicle a first update, brings a
second one to a moment, cuts the link, changes what one side remembers (a database of an older copy, another identity,
an older folder), lets the vehicle connect again, and orders a third package. At the end:

* the third one is installed, and no update of the vehicle is open;
* whatever update Core calls installed was installed by the vehicle's own package database at some time;
* Core, the Resolver and the vehicle's package database agree on what is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sota.boundaries.authority import Authority
from sota.boundaries.b12_logistics_core.messages import ProvisionedVehicle
from sota.boundaries.values import PackageId, UpdateStatus
from sota.core import tables as core
from sota.kit.errors import SotaError
from sota.resolver import tables as resolver
from tests.support.databases import MariaDbServer
from tests.support.lives_matrix import DATABASES, OLDER, Cell, Result
from tests.support.packages import DebFile
from tests.support.system import System
from tests.support.system_settings import BACKEND, Settings
from tests.support.vehicle_files import VehicleFiles
from tests.support.waiting import until

SETTINGS: dict[str, Settings] = {
    "core": {
        "block_size": 4096,
        "window": 1,
        "vehicle_bytes_per_s": 60_000,
        "notify_retry_s": 1.0,
        "resolver_check_s": 1.0,
    },
    "web": {"intent_retry_s": 0.5},
}
BLOCKS, FEW_BLOCKS = 80, 4
CELL_TIMEOUT_S = 90.0
NUMBERS = itertools.count(1)
# The second package waits for a file in the vehicle's root: an installation that is seen to be under way.
WAITS = 'until [ -e "$DPKG_ROOT/go" ]; do sleep 0.1; done'


class Ground:
    """A backend whose databases can be copied, and put back, while it runs or is stopped."""

    def __init__(self, system: System, folder: Path, server: MariaDbServer | None) -> None:
        self.system, self._folder, self._server = system, folder, server

    @property
    def engine(self) -> str:
        """The databases' engine."""
        return "sqlite" if self._server is None else "mariadb"

    @classmethod
    async def lay(cls, system: System, folder: Path, server: MariaDbServer | None) -> Ground:
        """Let vehicles connect."""
        await system.proxy.start()
        return cls(system, folder, server)

    async def packages(self) -> list[PackageId]:
        """Upload three packages that no other vehicle gets: filters of a package add up."""
        number = next(NUMBERS)
        made = [
            await asyncio.to_thread(
                DebFile.build,
                self._folder,
                f"{name}-{number}",
                "1.0.0",
                postinst=WAITS if name == "second" else "",
                payload_bytes=4096 * (BLOCKS if name == "second" else FEW_BLOCKS),
            )
            for name in ("first", "second", "third")
        ]
        for package in made:
            await self.system.upload(package)
        return [package.id for package in made]

    async def play(self, cell: Cell) -> Result:
        """Play one place."""
        result, life = Result(cell), Life(self, cell, f"WVWZZZ1KZ7L{next(NUMBERS):06}")
        try:
            async with asyncio.timeout(4 * CELL_TIMEOUT_S):  # a vehicle may wait a minute to connect again
                result.wrong = await life.play()
        except (AssertionError, TimeoutError, SotaError) as error:
            result.wrong = [f"{type(error).__name__}: {error}"[:2000]]
        finally:
            await self._clean_up(life)
        return result

    async def _clean_up(self, life: Life) -> None:
        if not self.system.proxy.is_listening:
            await self.system.proxy.start()
        for name in BACKEND:
            if not self.system.programs[name].running:
                await self.system.restart(name)
        for vin in life.vins:
            program = self.system.programs.get(vin)
            if program is not None and program.running:
                await program.stop()

    # Copies of databases.

    def copy(self, name: str, *programs: str) -> None:
        """Save the content of the databases, at one moment, under a name."""
        if self._server is not None:
            self._server.dump(self._dump(name), *(self._schema(program) for program in programs))
            return
        for program in programs:
            source, target = sqlite3.connect(self._file(program)), sqlite3.connect(self._copy(name, program))
            with contextlib.closing(source), contextlib.closing(target):
                source.backup(target)

    def put_back(self, name: str, *programs: str) -> None:
        """Replace databases by what was kept; their programs are stopped."""
        if self._server is not None:
            self._server.load(self._dump(name), *(self._schema(program) for program in programs))
            return
        for program in programs:
            file = self._file(program)
            for end in ("", "-wal", "-shm"):
                file.with_name(f"{file.name}{end}").unlink(missing_ok=True)
            shutil.copy(self._copy(name, program), file)

    async def stop(self, *names: str) -> None:
        """End programs in order."""
        await asyncio.gather(*(self.system.programs[name].stop() for name in names))

    def sota(self, *arguments: str) -> None:
        """Run a command on the backend's folder."""
        server = ("--database", self.system.server) if self.system.server else ()
        command = [sys.executable, "-m", "sota.cli", *arguments, "--data", str(self.system.data), *server]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    def _file(self, program: str) -> Path:
        return self.system.data / f"{program}.db"

    def _copy(self, name: str, program: str) -> Path:
        return self._folder / f"{name}-{program}.db"

    def _dump(self, name: str) -> Path:
        return self._folder / f"{name}.sql"

    def _schema(self, program: str) -> str:
        return str(sa.make_url(self.system.database_url(program)).database)


class Life:
    """One vehicle on its way through a cell."""

    def __init__(self, ground: Ground, cell: Cell, vin: str) -> None:
        self.ground, self.system, self.cell = ground, ground.system, cell
        self.vin, self.vins = vin, [vin]
        self._ever: set[str] = set()

    async def play(self) -> list[str]:
        """Do it; return what is wrong at the end."""
        self.packages = await self.ground.packages()
        self.files = await self.system.add_vehicle(self.vin, through_proxy=True)
        await self._copy_all()
        first = await self._order(0)
        await self.system.wait_for_status(first, self.vin, UpdateStatus.INSTALLED)
        await self.system.settle()
        await self._come_to_the_moment()
        self._note_installed()
        await self._change()
        if not self.system.proxy.is_listening:
            await self.system.proxy.start()
        await self._order_until_accepted(2)
        return await self._look()

    @property
    def _go(self) -> Path:
        return self.files.root / "go"

    async def _copy_all(self) -> None:
        await self.system.settle()
        if self.cell.change in OLDER:
            await asyncio.to_thread(self.ground.copy, "older", *OLDER[self.cell.change])
        if self.cell.change == "all, by sota restore":
            await self.ground.stop(*BACKEND)
            backup = self.ground.system.folder / "older.zip"
            await asyncio.to_thread(self.ground.sota, "backup", str(backup), "--force")
            await self.system.restart(*BACKEND)
        if self.cell.change == "the vehicle's folder of a copy":
            await self.ground.stop(self.vin)
            await asyncio.to_thread(self._copy_folder)
            await self.system.restart(self.vin)

    def _copy_folder(self) -> None:
        shutil.copytree(self.files.data, self._kept_folder, symlinks=True)

    @property
    def _kept_folder(self) -> Path:
        return self.files.data.with_name(f"{self.vin}.copy")

    async def _come_to_the_moment(self) -> None:
        moment = self.cell.moment
        if moment != "before the report":
            self._go.touch()
        if moment == "before notify":
            await self.system.proxy.stop()
        second = await self._order(1)
        if self.cell.change == "last commits lost":
            await asyncio.to_thread(self.ground.copy, "lost", *DATABASES)
        if moment == "between blocks":
            await self.system.wait_for(second, self.vin, lambda update: 0 < update.acknowledged < update.size)
            await self.system.proxy.stop()
        elif moment == "before the report":
            await self._installing()
            await self.system.proxy.stop()
            self._go.touch()
            await self._has(self.packages[1].name)
        elif moment == "after it":
            await self.system.wait_for_status(second, self.vin, UpdateStatus.INSTALLED)
            await self.system.settle()
            await self.system.proxy.stop()

    async def _change(self) -> None:
        change = self.cell.change
        if change in OLDER or change == "last commits lost":
            programs = OLDER.get(change, DATABASES)
            await self.ground.stop(*programs)
            kept = "older" if change in OLDER else "lost"
            await asyncio.to_thread(self.ground.put_back, kept, *programs)
            await self.system.restart(*programs)
        elif change == "all, by sota restore":
            await self.ground.stop(*BACKEND)
            backup = self.ground.system.folder / "older.zip"
            await asyncio.to_thread(self.ground.sota, "restore", str(backup), "--force")
            await self.system.restart(*BACKEND)
        elif change == "VIN erased and registered":
            await self.ground.stop(self.vin)
            await self.system.web.erase_vehicle(self.vin)
            await self.system.settle()
            await self._register_again(self.files)
            await self.system.restart(self.vin)
        elif change == "another VIN's identity":
            await self.ground.stop(self.vin)
            other = VehicleFiles(self.vin[:-6] + f"{500_000 + int(self.vin[-6:])}", self.files.data)
            await self._register_again(other)
            self.vin, self.files = other.vin, other
            self.vins.append(other.vin)
            await self.system.start_in(other, through_proxy=True)
        else:
            await self.ground.stop(self.vin)
            await asyncio.to_thread(self._put_folder_back)
            await self.system.restart(self.vin)

    def _put_folder_back(self) -> None:
        shutil.rmtree(self.files.data)
        self._kept_folder.rename(self.files.data)
        self._go.touch()

    async def _register_again(self, files: VehicleFiles) -> None:
        shutil.rmtree(files.identity)
        Authority.open(self.system.data / "authority").issue_vehicle(files.vin, files.identity)
        await self.system.provision(ProvisionedVehicle(vin=files.vin))

    async def _order(self, number: int) -> str:
        return await self.system.queue(self.packages[number], f'vin_matches "^{self.vin}$"')

    async def _order_until_accepted(self, number: int) -> str:
        """Order, again where the Resolver does not know the vehicle yet: a database was restored a moment ago."""
        ordered: list[str] = []

        async def order() -> bool:
            try:
                ordered.append(await self._order(number))
                return self.vin in await self.system.updates(ordered[-1])
            except SotaError:
                return False

        await until(order, "an order reaches the vehicle", timeout_s=CELL_TIMEOUT_S, interval_s=0.5)
        return ordered[-1]

    async def _installing(self) -> None:
        async def look() -> bool:
            lock = self.files.root / f"var/lib/dpkg/info/{self.packages[1].name}.list"
            return lock.exists()

        await until(look, "the second package is being installed", timeout_s=CELL_TIMEOUT_S)

    async def _has(self, name: str) -> None:
        async def look() -> bool:
            return name in await asyncio.to_thread(self.files.installed)

        await until(look, f"{name} is installed", timeout_s=CELL_TIMEOUT_S)

    def _note_installed(self) -> None:
        self._ever |= {line.rpartition(" ")[0] for line in self.files.history()}

    # The end.

    async def _look(self) -> list[str]:
        wrong: list[str] = ["not looked yet"]

        async def look() -> bool:
            wrong[:] = await self._differences()
            return not wrong

        try:
            await until(look, "all agree", timeout_s=CELL_TIMEOUT_S, interval_s=0.3)
        except AssertionError:
            return wrong
        return await self._false_claims()

    async def _differences(self) -> list[str]:
        has = await asyncio.to_thread(self.files.installed)
        known = await self._rows("core", self._of_core())
        filtered = await self._rows("resolver", self._of_resolver())
        still_open = await self._rows("core", self._open())
        return [
            text
            for is_wrong, text in (
                (self.packages[2].name not in has, f"the vehicle has {sorted(has)} and not the third package"),
                (known != set(has.items()), f"Core says {sorted(known)}, the vehicle has {sorted(has.items())}"),
                (filtered != known, f"the Resolver says {sorted(filtered)}, Core says {sorted(known)}"),
                (bool(still_open), f"still open: {sorted(still_open)}"),
            )
            if is_wrong
        ]

    async def _false_claims(self) -> list[str]:
        self._note_installed()
        update = core.update
        claimed = await self._rows(
            "core", sa.select(update.c.package_name).where(update.c.vin.in_(self.vins), update.c.status == "installed")
        )
        false = {name for (name,) in claimed} - self._ever
        return [f"Core says that {sorted(false)} was installed, which never was"] if false else []

    def _of_core(self) -> sa.Select[tuple[str, str]]:
        table = core.installed_package
        return sa.select(table.c.name, table.c.version).where(table.c.vin == self.vin)

    def _of_resolver(self) -> sa.Select[tuple[str, str]]:
        software, has, vehicle = resolver.software, resolver.installed_package, resolver.vehicle
        return (
            sa.select(software.c.name, software.c.version)
            .join(has, has.c.software_id == software.c.id)
            .join(vehicle, vehicle.c.id == has.c.vehicle_id)
            .where(vehicle.c.vin == self.vin)
        )

    def _open(self) -> sa.Select[tuple[str, str]]:
        update = core.update
        return sa.select(update.c.package_name, update.c.status).where(
            update.c.vin == self.vin, update.c.status.in_(("pending", "in_flight"))
        )

    async def _rows(self, program: str, query: sa.Select[Any]) -> set[tuple[str, ...]]:
        database = self.system.database(program)
        try:
            async with database.read() as tx:
                return {tuple(row) for row in await tx.execute(query)}
        finally:
            await database.close()
