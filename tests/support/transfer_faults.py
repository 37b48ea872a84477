"""What fault tests of transfers share: a slow transfer that is surely in its middle, and who was sent what.

Blocks are small, few are on the way at once and forty go out in a second, so that a transfer takes seconds; its middle
is read from the API.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sota.boundaries.b2_web_core.messages import Update
from sota.boundaries.values import UpdateStatus
from sota.core.tables import download, operation_result
from sota.kit.ranges import Ranges
from tests.support.packages import DebFile
from tests.support.system import System
from tests.support.vehicle_files import VehicleFiles

BLOCK_BYTES = 4096
BLOCKS = 120
NUMBERS = itertools.count(1)
# Nothing is quick enough to be over before its middle is seen, however fast the machine is.
SLOW = {"core": {"block_size": BLOCK_BYTES, "window": 2, "vehicle_bytes_per_s": 40 * BLOCK_BYTES}}
# It appends its line last: what is killed before has no line, what ran twice has two.
COUNTING_POSTINST = """
set -e
echo begun >> "$DPKG_ROOT/begun"
sleep 2
echo installed >> "$DPKG_ROOT/installations"
"""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One update of one vehicle under way."""

    system: System
    vehicle: VehicleFiles
    package: DebFile
    request: str

    @property
    def vin(self) -> str:
        """The vehicle's VIN, and its name in the system."""
        return self.vehicle.vin

    def tail(self) -> str:
        """Return the end of the vehicle's logs, for the message of a failing test."""
        programs = self.system.programs.items()
        return "\n".join(program.tail() for name, program in programs if name.partition("/")[0] == self.vin)

    async def wait_until_share(self, share: float) -> Update:
        """Wait until Core says that this share of the bytes is acknowledged, and not all of them."""
        update = await self.system.wait_for(
            self.request,
            self.vin,
            lambda update: update.acknowledged >= share * update.size,
            f"{share:.0%} there",
        )
        assert update.acknowledged < update.size, "the transfer was over before its middle was seen"
        return update

    async def wait_until_installed(self) -> Update:
        """Wait for the end, and hold Core's word against the vehicle's package database."""
        update = await self.system.wait_for_status(self.request, self.vin, UpdateStatus.INSTALLED)
        assert self.vehicle.installed()[self.package.id.name] == self.package.id.version
        known = {one.name: one.version for one in await self.system.web.packages_of(self.vin)}
        assert known == self.vehicle.installed()
        return update

    async def committed(self) -> set[int]:
        """Read from Core's database which blocks it has committed as acknowledged."""
        query = sa.select(download.c.received).where(download.c.vin == self.vin)
        texts = [row.received for row in await self.rows(query)]
        return {block for text in texts for block in range(1, BLOCKS * 2) if block in Ranges.parse(text)}

    def sent(self, *, since: int = 0) -> list[int]:
        """List the blocks that Core sent, from its log."""
        events = self.system.logs("core", "block_sent", since=since)
        return [event["index"] for event in events if event["vin"] == self.vin]

    def report_outcomes(self, *, since: int = 0) -> list[str]:
        """List the outcomes of the reports that Core accepted, from its log."""
        events = self.system.logs("core", "report_recorded", since=since)
        return [event["outcome"] for event in events if event["package"] == self.package.id.text]

    def installations(self) -> int:
        """Count how often the package's last script ran."""
        counted = self.vehicle.root / "installations"
        return len(counted.read_text().splitlines()) if counted.exists() else 0

    async def operations(self) -> list[Any]:
        """Read from Core's database what the vehicle's installer reported."""
        return await self.rows(sa.select(operation_result).where(operation_result.c.vin == self.vin))

    async def rows(self, query: sa.Select[Any]) -> list[Any]:
        """Ask Core's database, whether Core runs or not."""
        database = self.system.database("core")
        try:
            async with database.read() as tx:
                return list(await tx.execute(query))
        finally:
            await database.close()


async def begin_transfer(
    system: System,
    folder: Path,
    *,
    blocks: int = BLOCKS,
    postinst: str = "",
    through_proxy: bool = False,
    apart: bool = False,
) -> Transfer:
    """Queue a package of about this many blocks for a new, connected vehicle."""
    number = next(NUMBERS)
    vehicle = await system.add_vehicle(f"WVWZZZ1KZ7W{number:06}", through_proxy=through_proxy, apart=apart)
    package = DebFile.build(folder, f"maps-{number}", "2.0.0", postinst=postinst, payload_bytes=blocks * BLOCK_BYTES)
    await system.upload(package)
    return Transfer(system, vehicle, package, await system.queue(package.id, f'vin_matches "^{vehicle.vin}$"'))
