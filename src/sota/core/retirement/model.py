"""The pseudonym under which an erased vehicle's history is kept. Nothing here does I/O.

It is a hash of the VIN with a key that is thrown away: there are so few VINs that a hash without one would be undone by
trying them all. So nobody, ourselves included, can tell whose history it is, nor find the same vehicle's twice.
"""

from __future__ import annotations

import base64
import hashlib

LENGTH = 17


def pseudonym(vin: str, key: bytes) -> str:
    """Give a name of a VIN's own form: 17 capital letters and digits.

    >>> len(pseudonym("WVWZZZ1KZ7W000001", b"k" * 32))
    17
    """
    digest = hashlib.blake2b(vin.encode(), key=key, digest_size=20).digest()
    return base64.b32encode(digest).decode()[:LENGTH]
