"""Routes of identities, and the service by which vehicles renew theirs (B7)."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from sota.boundaries.authority import DEVICE_LIFETIME, Issued
from sota.boundaries.b2_web_core import identity_messages as messages
from sota.boundaries.b7_core_rvi import rows
from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.b7_core_rvi.identity_messages import NewIdentity, RenewIdentity
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.rvi_service import Message
from sota.boundaries.parameters import ListQuery, VinPath
from sota.boundaries.values import short_vin
from sota.core.identity import service, store
from sota.core.identity.authority import KeptAuthority
from sota.core.identity.model import LEFT_WHEN_DUE, Identity
from sota.core.identity.revocations import RevocationList
from sota.kit.audit.model import AuditedAction
from sota.kit.audit.trail import AuditTrail
from sota.kit.errors import Forbidden, NotFound, Unavailable
from sota.kit.http.paging import link_next, read_cursor
from sota.kit.runtime import metrics
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database


class IdentitiesApi:
    """Identities, for operators and for vehicles with a code."""

    def __init__(self, db: Database, authority: KeptAuthority, revocations: RevocationList, clock: Clock) -> None:
        self.db, self.authority, self.revocations, self.clock = db, authority, revocations, clock

    @serves("X-B2-30")
    async def enrol(self, call: Call[VinPath, None, messages.NewEnrolment]) -> Reply:
        """Issue an identity to a vehicle, with a new key if the vehicle has none."""
        vin, body = call.path.vin, call.body
        self.authority.require()
        key, request = (None, body.request) if body.request else await self.authority.make_key(vin)
        draft = await self.authority.sign(vin, request)
        now = self.clock.now()
        done = await self.db.transact(lambda tx: service.enrol(tx, vin, draft, now, replace=body.replace))
        return await self._enrolled(done, key)

    @serves("X-B2-31")
    async def identities(self, call: Call[VinPath, ListQuery, None]) -> Reply:
        """List a vehicle's identities."""
        vin, limit, before = call.path.vin, call.query.limit, read_cursor(call, UUID)
        async with self.db.read() as tx:
            if not await store.is_registered(tx, vin):
                raise NotFound(f"The VIN {vin} is not registered.")
            found = await store.list_of(tx, vin, limit + 1, before)
        link = link_next(call, found[limit - 1].id) if len(found) > limit else {}
        return Reply("listed" if found else "empty", [_shown(one) for one in found[:limit]], headers=link)

    @serves("X-B2-32")
    async def new_code(self, call: Call[VinPath, None, messages.NewCode]) -> Reply:
        """Create a one-time code."""
        vin, now = call.path.vin, self.clock.now()
        self.authority.require()
        valid = timedelta(seconds=call.body.valid_s)
        code, ends = await self.db.transact(lambda tx: service.new_code(tx, vin, now, valid))
        return Reply("created", {"vin": vin, "code": code, "expires_at": ends})

    @serves("X-B2-33")
    async def enrol_by_code(self, call: Call[None, None, messages.CodeEnrolment]) -> Reply:
        """Issue an identity for a vehicle's own key."""
        body, now = call.body, self.clock.now()
        self.authority.require()
        # First: any client may call this, and a signature takes a hundred times as long as the check.
        async with self.db.read() as tx:
            await service.check_code(tx, body.vin, body.code, now)
        draft = await self.authority.sign(body.vin, body.request)
        done = await self.db.transact(lambda tx: service.enrol_by_code(tx, body.vin, body.code, draft, now))
        return await self._enrolled(done, None)

    @serves("X-B2-34")
    async def revoke(self, call: Call[VinPath, None, messages.Revocation]) -> Reply:
        """Revoke identities."""
        vin, body, now = call.path.vin, call.body, self.clock.now()
        only = UUID(body.identity_id) if body.identity_id else None
        revoked = await self.db.transact(lambda tx: service.revoke(tx, vin, body.reason, now, only=only))
        await self.revocations.refresh()
        get_logger().info("identities_revoked", vin=short_vin(vin), identities=revoked)
        return Reply("revoked", {"vin": vin, "revoked": revoked, "barred": only is None})

    @serves("X-B2-35")
    async def list_revoked(self, call: Call[None, ListQuery, None]) -> Reply:
        """Read the revocation list."""
        limit, after = call.query.limit, read_cursor(call)
        async with self.db.read() as tx:
            found = await store.list_revoked(tx, self.clock.now(), limit + 1, after)
        link = link_next(call, found[limit - 1].entry) if len(found) > limit else {}
        entries = [
            messages.RevokedEntry(entry=row.entry, revoked_at=row.revoked_at, until=row.until) for row in found[:limit]
        ]
        return Reply("listed" if entries else "empty", entries, headers=link)

    @serves("X-B2-36")
    async def state(self, call: Call[None, None, None]) -> Reply:
        """Return the trust anchors, and how many identities each has signed."""
        authority = self.authority.require()
        async with self.db.read() as tx:
            counts = await store.count_by_issuer(tx, self.clock.now())
        entries = [
            messages.Anchor(
                fingerprint=fingerprint,
                name=name,
                signing=fingerprint == authority.issuer,
                identities=counts.get(fingerprint, 0),
            )
            for fingerprint, name in authority.anchors()
        ]
        return Reply("found", messages.AuthorityState(entries=entries, anchors=authority.anchors_pem.decode()))

    async def _enrolled(self, done: service.Done, key: str | None) -> Reply:
        await self.revocations.refresh()
        one = done.identity
        get_logger().info("vehicle_enrolled", vin=short_vin(one.vin), revoked=done.revoked)
        body = {
            "identity_id": str(one.id),
            "vin": one.vin,
            "certificate": one.certificate,
            "credential": one.credential,
            "anchors": self.authority.require().anchors_pem.decode(),
            "expires_at": one.expires_at,
            "revoked": done.revoked,
            **({"key": key} if key else {}),
        }
        return Reply("enrolled", body)


