"""Use cases of identities, each within one transaction: enrol, renew, revoke.

``draft`` is signed by the authority before the transaction, since signing takes longer than writing. If the vehicle
already has an identity for this key, the draft is discarded.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sota.boundaries.authority import Issued
from sota.boundaries.b2_web_core.identity_messages import IssuedBy
from sota.core.identity import store
from sota.core.identity.model import Identity, make_code
from sota.core.vehicles.store import lock_vehicles
from sota.kit.errors import NotFound, Refused
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyRow

REPLACED = "replaced"
NO_CODE = "0" * 64


@dataclass(frozen=True, slots=True)
class Done:
    """An issued identity, and how many others were revoked for it."""

    identity: Identity
    revoked: int = 0


async def enrol(tx: Tx, vin: str, draft: Issued, now: datetime, *, replace: bool) -> Done:
    """Issue an identity on an operator's request.

    Raises:
        NotFound: the vehicle is not registered.
        Refused: ``identity_exists``.
    """
    await _require(tx, vin)
    valid = await store.find_valid(tx, vin, now)
    same = next((one for one in valid if one.public_key == draft.public_key), None)
    others = [one for one in valid if one is not same]
    if others and not replace:
        raise Refused("identity_exists", f"{vin} has a valid identity: say replace, and it is revoked at once.")
    if replace:
        await store.bar(tx, vin, now, by_retirement=False)
    return await _issue(tx, vin, draft, now, IssuedBy.OPERATOR, same=same, revoked=others)


async def new_code(tx: Tx, vin: str, now: datetime, valid: timedelta) -> tuple[str, datetime]:
    """Create a one-time code; return it and its end. Only its hash is stored.

    Raises:
        NotFound: the vehicle is not registered.
    """
    await _require(tx, vin)
    code = make_code()
    await store.keep_code(tx, vin, _hash(code), now, now + valid)
    return code, now + valid


async def check_code(tx: Tx, vin: str, code: str, now: datetime) -> None:
    """Check a vehicle's code before anything is signed for it; an unknown VIN takes as long.

    Raises:
        Refused: ``code_refused`` for every reason: the caller does not learn which.
    """
    _require_code(await store.look_code_up(tx, vin), code, now)


async def enrol_by_code(tx: Tx, vin: str, code: str, draft: Issued, now: datetime) -> Done:
    """Issue an identity for a vehicle's own key, replacing the old ones; the same key gets the same one again.

    Raises:
        Refused: ``code_refused`` for every reason: the caller does not learn which.
    """
    known = await store.find_code(tx, vin) if await lock_vehicles(tx, [vin]) else None
    known = _require_code(known, code, now)
    valid = await store.find_valid(tx, vin, now)
    same = next((one for one in valid if one.public_key == draft.public_key), None)
    if known.used_for is not None and (known.used_for != draft.public_key or same is None):
        raise _code_refused()
    await store.use_code(tx, vin, draft.public_key)
    if await store.was_seen(tx, vin):  # it may have an identity that another tool issued
        await store.bar(tx, vin, now, by_retirement=False)
    others = [one for one in valid if one is not same]
    return await _issue(tx, vin, draft, now, IssuedBy.CODE, same=same, revoked=others)


async def renew(tx: Tx, vin: str, credential_id: str, draft: Issued, now: datetime, pause: timedelta) -> Done:
    """Issue another identity to a vehicle that shows a valid one, which stays valid until it expires.

    Raises:
        NotFound: the vehicle is not registered.
        Refused: ``forbidden``: the shown one is revoked; ``too_soon``.
    """
    await _require(tx, vin)
    shown = await store.find_credential(tx, vin, credential_id)
    if shown.revoked_at is not None if shown is not None else await store.is_barred(tx, vin):
        raise Refused("forbidden", "The identity that asks for its renewal is revoked.", status=403, title="Forbidden")
    valid = await store.find_valid(tx, vin, now)
    same = next((one for one in valid if one.public_key == draft.public_key), None)
    if same is None and any(one.issued_by == IssuedBy.RENEWAL and one.is_recent(now, pause) for one in valid):
        raise Refused("too_soon", "The vehicle had another identity a short while ago.")
    return await _issue(tx, vin, draft, now, IssuedBy.RENEWAL, same=same)


async def revoke(
    tx: Tx, vin: str, reason: str, now: datetime, *, only: UUID | None = None, by_retirement: bool = False
) -> int:
    """Revoke a vehicle's identities, or one of them, and its unused code; return how many were ours.

    Those that another tool issued (``sota enrol``) are in no register: the VIN itself is barred.

    Raises:
        NotFound: the vehicle is not registered, or has no such identity.
    """
    if not await store.is_registered(tx, vin, for_change=True):
        raise NotFound(f"The VIN {vin} is not registered.")
    found = await store.find_valid(tx, vin, now, only=only)
    if only is not None and not found:
        raise NotFound(f"{vin} has no valid identity {only}.")
    await store.mark_revoked(tx, found, reason, now)
    if only is None:
        await store.drop_codes(tx, vin)
        await store.bar(tx, vin, now, by_retirement=by_retirement)
    return len(found)


async def _require(tx: Tx, vin: str) -> None:
    if not await lock_vehicles(tx, [vin]):
        raise NotFound(f"The VIN {vin} is not registered, or is retired.")


async def _issue(
    tx: Tx,
    vin: str,
    draft: Issued,
    now: datetime,
    issued_by: IssuedBy,
    *,
    same: Identity | None,
    revoked: Sequence[Identity] = (),
) -> Done:
    await store.mark_revoked(tx, revoked, REPLACED, now)
    one = same
    if one is None or one.issuer != draft.issuer:
        one = Identity(
            id=new_id(),
            vin=vin,
            fingerprint=draft.fingerprint,
            credential_id=draft.credential_id,
            public_key=draft.public_key,
            issuer=draft.issuer,
            certificate=draft.certificate,
            credential=draft.credential,
            issued_by=issued_by.value,
            issued_at=now,
            expires_at=draft.not_after,
        )
        await store.insert(tx, one)
    if await store.is_barred(tx, vin):
        await store.allow(tx, one, now)
    return Done(one, len(revoked))


def _require_code(known: AnyRow | None, code: str, now: datetime) -> AnyRow:
    is_right = hmac.compare_digest(known.code_hash if known is not None else NO_CODE, _hash(code))
    if known is None or not is_right or now >= known.expires_at:
        raise _code_refused()
    return known


def _code_refused() -> Refused:
    return Refused("code_refused", "This code is wrong, used or expired: ask an operator for another one.")


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
