"""The vehicle's own commands for operations other than packages: flash units, change partitions, start components.

An image names an action. The vehicle's configuration alone defines the command and which arguments of the image it
takes: ``[slm.image_commands] flash = ["/usr/lib/vehicle/flash", "{unit}", "{file}"]``. A command must tolerate being
run again after a loss of power. Arguments never begin with ``-`` and never pass through a shell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sota.boundaries.update_image.manifest import Action, Run
from sota.kit.errors import Invalid
from sota.slm.boot import ENVIRONMENT
from sota.slm.installers import Command
from sota.slm.model import ResultCode

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
Configured = Mapping[Action, Sequence[str]]
CODES = {
    Action.FLASH: ResultCode.FLASH_FAILED,
    Action.CREATE_PARTITION: ResultCode.CREATE_PARTITION_FAILED,
    Action.DELETE_PARTITION: ResultCode.DELETE_PARTITION_FAILED,
    Action.RESIZE_PARTITION: ResultCode.RESIZE_PARTITION_FAILED,
    Action.WRITE_PARTITION: ResultCode.WRITE_PARTITION_FAILED,
    Action.PATCH_PARTITION: ResultCode.PATCH_PARTITION_FAILED,
    Action.START_COMPONENTS: ResultCode.GENERAL_ERROR,
    Action.STOP_COMPONENTS: ResultCode.GENERAL_ERROR,
}


def command_for(configured: Configured, operation: Run, file: Path | None) -> Command:
    """Return the vehicle's command line with an operation's arguments.

    Raises:
        Invalid: the vehicle has no such command, or it takes other arguments.
    """
    line = configured.get(operation.action)
    if not line:
        raise Invalid(f"This vehicle has no command to {operation.action}.")
    values = {**operation.arguments, **({"file": str(file)} if file is not None else {})}
    wanted = {name for argument in line for name in PLACEHOLDER.findall(argument)}
    if wanted != set(values):
        raise Invalid(
            f"This vehicle's command to {operation.action} takes {', '.join(sorted(wanted)) or 'no argument'},"
            f" and the image gives {', '.join(sorted(values)) or 'none'}."
        )
    arguments = tuple(PLACEHOLDER.sub(lambda found: values[found.group(1)], argument) for argument in line)
    return Command(arguments, ENVIRONMENT)