class RenewalApi:
    """Answers vehicles that call over the link with their identity."""

    def __init__(
        self, db: Database, authority: KeptAuthority, node: NodeClient, audit: AuditTrail, clock: Clock
    ) -> None:
        self.db, self.authority, self.node, self.audit, self.clock = db, authority, node, audit, clock
        self.pause = timedelta(hours=1)

    @serves("X-B7-30")
    async def renew(self, message: Message[RenewIdentity]) -> Reply:
        """Send a vehicle what to change in its identity; sign the key that it asks for."""
        body, peer = message.body, message.peer
        # Never without our node's proof of the sender: otherwise anyone could get an identity.
        if peer is None or peer.vin != body.vin or peer.credential is None:
            metrics.REFUSED.labels("core", "wrong_vin").inc()
            raise Forbidden("A vehicle renews its own identity alone, over our own node.")
        authority = self.authority.find()
        if authority is None:
            return Reply("current")
        anchors = authority.anchors_pem.decode()
        stale = hashlib.sha256(anchors.encode()).hexdigest() != body.anchors
        if body.request is None:
            due = await self._is_due(body, peer.credential, authority.issuer)
            if due or stale:
                await self._send(body.vin, NewIdentity(due=due, anchors=anchors if stale else None))
            return Reply("current")
        draft = await self.authority.sign(body.vin, body.request)
        issued = await self._issue(body.vin, peer.credential, draft)
        await self._send(
            body.vin,
            NewIdentity(
                certificate=issued.certificate, credential=issued.credential, anchors=anchors if stale else None
            ),
        )
        return Reply("renewed")

    async def _is_due(self, body: RenewIdentity, credential_id: str, issuer: str) -> bool:
        now = self.clock.now()
        async with self.db.read() as tx:
            shown = await store.find_credential(tx, body.vin, credential_id)
        if shown is not None:
            return shown.is_due(now, issuer)
        # Issued beside Core (sota enrol): only the vehicle knows when it ends.
        if body.expires_at is None:
            return False
        return datetime.fromtimestamp(body.expires_at, UTC) - now < DEVICE_LIFETIME / LEFT_WHEN_DUE

    async def _issue(self, vin: str, credential_id: str, draft: Issued) -> Identity:
        now = self.clock.now()
        done = await self.db.transact(lambda tx: service.renew(tx, vin, credential_id, draft, now, self.pause))
        actor, what = f"vehicle {vin}", f"identities/{done.identity.id} vin={vin}"
        await self.audit.record(AuditedAction(now, actor, "", rows.RENEW_IDENTITY.id, what, "renewed", 200))
        get_logger().info("identity_renewed", vin=short_vin(vin))
        return done.identity

    async def _send(self, vin: str, identity: NewIdentity) -> None:
        try:
            await self.node.new_identity(vin, identity)
        except Unavailable as error:  # the vehicle asks again
            get_logger().warning("identity_not_sent", vin=short_vin(vin), reason=error.detail)


def _shown(one: Identity) -> messages.Identity:
    return msgspec.convert({**asdict(one), "identity_id": str(one.id)}, messages.Identity)
