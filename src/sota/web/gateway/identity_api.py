"""Rows of B1 about identities of vehicles, which go on to SOTA Core (B2)."""

from __future__ import annotations

from typing import Any

import msgspec

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b2_web_core.identity_messages import CodeEnrolment, NewCode, NewEnrolment, Revocation
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.kit.errors import Refused
from sota.web.gateway.answer import answering, listed, paging
from sota.web.sessions.throttle import EnrolmentThrottle

COUNTED = frozenset({"code_refused", "invalid"})


class IdentityApi:
    """Enrolment, revocation and the authority."""

    def __init__(self, core: CoreClient, throttle: EnrolmentThrottle) -> None:
        self._core, self._throttle = core, throttle

    @serves("X-B1-80")
    async def enrol(self, call: Call[NewEnrolment]) -> Reply:
        """Give a vehicle an identity."""
        with answering(call.row):
            return _whole("enrolled", await self._core.enrol(call.path["vin"], call.body))

    @serves("X-B1-81")
    async def identities(self, call: Call[Any]) -> Reply:
        """List the identities of a vehicle."""
        with answering(call.row):
            return listed(call, await self._core.identities_of(call.path["vin"], **paging(call.query)))

    @serves("X-B1-82")
    async def new_code(self, call: Call[NewCode]) -> Reply:
        """Make a one-time code with which a vehicle enrols itself."""
        with answering(call.row):
            return _whole("created", await self._core.new_enrolment_code(call.path["vin"], call.body))

    @serves("X-B1-83")
    async def enrol_by_code(self, call: Call[CodeEnrolment]) -> Reply:
        """Enrol a vehicle that shows its code."""
        await self._throttle.check(call.client)
        try:
            with answering(call.row):
                return _whole("enrolled", await self._core.enrol_by_code(call.body))
        except Refused as error:
            if error.code in COUNTED:
                await self._throttle.count(call.client)
            raise

    @serves("X-B1-84")
    async def revoke(self, call: Call[Revocation]) -> Reply:
        """Let identities of a vehicle count no more."""
        with answering(call.row):
            return _whole("revoked", await self._core.revoke_identities(call.path["vin"], call.body))

    @serves("X-B1-85")
    async def revocations(self, call: Call[Any]) -> Reply:
        """Read the revocation list."""
        with answering(call.row):
            return listed(call, await self._core.revocations(**paging(call.query)))

    @serves("X-B1-86")
    async def authority(self, call: Call[Any]) -> Reply:
        """Give the trust anchors."""
        with answering(call.row):
            return Reply("found", await self._core.authority())


def _whole(outcome: str, body: msgspec.Struct) -> Reply:
    """Answer with all of a body but its message, which the row gives."""
    fields = {name: value for name, value in msgspec.structs.asdict(body).items() if name != "message"}
    return Reply(outcome, {name: value for name, value in fields.items() if value is not None})
