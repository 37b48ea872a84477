"""Firmware of control units that no installer of ours looks after: the vehicle's own command tells it.

The command prints a JSON list; ``changed_at`` may be left out, further members are passed over::

    [{"module": "gateway", "version": "4.2", "changed_at": "2026-01-31T08:00:00Z"}]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from sota.boundaries.b10_client_slm.messages import Firmware
from sota.slm.boot import ENVIRONMENT
from sota.slm.installers import InstallerFailed, ask

MAX_MODULES = 1_000


async def read_firmware(command: Sequence[str]) -> list[Firmware]:
    """Ask the vehicle; nothing where it has no such command.

    Raises:
        InstallerFailed: the command failed, or what it printed is no list of at most a thousand different modules.
    """
    if not command:
        return []
    code, output, errors = await ask(*command, environment=ENVIRONMENT)
    if code != 0:
        raise InstallerFailed(f"{command[0]} cannot tell the firmware: it ended with {code}: {errors[:200]}")
    return decode(output)


def decode(output: str) -> list[Firmware]:
    """Read what the command printed.

    >>> decode('[{"module": "gateway", "version": "4.2", "supplier": "A"}]')[0].version
    '4.2'

    Raises:
        InstallerFailed: it is not what it should be.
    """
    try:
        told: list[Firmware] = msgspec.json.decode(output, type=Annotated[list[Firmware], Meta(max_length=MAX_MODULES)])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InstallerFailed(f"What was told of the firmware is not understood: {str(error)[:200]}") from None
    if len({one.module for one in told}) != len(told):
        raise InstallerFailed("What was told of the firmware has a module twice.")
    return told
