"""The pseudonym under which an erased vehicle's history is kept. Nothing here does I/O.

It is a hash of the VIN with a discarded key: there are so few VINs that a hash without a key could be reversed by
trying them all. So no one, ourselves included, can tell whose history it is, or link two erasures of one vehicle.
"""

from __future__ import annotations

import base64
import hashlib

LENGTH = 17


def pseudonym(vin: str, key: bytes) -> str:
    """Return a name in the form of a VIN: 17 capital letters and digits.

    >>> len(pseudonym("WVWZZZ1KZ7W000001", b"k" * 32))
    17
    """
    digest = hashlib.blake2b(vin.encode(), key=key, digest_size=20).digest()
    return base64.b32encode(digest).decode()[:LENGTH]
