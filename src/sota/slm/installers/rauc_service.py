"""RAUC's service on D-Bus: its calls, and the program that carries out one step with them.

RAUC itself writes the bundle, and continues when the process that called it ends. So after an interrupted step the
service is asked what it did. ``python -m sota.slm.installers.rauc_service`` is the step's process.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any  # D-Bus values: the service's interface defines their types

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from sota.slm.installers import InstallerFailed

NAME, PATH, INTERFACE = "de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer"
DBUS = "org.freedesktop.DBus"
PROPERTIES = "org.freedesktop.DBus.Properties"
CALL_TIMEOUT_S = 30.0
INFO_TIMEOUT_S = 600.0
"""A bundle's signature covers all of it, so a large one takes long to check."""
INSTALL_TIMEOUT_S = 24 * 3600.0
"""The step's own time-out, a setting of the vehicle, comes first."""


class CallRefused(InstallerFailed):
    """RAUC answered a call with the error ``detail``."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A bootable slot, as RAUC reports it. ``version`` is that of its bundle, if RAUC wrote one."""

    name: str
    booted: bool
    good: bool
    version: str | None


class Rauc:
    """One connection to the service, made by :func:`connect`."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    async def call(
        self, member: str, signature: str = "", *body: object, timeout_s: float = CALL_TIMEOUT_S
    ) -> list[Any]:
        """Call a method of the service and return its result. (Any: D-Bus types follow the signature.)

        Raises:
            CallRefused: it answers with an error.
            InstallerFailed: it does not answer.
        """
        message = Message(NAME, PATH, INTERFACE, member, signature=signature, body=list(body))
        return await self._send(message, timeout_s)

    async def read(self, name: str) -> str:
        """Return a property: ``Operation`` (idle or installing), ``LastError``, ``Compatible``."""
        message = Message(NAME, PATH, PROPERTIES, "Get", signature="ss", body=[INTERFACE, name])
        (value,) = await self._send(message)
        return str(value.value)

    async def slots(self) -> list[Slot]:
        """Return the bootable slots: the one that runs and those of its kind."""
        (listed,) = await self.call("GetSlotStatus")
        fields_of = {name: {key: value.value for key, value in fields.items()} for name, fields in listed}
        return [
            Slot(
                name,
                booted=fields.get("state") == "booted",
                good=fields.get("boot-status") == "good",
                version=fields.get("bundle.version"),
            )
            for name, fields in fields_of.items()
            if fields.get("bootname")
        ]

    async def install(self, file: str) -> int:
        """Install a bundle and print its progress; return RAUC's result, 0 for success."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def heard(message: Message) -> None:
            if message.message_type is not MessageType.SIGNAL or message.path != PATH:
                return
            if message.member == "Completed" and not done.done():
                done.set_result(int(message.body[0]))
            elif message.member == "PropertiesChanged" and "Progress" in message.body[1]:
                percent, text, _ = message.body[1]["Progress"].value
                print(f"{percent:3d} % {text}", flush=True)

        self._bus.add_message_handler(heard)
        rule = f"type='signal',sender='{NAME}',path='{PATH}'"
        await self._send(Message(DBUS, "/org/freedesktop/DBus", DBUS, "AddMatch", signature="s", body=[rule]))
        await self.call("InstallBundle", "sa{sv}", file, {})
        async with asyncio.timeout(INSTALL_TIMEOUT_S):
            while not done.done():
                await asyncio.wait([done], timeout=5)
                if not self._bus.connected:
                    raise InstallerFailed("The connection to RAUC's bus was lost during the installation.")
        return done.result()

    async def _send(self, message: Message, timeout_s: float = CALL_TIMEOUT_S) -> list[Any]:
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._bus.call(message)
        except TimeoutError:
            raise InstallerFailed(f"RAUC did not answer {message.member} within {timeout_s:g} s.") from None
        except (DBusError, EOFError, OSError) as error:
            raise InstallerFailed(f"RAUC cannot be called ({message.member}): {error}.") from None
        if reply.message_type is MessageType.ERROR:
            text = str(reply.body[0]) if reply.body else "no reason given"
            raise CallRefused(f"RAUC refuses {message.member}: {text}")
        return list(reply.body)


@contextlib.asynccontextmanager
async def connect(address: str) -> AsyncIterator[Rauc]:
    """Connect to the bus at a D-Bus ``address``, or to the system bus if it is empty.

    Raises:
        InstallerFailed: there is no bus.
    """
    bus = MessageBus(bus_address=address) if address else MessageBus(bus_type=BusType.SYSTEM)
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            await bus.connect()
    except (OSError, DBusError, EOFError, TimeoutError) as error:
        raise InstallerFailed(f"RAUC's bus {address or 'of the system'} cannot be reached: {error}.") from None
    try:
        yield Rauc(bus)
    finally:
        bus.disconnect()


async def carry_out(address: str, action: str, argument: str = "") -> int:
    """Carry out one step and return its exit code. ``argument`` is a bundle's file, or the version to restore."""
    async with connect(address) as rauc:
        if action == "install":
            result = await rauc.install(argument)
            if result != 0:
                print(await rauc.read("LastError"), file=sys.stderr)
            return 0 if result == 0 else 1
        if action == "confirm":
            await rauc.call("Mark", "ss", "good", "booted")
            return 0
        return await _go_back(rauc, argument)


async def _go_back(rauc: Rauc, version: str) -> int:
    """Let the next boot start the slot with this version (empty: the slot that RAUC never wrote)."""
    slots = await rauc.slots()
    # If two slots have this version, the one that runs needs no boot.
    wanted = [slot for slot in sorted(slots, key=lambda each: not each.booted) if (slot.version or "") == version]
    if not wanted:
        print(f"no slot has {version or 'the software from before RAUC'}", file=sys.stderr)
        return 1
    await rauc.call("Mark", "ss", "active", wanted[0].name)
    for other in slots:
        if other.name != wanted[0].name:
            await rauc.call("Mark", "ss", "bad", other.name)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run ``ADDRESS install FILE VERSION``, ``ADDRESS confirm`` or ``ADDRESS restore VERSION``."""
    address, action, *rest = arguments
    try:
        return asyncio.run(carry_out(address, action, *rest[:1]))
    except InstallerFailed as error:
        print(error.detail, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
