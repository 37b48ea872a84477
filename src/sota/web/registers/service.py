"""Both registers, or neither: stored here first, then sent to Core, then to the Resolver
(docs/specification.md, ruling 8).

Rules kept here:

* nothing is sent before it is stored; each step is stored before the next one is taken;
* a registration that was interrupted, by a kill or a neighbour that was down, is resumed at start and by a timer;
* 200 only after both; if the second is not possible now, 503, and it is completed later;
* a package with dependencies goes to the Resolver first, because only the Resolver can refuse those (a cycle): what
  the first register refuses is in neither; what the second refused would be in one only;
* the answer to a duplicate is Core's; an object that the Resolver knows already is no refusal, since then both have
  it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b2_web_core.messages import Component, NewPackage, NewVehicle
from sota.boundaries.b3_web_resolver.client import ResolverClient
from sota.boundaries.b3_web_resolver.messages import ComponentToResolve, PackageToResolve, VehicleToResolve
from sota.boundaries.values import PackageId
from sota.kit.errors import Refused, SotaError, Unavailable
from sota.kit.runtime.clock import Clock, new_id
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database, Tx
from sota.web.registers import store
from sota.web.registers.model import (
    KEY_IS_KNOWN_FOR,
    RETRY_AFTER_REFUSAL,
    CoreBody,
    NewRegistration,
    PackageToRemove,
    Refusal,
    Registration,
    RegistrationState,
    ResolverBody,
    VehicleToForget,
    VehicleToRetire,
    is_refusal,
)
from sota.web.repository.store import discard_upload

KEPT = timedelta(days=1)
WithRegistration = Callable[[Tx], Awaitable[None]]


class Registers:
    """Core's and the Resolver's registers, written as one."""

    def __init__(
        self,
        db: Database,
        core: CoreClient,
        resolver: ResolverClient,
        clock: Clock,
        *,
        wait_s: float,
        retry_s: float,
    ) -> None:
        self._db, self._core, self._resolver, self._clock = db, core, resolver, clock
        self._wait_s, self._retry_s = wait_s, retry_s
        self._under_way: dict[UUID, asyncio.Task[None]] = {}
        self._log = get_logger(feature="registers")

    async def register(self, new: NewRegistration, *, together_with: WithRegistration | None = None) -> bool:
        """Register an object in both; return when both have it, with whether this request was the first.

        A request for an object whose registration is running joins it. ``together_with`` runs in the
        transaction that stores the registration, if this request is the first.

        Raises:
            Refused: Core's refusal; ``<kind>_exists`` also if another change of the same object is running.
            Unavailable: not both for now; it is stored and will be completed.
        """
        registration, is_first = await self._write_down(new, together_with)
        if registration.fingerprint != new.fingerprint:
            raise Refused(new.kind.in_the_way, f"Another change of {new.object} is under way.")
        task = self._take_up(registration)
        done, _ = await asyncio.wait({task}, timeout=self._wait_s)
        if not done:
            raise Unavailable("The registers have not both answered yet: the registration continues in the background.")
        if task.cancelled():
            raise Unavailable("The Web Server is stopping: the registration continues after its restart.")
        task.result()
        return is_first

    async def resume(self, *, everything: bool = False) -> None:
        """Resume due registrations (``everything``: all running ones), and wait for one attempt."""
        now = self._clock.now()
        async with self._db.read() as tx:
            due = await store.list_due(tx, None if everything else now)
        tasks = [self._take_up(registration) for registration in due]
        if tasks:
            await asyncio.wait(tasks)

    async def forget_old(self) -> None:
        """Delete registrations that ended more than a day ago."""
        before = self._clock.now() - KEPT
        await self._db.transact(lambda tx: store.delete_finished(tx, before))

    async def stop(self) -> None:
        """Leave running registrations to the next start."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write_down(
        self, new: NewRegistration, together_with: WithRegistration | None
    ) -> tuple[Registration, bool]:
        registration_id, now = new_id(), self._clock.now()

        async def write(tx: Tx) -> tuple[Registration, bool]:
            known = await store.find_open(tx, new.object)
            if known is not None:
                return known, False
            # This process tries immediately; the timer (of any process) is for the case that it is killed first.
            due_at = now + timedelta(seconds=self._wait_s + 10)
            await store.insert(tx, registration_id, new, now=now, due_at=due_at)
            if together_with is not None:
                await together_with(tx)
            return await store.find(tx, registration_id), True

        return await self._db.transact(write, may_collide=True)  # two requests at the same moment: join the other one

    def _take_up(self, registration: Registration) -> asyncio.Task[None]:
        task = self._under_way.get(registration.id)
        if task is None:
            task = asyncio.create_task(self._complete(registration.id), name=f"registration:{registration.object}")
            self._under_way[registration.id] = task
            task.add_done_callback(lambda ended: self._ended(registration.id, ended))
        return task

    def _ended(self, registration_id: UUID, task: asyncio.Task[None]) -> None:
        self._under_way.pop(registration_id, None)
        if task.cancelled():
            return
        error = task.exception()  # retrieved here, so that asyncio does not report it as never retrieved
        if error is not None and not isinstance(error, SotaError):
            self._log.error("registration_crashed", registration=str(registration_id), exc_info=error)

    async def _complete(self, registration_id: UUID) -> None:
        async with self._db.read() as tx:
            registration = await store.find(tx, registration_id)
        try:
            if registration.state is RegistrationState.OPEN:
                registration = await self._ask_first(registration)
            if registration.state is RegistrationState.HALF:
                registration = await self._ask_second(registration)
        except SotaError as error:
            await self._postpone(registration, error)
            raise _what_is_said(registration, error) from error
        if registration.refusal is not None:
            refusal = registration.refusal
            raise Refused(refusal.code, refusal.detail, status=refusal.status, title=refusal.title)

    async def _ask_first(self, registration: Registration) -> Registration:
        refusal: Refusal | None = None
        try:
            await self._send(registration, to_core=not registration.resolver_first)
        except Refused as error:
            # Core's refusal of our credential is B1-21's own outcome; the Resolver's is only a reason to retry.
            if not (is_refusal(error) or (error.code == "unauthenticated" and not registration.resolver_first)):
                raise
            old = self._clock.now() - registration.created_at > KEY_IS_KNOWN_FOR
            if not (old and error.code == registration.kind.done_already):
                refusal = Refusal(error.code, error.detail, error.status, error.title)
        to = RegistrationState.REFUSED if refusal is not None else RegistrationState.HALF
        return await self._advance(registration, to, refusal)

    async def _ask_second(self, registration: Registration) -> Registration:
        try:
            await self._send(registration, to_core=registration.resolver_first)
        except Refused as error:
            if error.code != registration.kind.done_already:
                raise
        return await self._advance(registration, RegistrationState.DONE, None)

    async def _send(self, registration: Registration, *, to_core: bool) -> None:
        if to_core:
            await _send_to_core(self._core, registration.core, str(registration.id))
        else:
            await _send_to_resolver(self._resolver, registration.resolver, str(registration.id))

    async def _advance(
        self, registration: Registration, to: RegistrationState, refusal: Refusal | None
    ) -> Registration:
        async def step(tx: Tx) -> Registration:
            was_ours = await store.advance(tx, registration, to, self._clock.now(), refusal)
            if was_ours and registration.gives_file_up(to):
                await discard_upload(tx, registration.file_key or "", self._clock.now())
            return await store.find(tx, registration.id)

        return await self._db.transact(step)

    async def _postpone(self, registration: Registration, error: SotaError) -> None:
        # Half a second, doubling.
        pause = timedelta(seconds=min(self._retry_s, 0.5 * 2 ** min(registration.attempts, 12)))
        refused = is_refusal(error)
        if refused:  # one register has it and the other refuses it: this needs an operator
            pause = max(pause, min(RETRY_AFTER_REFUSAL, timedelta(seconds=self._retry_s * 4)))
        log = self._log.error if refused else self._log.warning
        log("registration_waits", registration=str(registration.id), code=error.code, reason=error.detail)
        due_at = self._clock.now() + pause
        await self._db.transact(lambda tx: store.postpone(tx, registration, due_at))


