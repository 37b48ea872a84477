"""Firmware of control units that no installer manages: the vehicle's own command lists it.

The command prints a JSON list; ``changed_at`` is optional, further members are ignored::

    [{"module": "gateway", "version": "4.2", "changed_at": "2026-01-31T08:00:00Z"}]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.b7_core_rvi.messages import Firmware
from sota.slm.boot import ENVIRONMENT
from sota.slm.installers import InstallerFailed, ask

MAX_MODULES = 1_000


async def read_firmware(command: Sequence[str]) -> list[Firmware]:
    """Return the firmware that the vehicle's command lists; nothing without a command.

    Raises:
        InstallerFailed: the command failed, or did not print a list of at most a thousand different modules.
    """
    if not command:
        return []
    code, output, errors = await ask(*command, environment=ENVIRONMENT)
    if code != 0:
        raise InstallerFailed(f"{command[0]} cannot list the firmware: it exited with {code}: {errors[:200]}")
    return decode(output)


def decode(output: str) -> list[Firmware]:
    """Return the firmware in a command's output.

    >>> decode('[{"module": "gateway", "version": "4.2", "supplier": "A"}]')[0].version
    '4.2'

    Raises:
        InstallerFailed: it is invalid.
    """
    try:
        found: list[Firmware] = msgspec.json.decode(
            output, type=Annotated[list[Firmware], Meta(max_length=MAX_MODULES)]
        )
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InstallerFailed(f"The list of firmware is invalid: {str(error)[:200]}") from None
    if len({one.module for one in found}) != len(found):
        raise InstallerFailed("The list of firmware has a module twice.")
    return found
