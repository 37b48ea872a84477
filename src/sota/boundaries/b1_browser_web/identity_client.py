"""What programs and tests use for identities of vehicles, with a token."""

from __future__ import annotations

from sota.boundaries.b2_web_core import identity_messages as messages
from sota.boundaries.b2_web_core import identity_rows as rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import BoundaryClient, Page
from sota.boundaries.parameters import ListQuery


class IdentityClient(BoundaryClient):
    """Enrolment, revocation and the authority."""

    @calls("X-B1-80")
    async def enrol(self, vin: str, enrolment: messages.NewEnrolment) -> messages.Enrolled:
        """Issue an identity to a vehicle."""
        return await self.caller.call(rows.ENROL, {"vin": vin}, body=enrolment)

    @calls("X-B1-81")
    async def identities_of(self, vin: str, query: ListQuery | None = None) -> Page[messages.Identity]:
        """List the identities that a vehicle was given, the latest first."""
        return await self.caller.page(rows.IDENTITIES, {"vin": vin}, query=query)

    @calls("X-B1-82")
    async def new_enrolment_code(self, vin: str, code: messages.NewCode) -> messages.EnrolmentCode:
        """Create a one-time code with which a vehicle enrols itself."""
        return await self.caller.call(rows.NEW_CODE, {"vin": vin}, body=code)

    @calls("X-B1-83")
    async def enrol_by_code(self, enrolment: messages.CodeEnrolment) -> messages.Enrolled:
        """Enrol a vehicle with its code."""
        return await self.caller.call(rows.ENROL_BY_CODE, body=enrolment)

    @calls("X-B1-84")
    async def revoke_identities(self, vin: str, revocation: messages.Revocation) -> messages.Revoked:
        """Revoke identities of a vehicle."""
        return await self.caller.call(rows.REVOKE, {"vin": vin}, body=revocation)

    @calls("X-B1-85")
    async def revocations(self, query: ListQuery | None = None) -> Page[messages.RevokedEntry]:
        """Read the revocation list."""
        return await self.caller.page(rows.REVOCATIONS, query=query)

    @calls("X-B1-86")
    async def authority(self) -> messages.AuthorityState:
        """Return the trust anchors and how far one has taken over from another."""
        return await self.caller.call(rows.AUTHORITY)
