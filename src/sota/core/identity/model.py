"""Rules of identities. Nothing here does I/O.

* An identity is due for renewal when a third of its time is left, by Core's clock, or when it was issued by another
  authority than the current one. The vehicle's own clock is not considered.
* A vehicle gets one new identity within ``pause``; the same key always gets the same identity.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

LEFT_WHEN_DUE = 3  # a third
CODE_BYTES = 24


def make_code() -> str:
    """Generate a one-time code without dashes: on a command line a leading dash means an option.

    >>> any("-" in make_code() for _ in range(100))
    False
    """
    return secrets.token_urlsafe(CODE_BYTES).replace("-", "_")


@dataclass(frozen=True, slots=True)
class Identity:
    """An issued identity; ``revoked_at`` is None as long as it is valid."""

    id: UUID
    vin: str
    fingerprint: str
    credential_id: str
    public_key: str
    issuer: str
    certificate: str
    credential: str
    issued_by: str
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_because: str | None = None

    def is_valid(self, now: datetime) -> bool:
        """Return whether it is valid."""
        return self.revoked_at is None and now < self.expires_at

    def is_due(self, now: datetime, issuer: str) -> bool:
        """Return whether the vehicle should get another one; ``issuer`` is the current authority."""
        left, whole = self.expires_at - now, self.expires_at - self.issued_at
        return self.issuer != issuer or left * LEFT_WHEN_DUE < whole

    def is_recent(self, now: datetime, pause: timedelta) -> bool:
        """Return whether it was issued so recently that the vehicle has to wait for the next one."""
        return now - self.issued_at < pause
