"""``python -m bench.transfer_sink PORT FOLDER BLOCKS``: vehicles that take blocks and keep none, all in one process.

They speak the link's real protocol, msgpack over mutual TLS, and acknowledge what came in one read together, at once.
A block's content is received and decrypted like everything else, and passed over: it is never decoded to text.
``FOLDER`` is one identity and ``tokens``, a line ``VIN TOKEN`` for each vehicle. When all were notified of their update
they say so and ask for it; the line that is printed at the end is how long it took from the first block to the last.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any, cast

import msgpack
import uvloop

from sota.boundaries.services import VEHICLE_SERVICES, backend_service, vehicle_service
from sota.kit.runtime.memory import keep_freed
from sota.rvi.credentials import Identity
from sota.rvi.link import client_context

CONNECTING_AT_ONCE = 20
KEEP_MS = 300_000
BEGUN = "begun"
READ_BYTES = 256 << 10
CONTENT = b"\xa5bytes\xdb"
"""What stands before a block's content and its length, which has four bytes, in msgpack."""


class Fleet:
    """What all vehicles have received."""

    def __init__(self, vehicles: int, blocks: int) -> None:
        self.vehicles, self.blocks = vehicles, blocks
        self.notified: list[Vehicle] = []
        self.received = self.repeated = 0
        self.first_at = self.last_at = 0.0
        self.done = asyncio.get_running_loop().create_future()
        self.read = memoryview(bytearray(READ_BYTES))  # one vehicle's at a time: it is dealt with before the next read

    def take_notice(self, vehicle: Vehicle) -> None:
        """One more vehicle knows of its update."""
        self.notified.append(vehicle)
        if len(self.notified) == self.vehicles:
            print(BEGUN, flush=True)
            for each in self.notified:
                each.initiate()

    def count(self) -> None:
        """Count one more block."""
        self.last_at = time.perf_counter()
        self.first_at = self.first_at or self.last_at
        self.received += 1
        if self.received == self.vehicles * self.blocks and not self.done.done():
            self.done.set_result(None)


class Vehicle(asyncio.BufferedProtocol):
    """One vehicle's node and client, as far as a transfer needs them."""

    def __init__(self, fleet: Fleet, vin: str, token: str) -> None:
        self._fleet, self.vin, self._token = fleet, vin, token
        self._unpacker = msgpack.Unpacker(raw=False)
        self._content_left = 0
        self._held = b""
        self._index = 0
        self._named: dict[str, Any] = {}
        self._upto = 0
        self._beyond: set[int] = set()
        self._announced = False
        self._has_news = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)
        self._send({"cmd": "au", "ver": "1.0", "creds": [self._token]})

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail: no link may be lost during the benchmark."""
        if not self._fleet.done.done():
            self._fleet.done.set_exception(ConnectionResetError(f"the node closed a link: {exc}"))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer to read into."""
        del sizehint
        return self._fleet.read

    def buffer_updated(self, count: int) -> None:
        """Take what came, and acknowledge its blocks."""
        passed = min(self._content_left, count)
        self._content_left -= passed
        if passed == count:
            return
        self._feed(self._held + bytes(self._fleet.read[passed:count]))
        for packet in self._unpacker:
            command = packet.get("cmd")
            if command == "rcv":
                self._take(packet["data"])
            elif command == "sa" and not self._announced:
                self._announced = True
                names = [vehicle_service(self.vin, name) for name in VEHICLE_SERVICES]
                self._send({"cmd": "sa", "stat": "av", "svcs": names})
        if self._has_news:
            self._has_news = False
            self._acknowledge(None)

    def _feed(self, data: bytes) -> None:
        """Unpack all but the content of blocks: an empty text stands in its place."""
        at, self._held = 0, b""
        while (found := data.find(CONTENT, at)) >= 0 and found + len(CONTENT) + 4 <= len(data):
            start = found + len(CONTENT)
            end = start + 4 + int.from_bytes(data[start : start + 4], "big")
            self._unpacker.feed(data[at : start - 1] + b"\xa0")
            at, self._content_left = min(end, len(data)), max(0, end - len(data))
        rest = data[at:]
        cut = rest.rfind(CONTENT[:1], -len(CONTENT) - 3)
        if cut >= 0 and CONTENT.startswith(rest[cut : cut + len(CONTENT)]):  # perhaps the beginning of one
            rest, self._held = rest[:cut], rest[cut:]
        self._unpacker.feed(rest)

    def initiate(self) -> None:
        """Ask for the download."""
        self._say("start", self._named)

    def _take(self, data: dict[str, Any]) -> None:
        service = data["service"].rpartition("/")[2]
        body = data["parameters"][0]
        if service == "chunk":
            self._take_block(body["index"])
        elif service == "notify" and not self._index:
            download = body["downloads"][0]
            self._index = download["download_index"]
            identity = {"update_id": body["update_id"], "package": download["package"], "sha256": download["sha256"]}
            self._named = {
                "vin": self.vin,
                "download_index": self._index,
                "identity": identity,
                "epoch": body["epoch"],
            }
            self._fleet.take_notice(self)
        elif service == "start":
            self._acknowledge(None)
        elif service == "finish":
            self._acknowledge({"status": 200, "message": "Download of bench/1.0.0 complete"})

    def _take_block(self, index: int) -> None:
        if index <= self._upto or index in self._beyond:
            self._fleet.repeated += 1
            return
        self._has_news = True
        self._beyond.add(index)
        while self._upto + 1 in self._beyond:
            self._upto += 1
            self._beyond.discard(self._upto)
        self._fleet.count()

    def _acknowledge(self, outcome: dict[str, Any] | None) -> None:
        first = [f"1-{self._upto}"] if self._upto > 1 else ["1"] if self._upto else []
        received = ",".join(first + [str(index) for index in sorted(self._beyond)])
        body: dict[str, Any] = {**self._named, "received": received}
        if outcome is not None:
            body["outcome"] = outcome
        self._say("ack", body)

    def _say(self, service: str, body: dict[str, Any]) -> None:
        deadline = int(time.time() * 1000) + KEEP_MS
        data = {"service": backend_service(service), "timeout": deadline, "parameters": [body]}
        self._send({"tid": 1, "cmd": "rcv", "mod": "proto_msgpack_rpc", "data": data})

    def _send(self, packet: dict[str, Any]) -> None:
        self._transport.write(msgpack.packb(packet, use_bin_type=False))


async def run(port: int, folder: Path, blocks: int) -> None:
    """Connect all vehicles, receive everything, report."""
    identities = [line.split() for line in (folder / "tokens").read_text().splitlines()]
    fleet = Fleet(len(identities), blocks)
    context = client_context(Identity.read(folder, time.time()))
    turns = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def connect(vin: str, token: str) -> None:
        async with turns:
            await _connect(fleet, vin, token, port, context)

    await asyncio.gather(*(connect(vin, token) for vin, token in identities))
    await fleet.done
    told = {"blocks": fleet.received, "repeated": fleet.repeated, "seconds": fleet.last_at - fleet.first_at}
    print(json.dumps(told), flush=True)
    await asyncio.sleep(3600)  # until the benchmark ends us: a link that closes would cost the others time


async def _connect(fleet: Fleet, vin: str, token: str, port: int, context: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: Vehicle(fleet, vin, token), "127.0.0.1", port, ssl=context)


if __name__ == "__main__":
    keep_freed()
    uvloop.run(run(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
