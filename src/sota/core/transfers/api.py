"""Core's services behind the RVI node: B7-3, B7-7, B7-8's answer and ``ack``; and the address that the node calls.

A message counts only for the vehicle that our node names as its sender. A message without a sender (from a real
rvi_core) counts only where the operator allows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

from sota.boundaries.b7_core_rvi.messages import (
    Acknowledgement,
    CancelDownload,
    InitiateDownload,
    InstallationStage,
    InstalledSoftware,
    InstallReport,
    Reported,
    VehicleConnected,
)
from sota.boundaries.b7_core_rvi.rows import CALLBACK, INSTALL_REPORT
from sota.boundaries.binding.call import Reply
from sota.boundaries.binding.decorators import serves, serves_service
from sota.boundaries.binding.rvi_service import Message, RviServices
from sota.boundaries.values import BEGUN, OutcomeReport, Reason, short_vin
from sota.core.transfers import service, store
from sota.core.transfers.errors import TRANSIENT
from sota.core.transfers.model import DownloadMessage, DownloadState
from sota.core.transfers.presence.conflicts import Conflicts
from sota.core.transfers.presence.registration import Registration
from sota.core.transfers.reports import service as reports
from sota.core.transfers.reports.writer import ReportWriter
from sota.core.transfers.store import Ending
from sota.kit.errors import Conflict, Forbidden, Invalid, NotFound, Refused
from sota.kit.http.json_server import Answered
from sota.kit.ranges import Ranges
from sota.kit.runtime import metrics
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.outbox import Relay

RECEIVED = Reply("received")
Body = TypeVar("Body", bound=DownloadMessage | VehicleConnected | InstalledSoftware)


class TransfersApi:
    """The services that vehicles call."""

    def __init__(self, registration: Registration, relay: Relay, conflicts: Conflicts) -> None:
        self.registration, self.relay, self._conflicts = registration, relay, conflicts
        self.engine, self.dispatcher = registration.engine, registration.dispatcher
        self._reports = ReportWriter(self.engine.db, self.engine.clock)
        self._accept_unidentified = self.engine.settings.accept_unidentified_peers
        self._tasks: set[asyncio.Task[None]] = set()

    @serves_service("WL-B7-3", "start")
    async def initiate_download(self, message: Message[InitiateDownload]) -> Reply:
        """Begin a download. ``report`` brings its end; a vehicle that asks again after it is answered ``complete``."""
        body = self._identified(message)
        async with self._noting_conflict(body, "start"):
            download = await self.engine.initiate(body)
        if download.state is DownloadState.INSTALLED:
            return Reply("complete", values={"package": download.package_text})
        return Reply("accepted", status=202)

    @serves_service("WL-B7-3", "cancel")
    async def cancel_download(self, message: Message[CancelDownload]) -> Reply:
        """End an update that the vehicle does not want."""
        body = self._identified(message)
        reason = Reason.DECLINED if body.reason is Reason.DECLINED else Reason.ABORTED
        ending = Ending("cancelled", reason.value, by=reports.ended_by(reason))
        engine = self.engine
        async with self._noting_conflict(body, "cancel"), engine.locks.of(body.vin):
            key = (body.vin, body.download_index)
            async with engine.db.read() as tx:
                found = (await store.find_downloads(tx, [key])).get(key)
            update_id = service.meant(found, body).update_id
            dropped, ended = await engine.db.transact(lambda tx: service.stop(tx, [update_id], ending, engine.clock))
        if not ended and found is not None and found.update_stage in BEGUN:
            raise Conflict("This update is being installed: its report will show how it ends.")
        engine.drop(dropped, reason)
        self.dispatcher.wake([body.vin])
        get_logger().info("update_cancelled", vin=short_vin(body.vin), reason=reason.value)
        return Reply("cancelled")

    @serves("X-B7-1")
    def acknowledge(self, message: Message[Acknowledgement]) -> Reply | Awaitable[Reply]:
        """Note which blocks are on the vehicle's disk; wait only where the download must be looked up first.

        A node makes these calls one after the other, so a call that waits holds up the next ones.
        """
        body = self._identified(message)
        waiting = self.engine.acknowledge(body, _ranges(body), body.outcome)
        return RECEIVED if waiting is None else self._acknowledged(body, waiting)

    async def _acknowledged(self, body: Acknowledgement, waiting: Awaitable[None]) -> Reply:
        async with self._noting_conflict(body, "ack"):
            await waiting
        return RECEIVED

    @serves("X-B7-13")
    async def show_stage(self, message: Message[InstallationStage]) -> Reply:
        """Note what the installer does now."""
        body = self._identified(message)
        async with self._noting_conflict(body, "stage"):
            await self.engine.show_stage(body, body.stage)
        return RECEIVED

    @serves("X-B7-12")
    async def connected(self, message: Message[VehicleConnected]) -> Reply:
        """Compare what the vehicle's folder remembers with what Core knows."""
        await self._conflicts.compare(self._identified(message))
        return RECEIVED

    @serves("WL-B7-7")
    async def record_report(self, message: Message[InstallReport]) -> Reply:
        """Record what a vehicle did, confirm that, and dispatch its next update."""
        body = self._identified(message)
        engine = self.engine
        try:
            async with engine.locks.of(body.vin):
                recorded = await self._reports.submit(body)
                if recorded.outcome != "other_download":
                    engine.active.forget(body.vin, body.download_index)
        except NotFound as unknown:
            # A repetition could change nothing: the vehicle may stop.
            self._later(self._answer(body, OutcomeReport(status=404, message=unknown.detail)))
            raise
        if recorded.outcome == "other_download":
            await self._conflicts.note(body, "report")
        outcome = INSTALL_REPORT.outcome(recorded.outcome)
        if outcome is None or outcome.status is None:
            raise LookupError(recorded.outcome)
        text = outcome.render(package=recorded.package) or ""
        get_logger().info(
            "report_recorded", vin=short_vin(body.vin), outcome=recorded.outcome, package=recorded.package
        )
        self._later(self._answer(body, OutcomeReport(status=outcome.status, message=text)))
        if recorded.outcome == "failure_recorded":
            self._later(self.engine.node.get_packages(body.vin))
        if recorded.ended:
            self.dispatcher.wake([body.vin])
        self.relay.wake()
        return Reply(recorded.outcome, values={"package": recorded.package})

    @serves("X-B7-10")
    async def record_packages(self, message: Message[InstalledSoftware]) -> Reply:
        """Record everything that a vehicle has installed."""
        body = self._identified(message)
        engine = self.engine
        async with engine.locks.of(body.vin):
            await engine.db.transact(lambda tx: service.record_packages(tx, body, engine.clock))
        self.relay.wake()
        if body.outcome is not None:
            get_logger().warning("vehicle_cannot_tell", vin=short_vin(body.vin), reason=body.outcome.message)
        if body.sequence is not None:
            reported = Reported(sequence=body.sequence, outcome=OutcomeReport(status=200, message="received"))
            self._later(engine.node.reported(body.vin, reported))
        return Reply("received")

    async def stop(self) -> None:
        """Wait until all reports are written, then stop sending to vehicles."""
        await self._reports.settle()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _identified(self, message: Message[Body]) -> Body:
        """Return the body of a message, if the vehicle sends for its own VIN.

        Raises:
            Forbidden: it does not, or that is unknown.
        """
        vin, sender = message.body.vin, message.peer.vin if message.peer is not None else None
        if sender is None and not self._accept_unidentified:
            metrics.REFUSED.labels("core", "unidentified_peer").inc()
            raise Forbidden("The node does not say which vehicle sent this message.")
        if sender is not None and sender != vin:
            metrics.REFUSED.labels("core", "wrong_vin").inc()
            get_logger().warning("message_refused", service=message.service, sender=short_vin(sender))
            raise Forbidden("A vehicle speaks for its own VIN alone.")
        self.registration.seen(vin)
        return message.body

    async def _answer(self, report: InstallReport, outcome: OutcomeReport) -> None:
        reported = Reported(download_index=report.download_index, identity=report.identity, outcome=outcome)
        await self.engine.node.reported(report.vin, reported)

    @asynccontextmanager
    async def _noting_conflict(self, message: DownloadMessage, service_name: str) -> AsyncIterator[None]:
        """Record a conflict where the message matches no download."""
        try:
            yield
        except Refused as refused:
            if refused.code == "other_download":
                await self._conflicts.note(message, service_name)
            raise

    def _later(self, work: Coroutine[None, None, None]) -> None:
        """Send to a vehicle after its own message is answered; the vehicle asks again if this gets lost."""

        async def send() -> None:
            try:
                await work
            except TRANSIENT as error:
                get_logger().warning("message_not_sent", reason=str(error))

        task = asyncio.create_task(send())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _ranges(acknowledgement: Acknowledgement) -> Ranges:
    try:
        return Ranges.parse(acknowledgement.received)
    except ValueError as error:
        raise Invalid(str(error)) from None


class CallbackApi:
    """The address that Core registers at its node."""

    def __init__(self, services: RviServices, registration: Registration) -> None:
        self._services, self._registration = services, registration

    @serves("X-B7-11")
    def answer(self, target: bytes, content: bytes | bytearray) -> Answered | Awaitable[Answered]:
        """Answer what the node hands over."""
        return self._services.answer_callback(CALLBACK, self._registration.secret, target, content)

    @serves("X-B7-8")
    async def available(self, names: list[str]) -> None:
        """Services of vehicles came."""
        self._registration.services_available(names)

    @serves("X-B7-9")
    async def unavailable(self, names: list[str]) -> None:
        """Services of vehicles went."""
        self._registration.services_unavailable(names)
