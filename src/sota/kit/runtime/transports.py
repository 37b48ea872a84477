"""Writes several parts to a transport together, with back pressure on every supported Python.

``writelines`` of asyncio's sockets never pauses the writer in Python 3.12.0 to 3.12.8, 3.13.0 and 3.13.1
(CVE-2024-12254): a peer that does not read would cost memory without limit. There each part is written by itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

NEVER_PAUSES = (3, 12) <= sys.version_info[:3] < (3, 12, 9) or (3, 13) <= sys.version_info[:3] < (3, 13, 2)


def write_parts(transport: asyncio.WriteTransport, parts: Iterable[bytes | bytearray | memoryview]) -> None:
    """Write these parts in their order."""
    if NEVER_PAUSES:
        for part in parts:
            transport.write(part)
    else:
        transport.writelines(parts)