def _what_is_said(registration: Registration, error: SotaError) -> SotaError:
    waits = f"The registration of {registration.object} is stored and continues in the background."
    is_first = registration.state is RegistrationState.OPEN
    if is_first and not registration.resolver_first:
        return Unavailable(f"SOTA Core does not answer now. {waits}")
    if is_refusal(error):
        return error
    away = "The External Resolver" if is_first or not registration.resolver_first else "SOTA Core"
    return Unavailable(f"{away} does not answer now. {waits}")


async def _send_to_core(core: CoreClient, body: CoreBody, key: str) -> None:
    match body:
        case NewVehicle():
            await core.new_vehicle(body, key=key)
        case NewPackage():
            await core.new_package(body, key=key)
        case Component():
            await core.new_component(body, key=key)
        case PackageToRemove():
            await core.delete_package(body.id, body.uri, key=key)
        case VehicleToRetire(vin=vin, erase=True):
            await core.erase_vehicle(vin, key=key)
        case VehicleToRetire(vin=vin):
            await core.retire_vehicle(vin, key=key)


async def _send_to_resolver(resolver: ResolverClient, body: ResolverBody, key: str) -> None:
    match body:
        case VehicleToResolve():
            await resolver.new_vehicle(body, key=key)
        case PackageToResolve():
            await resolver.new_package(body, key=key)
        case ComponentToResolve():
            await resolver.new_component(body, key=key)
        case PackageId():
            await resolver.delete_package(body, key=key)
        case VehicleToForget(vin=vin):
            await resolver.delete_vehicle(vin, key=key)
