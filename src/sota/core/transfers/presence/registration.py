"""Keeps Core's services registered at its node, and follows which vehicles the node can reach.

A node forgets everything when it restarts, and a real rvi_core does not announce existing services to a new one. So
Core asks for both periodically. The address that Core registers has an unguessable part, kept in a file so that it
survives a restart.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from sota.boundaries.binding.service_credentials import keep_secret
from sota.boundaries.services import BACKEND_SERVICES, CALLBACK_PATH, short_name, vin_of
from sota.core.transfers.dispatching.dispatcher import Dispatcher
from sota.core.transfers.errors import TRANSIENT
from sota.core.vehicles import store as vehicle_store
from sota.kit.errors import SotaError
from sota.kit.files.durable import private_folder
from sota.kit.runtime.logging import get_logger

FIRST_RETRY_S = 0.25


def callback_secret(folder: Path) -> str:
    """Return the secret part of our address at the node; create it if there is none."""
    return keep_secret(private_folder(folder) / "core-callback.secret")


def vehicles_in(names: Iterable[str]) -> set[str]:
    """Return the VINs of vehicles whose ``notify`` is among these full names."""
    return {vin for name in names if short_name(name) == "notify" and (vin := vin_of(name))}


async def do_nothing(_vins: set[str]) -> None:
    """Do nothing."""


class Registration:
    """Keeps Core registered, and tells the dispatcher which vehicles are connected."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher, self.engine, self.db, self.node = dispatcher, dispatcher.engine, dispatcher.db, dispatcher.node
        self.address = ""
        self.secret = ""
        self.registered = asyncio.Event()
        self._check_s = dispatcher.settings.node_check_s
        self._names: dict[str, str] = {}
        self._events: deque[tuple[bool, set[str]]] = deque()
        self._happened = asyncio.Event()
        self._heard = 0
        self.on_found: Callable[[set[str]], Awaitable[None]] = do_nothing
        """Called with vehicles that were connected before Core was: they report what they remember only when asked."""
        self._log = get_logger(program="core")

    async def run(self) -> None:
        """Check the node until cancelled, more often while it is away."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                await self.check()
                retry_s = FIRST_RETRY_S
                await asyncio.sleep(self._check_s)
            except TRANSIENT as error:
                if self.registered.is_set():
                    self._log.warning("node_lost", reason=error.detail if isinstance(error, SotaError) else str(error))
                self.registered.clear()
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, self._check_s)

    async def check(self) -> None:
        """Register services that the node does not know, and read which vehicles it reaches."""
        heard = self._heard
        known = set(await self.node.available_services())
        if not self._names or not known.issuperset(self._names.values()):
            await self._register()
            known = set(await self.node.available_services())
        self.registered.set()
        present = vehicles_in(known)
        found = present - self.dispatcher.available
        await self._came(found)
        await self.on_found(found)
        if heard == self._heard:  # otherwise a vehicle came while the node was answering: its list is older
            await self._gone(self.dispatcher.available - present)
            await self._correct_connected(present)

    async def take_over(self) -> None:
        """Register in place of another Core, and continue its transfers.

        Raises:
            Unavailable: the node is away; the next check asks it which vehicles are connected.
        """
        self._names = {}
        present, self.dispatcher.available = self.dispatcher.available, set()
        self.engine.active.pause(present)
        await self.check()

    def services_available(self, names: list[str]) -> None:
        """Note services that came: a vehicle is connected when its ``notify`` is available."""
        self._note(True, vehicles_in(names))

    def services_unavailable(self, names: list[str]) -> None:
        """Note services that went."""
        self._note(False, vehicles_in(names))

    async def run_events(self) -> None:
        """Handle what the node announced, in order, until cancelled. It was answered before: a real rvi_core waits."""
        while True:
            await self._happened.wait()
            self._happened.clear()
            while self._events:
                came, vins = self._events.popleft()
                try:
                    await (self._came(vins) if came else self._gone(vins))
                except TRANSIENT as error:  # the next check finds it again
                    self._log.warning("presence_not_recorded", reason=str(error))

    def seen(self, vin: str) -> None:
        """Note that a vehicle sent a message, so it is connected, whatever the node announced."""
        if vin not in self.dispatcher.available:
            self._note(True, {vin})

    def _note(self, came: bool, vins: set[str]) -> None:
        """Keep an event; events of one kind in a row become one, so that a whole fleet that connects costs little."""
        if not vins:
            return
        self._heard += 1
        if self._events and self._events[-1][0] == came:
            self._events[-1][1].update(vins)
        else:
            self._events.append((came, vins))
        self._happened.set()

    async def _register(self) -> None:
        names = {}
        for service in BACKEND_SERVICES:
            address = self.address + CALLBACK_PATH.format(secret=self.secret, service=service)
            names[service] = await self.node.register(service, address)
        self._names = names
        self._log.info("services_registered", services=sorted(names))

    async def _came(self, vins: set[str]) -> None:
        new = vins - self.dispatcher.available
        if not vins:
            return
        self.dispatcher.available |= vins
        try:
            await self._write_connected(new, connected=True)
            # Also vehicles that were connected already: one that lost its link for a moment is announced again, and may
            # have missed messages meanwhile.
            await self.dispatcher.on_connected(sorted(vins), new=new)
        except TRANSIENT:
            self.dispatcher.available -= vins  # so that the next check finds them again
            raise

    async def _gone(self, vins: set[str]) -> None:
        gone = vins & self.dispatcher.available
        self.dispatcher.available -= gone
        self.engine.active.pause(gone)
        await self._write_connected(gone, connected=False)

    async def _correct_connected(self, present: set[str]) -> None:
        """Correct the database, which may list vehicles as connected from before a restart."""
        async with self.db.read() as tx:
            marked = await vehicle_store.read_connected(tx)
        await self._write_connected(marked - present, connected=False)

    async def _write_connected(self, vins: Iterable[str], *, connected: bool) -> None:
        wanted = list(vins)
        if wanted:
            now = self.engine.clock.now()
            await self.db.transact(lambda tx: vehicle_store.mark_connected(tx, wanted, connected, now))
