"""The demo's five vehicles: invented, but well-formed, each with its own file system and package database."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sota.boundaries.values import Command
from sota.cli.demo.packages import DemoPackages
from sota.kit.errors import StartError
from sota.slm.installers.deb import DebInstaller
from sota.slm.model import Job, Step

FILTER_NAME = "golf-with-tcu"
FILTER = 'vin_matches "^WVW" AND has_component "^TCU-"'


@dataclass(frozen=True, slots=True)
class Car:
    """A vehicle before the update."""

    vin: str
    components: tuple[str, ...]
    has_library: bool
    connects_late: bool = False
    wanted: bool = True
    why_not: str = ""


CARS = (
    Car("WVWZZZ1KZ7W000011", ("TCU-5G.2", "IVI-MIB3"), has_library=True),
    Car("WVWZZZ1KZ7W000022", ("TCU-5G.2", "IVI-MIB3"), has_library=False),
    Car("WVWZZZ1KZ7W000033", ("TCU-LTE.1",), has_library=True, connects_late=True),
    Car("WVWZZZ1KZ7W000044", ("IVI-MIB3",), has_library=True, wanted=False, why_not="has no component TCU-…"),
    Car("XW8ZZZ1KZ7W000055", ("TCU-5G.2",), has_library=True, wanted=False, why_not="its VIN does not begin with WVW"),
)


async def furnish(car: Car, root: Path, packages: DemoPackages) -> None:
    """Install the vehicle's factory packages, as its own installer does.

    Raises:
        StartError: dpkg failed.
    """
    installer = DebInstaller(root)
    installer.prepare()
    for package in [packages.library, packages.before] if car.has_library else [packages.before]:
        job = Job(package.name, package.version, Command.INSTALL, previous_version=None, can_restore=False)
        command = installer.command(Step.INSTALL, job, package.file, None)
        process = await asyncio.create_subprocess_exec(
            *command.arguments,
            env=command.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise StartError(f"dpkg could not install {package.text}:\n{output.decode(errors='replace')}", exit_code=1)


def installed(root: Path) -> dict[str, str]:
    """Read the vehicle's own package database: name to version."""
    answer = subprocess.run(
        ["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}", "-W", "-f=${Package} ${Version} ${db:Status-Status}\n"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    rows = [line.split() for line in answer.stdout.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[2] == "installed"}


def installed_in_order(root: Path) -> list[str]:
    """Return the names of the installed packages in the order in which dpkg unpacked them."""
    lists = (root / "var/lib/dpkg/info").glob("*.list")
    return [path.stem for path in sorted(lists, key=lambda path: path.stat().st_mtime_ns)]
