"""Password hashing by argon2id, off the event loop, a few at a time.

A check takes some tens of milliseconds of processor time and 32 MiB; both are limited, so that a flood of sign-ins
can neither starve other requests nor fill the memory. A check against an unknown account costs as much as one
against a known account.
"""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sota.kit.runtime.turns import take_turn

AT_ONCE = 2
WAIT_S = 10.0


class Passwords:
    """Hashes passwords and checks them."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._unknown: str | None = None

    async def hash(self, password: str) -> str:
        """Hash a new password."""
        async with self._gate:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def check(self, password: str, password_hash: str | None) -> bool:
        """Return whether the password is right; ``None`` is an account that does not exist, and takes as long.

        Raises:
            Unavailable: too many are waiting.
        """
        await take_turn(self._gate, WAIT_S, "Too many people are signing in: try again in a moment.")
        try:
            return await asyncio.to_thread(self._check, password, password_hash)
        finally:
            self._gate.release()

    def _check(self, password: str, password_hash: str | None) -> bool:
        if self._unknown is None:
            self._unknown = self._hasher.hash(secrets.token_hex(16))
        try:
            self._hasher.verify(password_hash or self._unknown, password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None
