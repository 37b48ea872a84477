"""The commands in a vehicle's settings, if its root is a folder of another machine (a simulated vehicle).

The operator of a simulated vehicle chooses its commands, and they run on the machine unconfined. But a package may have
installed a program below the vehicle's root. There, commands that only query (``health_check``, ``firmware_command``,
``vehicle_state_command``) run confined, and commands that change files (units, image commands, ``reboot``) are refused
at the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sota.kit.errors import StartError
from sota.slm.confinement import Confinement
from sota.slm.settings import SlmSettings

ASKING = ("health_check", "firmware_command", "vehicle_state_command")


def confine_configured_commands(settings: SlmSettings) -> SlmSettings:
    """Return the settings with each command below the vehicle's root confined.

    Raises:
        StartError: this machine cannot confine a command, or it changes files.
    """
    root = settings.root.resolve()
    if root == Path("/"):
        return settings
    for name, line in _working(settings):
        if _is_below(root, line):
            raise StartError(
                f"slm: {name}: {line[0]} lies below the vehicle's root, where a package may have installed it, and "
                f"would run on this machine. Name a program outside {root}."
            )
    confinement = Confinement(root, settings.data.resolve() / "confinement")
    changed = {}
    for name in ASKING:
        line = getattr(settings, name)
        if _is_below(root, line):
            if why := confinement.why_not():
                raise StartError(f"slm: {name}: {line[0]} lies below the vehicle's root and runs only confined: {why}")
            changed[name] = confinement.command([_inside(root, argument) for argument in line])
    return msgspec.structs.replace(settings, **changed) if changed else settings


def _working(settings: SlmSettings) -> Iterator[tuple[str, Sequence[str]]]:
    yield "reboot", settings.reboot
    for action, line in settings.image_commands.items():
        yield f"image_commands.{action}", line
    units: object = settings.options.get("command", {}).get("units", {})
    for name, unit in units.items() if isinstance(units, dict) else ():
        for what in ("query", "install", "remove"):
            if isinstance(unit, dict) and isinstance(unit.get(what), list | tuple):
                yield f"options.command.units.{name}.{what}", [str(argument) for argument in unit[what]]


def _is_below(root: Path, line: Sequence[str]) -> bool:
    return bool(line) and "/" in line[0] and Path(line[0]).absolute().is_relative_to(root)


def _inside(root: Path, argument: str) -> str:
    below = argument.startswith("/") and Path(argument).is_relative_to(root)
    return f"/{Path(argument).relative_to(root)}" if below else argument
