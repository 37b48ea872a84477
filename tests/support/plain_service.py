"""A process in a network of its own: calls a service made with Python's ``http.server``, and counts delays.

``http.server`` writes the head of an answer and its body apart, so the kernel sends the body only when the head is
acknowledged (Nagle). The kernel counts acknowledgements that it put off; in a network namespace they are all ours.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from sota.kit.http.client import Response
from sota.rvi.callback import HttpAddress

CALLS = 50
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41
BODY = b'{"jsonrpc":"2.0","id":1,"result":{"status":0}}'


class Service(BaseHTTPRequestHandler):
    """Answers every POST."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


def bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        fcntl.ioctl(endpoint, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP_RUNNING))


def delayed_acknowledgements() -> int:
    """Read what the kernel has counted in this network namespace."""
    names, values = [
        line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")
    ]
    return int(values[names.index("DelayedACKs")])


async def call(port: int) -> int:
    """Make the calls one after the other; returns how many were answered."""
    caller = HttpAddress(f"http://127.0.0.1:{port}/").channel(10.0)
    answered = 0
    for _ in range(CALLS):
        told: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        caller.call((b"{}",), told.set_result)
        answered += await told == Response(200, {}, BODY)
    caller.close()
    return answered


def main() -> None:
    bring_loopback_up()
    server = HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = delayed_acknowledgements()
    answered = asyncio.run(call(server.server_port))
    print(answered, delayed_acknowledgements() - before)
    server.shutdown()


if __name__ == "__main__":
    main()
