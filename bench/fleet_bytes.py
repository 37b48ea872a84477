"""The fleet benchmark's baseline: what the bytes of its packages alone take of the processor.

One program plays both ends. For each vehicle a package goes block by block through TLS, out of one engine and into
another, and each block is written to a file and synced; then the file is read and its SHA-256 taken. No way of updating
a vehicle can do without that. Nothing is framed, acknowledged or remembered.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import time
from pathlib import Path

from sota.kit.security.tls import ensure_certificate


class End:
    """One end of a TLS connection: an engine, and the two buffers between it and the wire."""

    def __init__(self, context: ssl.SSLContext, *, is_server: bool) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.engine = context.wrap_bio(self.incoming, self.outgoing, server_side=is_server)

    def shake_hands(self) -> None:
        """Go as far in the handshake as what has arrived allows."""
        try:
            self.engine.do_handshake()
        except ssl.SSLWantReadError:
            return


def ms_per_vehicle(folder: Path, vehicles: int, content: bytes, block_bytes: int) -> float:
    """Pass the bytes of all vehicles; return the processor time for one in ms, the kernel's included."""
    near, far = _connected(folder)
    target = folder / "bytes"
    began_s = time.process_time()
    for _ in range(vehicles):
        with target.open("wb", buffering=0) as file:
            for first in range(0, len(content), block_bytes):
                block = content[first : first + block_bytes]
                near.engine.write(block)
                far.incoming.write(near.outgoing.read())
                left = len(block)
                while left:
                    left -= file.write(far.engine.read(left))
                os.fdatasync(file.fileno())
        with target.open("rb") as file:
            hashlib.file_digest(file, "sha256")
    return (time.process_time() - began_s) * 1000 / vehicles


def _connected(folder: Path) -> tuple[End, End]:
    certificate, key = ensure_certificate(folder)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE  # the bytes are measured, and no trust
    near, far = End(server, is_server=True), End(client, is_server=False)
    for _ in range(3):
        for end, other in ((far, near), (near, far)):
            end.shake_hands()
            other.incoming.write(end.outgoing.read())
    return near, far
