"""The authority whose key this Core has: read from its folder, and again when that changes.

The key stays in the folder, readable only by Core's own user; it is in no database, log or answer.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from sota.boundaries.authority import Authority, Issued, make_request
from sota.kit.errors import Invalid, Refused

FILES = ("root.key", "root.pem", "next.pem", "previous.pem", "switching")


class KeptAuthority:
    """Signs for Core. ``lifetime`` is that of the identities."""

    def __init__(self, folder: Path, lifetime: timedelta) -> None:
        self._folder, self._lifetime = folder, lifetime
        self._seen: tuple[int | None, ...] = ()
        self._authority: Authority | None = None

    def find(self) -> Authority | None:
        """Return the current authority; None if there is none."""
        now = tuple(_stamp(self._folder / name) for name in FILES)
        if now != self._seen:
            try:
                self._authority = Authority.open(self._folder) if now[0] is not None else None
            except ValueError as error:
                raise Refused("no_authority", f"This Core's authority cannot be used: {error}.") from None
            self._seen = tuple(_stamp(self._folder / name) for name in FILES)
        return self._authority

    def require(self) -> Authority:
        """Return the authority.

        Raises:
            Refused: ``no_authority``.
        """
        authority = self.find()
        if authority is None:
            raise Refused("no_authority", "This Core has no authority: make one with sota authority new.")
        return authority

    async def sign(self, vin: str, request: str) -> Issued:
        """Sign a vehicle's request, off the event loop.

        Raises:
            Invalid: the request cannot be signed.
            Refused: ``no_authority``.
        """
        authority = self.require()
        try:
            return await asyncio.to_thread(authority.sign_request, vin, request, self._lifetime)
        except ValueError as error:
            raise Invalid(str(error)) from None

    async def make_key(self, vin: str) -> tuple[str, str]:
        """Create a key and a request for a vehicle that cannot; the key is handed over and not stored."""
        key, request = await asyncio.to_thread(make_request, vin)
        return key.decode(), request


def _stamp(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None
