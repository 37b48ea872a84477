"""Resolves conflicts: a vehicle names a download, or an epoch of its own, that Core does not know.

Rules kept here:

* such a message is counted and logged, and nothing of it is recorded. The vehicle is asked for all its packages (B7-8),
  so that the register shows what is installed;
* a vehicle that names its present epoch together with an update or an index that Core does not know proves that the
  database lost its last commits: the epoch is renewed, so that no earlier message counts;
* new downloads get indexes above every index that the vehicle has named;
* a vehicle that names another epoch is sent its present one, and its update under way;
* a vehicle that waits for blocks of an unknown update is told to drop it.
"""

from __future__ import annotations

from uuid import UUID

from sota.boundaries.b7_core_rvi import rows
from sota.boundaries.b7_core_rvi.messages import VehicleConnected, Welcome
from sota.boundaries.values import short_vin
from sota.core import schedules
from sota.core.transfers.dispatching.dispatcher import Dispatcher
from sota.core.transfers.errors import TRANSIENT
from sota.core.transfers.model import DownloadMessage
from sota.core.transfers.presence import store as conflict_store
from sota.core.transfers.presence.model import Verdict, judge
from sota.core.transfers.sending.engine import Engine
from sota.core.vehicles import epoch_store
from sota.kit.audit.model import AuditedAction
from sota.kit.audit.trail import AuditTrail
from sota.kit.runtime import metrics
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Tx
from sota.kit.sql.outbox import Relay

ASKED_AT_ONCE = 500
NOTHING = Verdict(renew=False, stale=False, ask=False)


class Conflicts:
    """Records conflicts, and compares what vehicles remember with what Core knows."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher, relay: Relay, audit: AuditTrail) -> None:
        self._engine, self._dispatcher, self._relay, self._audit = engine, dispatcher, relay, audit
        self._db, self._clock = engine.db, engine.clock
        self._log = get_logger(program="core")

    async def note(self, claim: DownloadMessage, service: str) -> None:
        """Record that a message matches no download, and ask the vehicle for its packages."""
        metrics.REFUSED.labels("core", "other_download").inc()
        self._log.warning(
            "download_conflict",
            vin=short_vin(claim.vin),
            service=service,
            download_index=claim.download_index,
            package=claim.identity.package.text,
        )
        verdict, known = await self._db.transact(
            lambda tx: self._judge(tx, claim.vin, claim.epoch, claim.download_index, claim.identity.update_id)
        )
        await self._follow(claim.vin, verdict)
        if service == "ack" and not known:  # it waits for blocks that will not come, and its next update waits for it
            self._engine.disown(claim)
        self._relay.wake()

    async def compare(self, connected: VehicleConnected) -> None:
        """Compare what a vehicle remembers with what Core knows, when it connects."""
        vin, epoch, highest = connected.vin, connected.epoch, connected.highest_index
        async with self._db.read() as tx:
            life = await conflict_store.read_life(tx, vin)
        if life is None or (judge(life, epoch, highest) == NOTHING and highest <= life.highest_index):
            return
        verdict, _ = await self._db.transact(lambda tx: self._judge(tx, vin, epoch, highest))
        if verdict.ask:
            self._log.warning("vehicle_remembers_another_life", vin=short_vin(vin), highest_index=highest)
            self._relay.wake()
        await self._follow(vin, verdict)

    async def ask(self, vins: set[str]) -> None:
        """Send vehicles that were connected before Core their epoch, so that each answers with what it remembers."""
        waiting = sorted(vins)
        for start in range(0, len(waiting), ASKED_AT_ONCE):
            async with self._db.read() as tx:
                epochs = await conflict_store.read_epochs(tx, waiting[start : start + ASKED_AT_ONCE])
            for vin, epoch in epochs.items():
                await self._welcome(vin, epoch)

    async def _judge(
        self, tx: Tx, vin: str, epoch: str | None, highest: int, update_id: str | None = None
    ) -> tuple[Verdict, bool]:
        """Compare, and write what follows; return also whether the update is known, if the vehicle names one."""
        life = await conflict_store.lock_life(tx, vin)
        if life is None:
            return NOTHING, True
        known = update_id is None or await conflict_store.has_update(tx, vin, UUID(update_id))
        verdict = judge(life, epoch, highest, knows_update=known)
        if highest > life.highest_index:
            await epoch_store.raise_highest_index(tx, vin, highest)
        if verdict.renew:
            await epoch_store.renew_epochs_of(tx, [vin])
        if verdict.ask or update_id is not None:
            await schedules.ask_for_packages(tx, vin, self._clock.now())
        return verdict, known

    async def _follow(self, vin: str, verdict: Verdict) -> None:
        if verdict.renew:
            self._log.warning("epoch_renewed", vin=short_vin(vin))
            actor, what = f"vehicle {vin}", f"vehicles/{vin}"
            now, row = self._clock.now(), rows.CONNECTED.id
            await self._audit.record(AuditedAction(now, actor, "", row, what, "epoch_renewed", 200))
        if not verdict.stale:
            return
        self._engine.active.forget_vehicle(vin)
        async with self._db.read() as tx:
            life = await conflict_store.read_life(tx, vin)
        if life is None:
            return
        await self._welcome(vin, life.epoch)
        await self._dispatcher.tell_again(vin)

    async def _welcome(self, vin: str, epoch: str) -> None:
        try:
            await self._engine.node.welcome(vin, Welcome(epoch=epoch))
        except TRANSIENT as error:  # the vehicle learns it with its next update
            self._log.warning("welcome_not_sent", vin=short_vin(vin), reason=str(error))
