"""A node's service edge for tests: a real HTTP listener that records what Core sends and speaks for vehicles.

It answers the methods of the edge as a node does, and calls the addresses that Core registered. Nothing is lost,
nothing comes twice and nothing is stored: a test says itself what happens.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from sota.boundaries.services import BACKEND_SERVICES, VEHICLE_SERVICES, backend_service, vehicle_service
from sota.kit.http.client import HttpClient
from sota.kit.http.listener import HttpListener
from tests.support.waiting import until

Answer = tuple[int, dict[str, Any]]
UNKNOWN: dict[str, Any] = {
    "update_id": "00000000-0000-7000-8000-000000000000",
    "package": {"name": "unknown", "version": "0.0.1"},
    "sha256": "0" * 64,
}
"""The identity of a download that no Core knows."""


def identity_of(notified: dict[str, Any], download: dict[str, Any]) -> dict[str, Any]:
    """Return the identity of a download of a ``notify``."""
    return {"update_id": notified["update_id"], "package": download["package"], "sha256": download["sha256"]}


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that Core sent to a vehicle."""

    vin: str
    service: str
    body: Any


class EdgePlayer:
    """Plays the RVI Node Server towards Core."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.scheduled: list[dict[str, Any]] = []
        self.unscheduled: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.refuse_schedules = False
        self.is_real = False
        """Whether it knows only the methods of a real rvi_core."""
        self.is_away = False
        self.addresses: dict[str, str] = {}
        self.vehicles: set[str] = set()
        self.on_message: Callable[[Heard], None] = lambda _heard: None
        self.settle: Callable[[], Awaitable[None]] | None = None
        """Waits until Core has committed what it took: it answers an acknowledgement before that."""
        self._listener = HttpListener(self, "127.0.0.1", 0)
        self._clients: dict[str, HttpClient] = {}

    @property
    def url(self) -> str:
        """Where Core finds it."""
        return f"http://127.0.0.1:{self._listener.port}"

    async def start(self) -> None:
        await self._listener.start()

    async def stop(self) -> None:
        for client in self._clients.values():
            await client.close()
        await self._listener.stop()

    async def connect(self, *vins: str) -> None:
        """Connect vehicles, and notify Core."""
        self.vehicles |= set(vins)
        await self._tell("services_available", vins)

    async def disconnect(self, *vins: str) -> None:
        """Disconnect vehicles, and notify Core."""
        self.vehicles -= set(vins)
        await self._tell("services_unavailable", vins)

    async def say(
        self, vin: str, service: str, body: dict[str, Any], *, peer: str | None = "", credential: str = "backend"
    ) -> Answer:
        """Send a message of a vehicle to a service of Core; ``peer`` is another VIN, or None for no peer at all."""
        params: dict[str, Any] = {"service_name": f"/sota/{service}", "parameters": [body]}
        if peer is not None:
            params["peer"] = {"vin": peer or vin, "credential": credential}
        return await self.post(service, {"jsonrpc": "2.0", "id": 1, "method": "message", "params": params})

    async def post(self, service: str, content: dict[str, Any]) -> Answer:
        """Call the address that Core registered for a service."""
        await self.registered()
        address = urlsplit(self.addresses[backend_service(service)])
        base = f"http://{address.netloc}"
        client = self._clients.setdefault(base, HttpClient(base))
        response = await client.request(
            "POST", address.path, body=msgspec.json.encode(content), headers={"content-type": "application/json"}
        )
        return response.status, msgspec.json.decode(response.body)

    async def registered(self) -> None:
        """Wait until Core has registered all its services."""

        async def look() -> bool:
            return len(self.addresses) == len(BACKEND_SERVICES)

        await until(look, "Core registers its services")

    async def expect(self, vin: str, service: str, *, after: int = 0) -> Heard:
        """Wait for a message to a vehicle's service, not one of the first ``after`` of its kind."""

        async def look() -> Heard | None:
            found = self.to(vin, service)
            return found[after] if len(found) > after else None

        return await until(look, f"{service} for {vin}", latest=lambda: [entry.service for entry in self.heard])

    def to(self, vin: str, service: str) -> list[Heard]:
        """All messages to a vehicle's service."""
        return [entry for entry in self.heard if (entry.vin, entry.service) == (vin, service)]

    async def _tell(self, method: str, vins: tuple[str, ...]) -> None:
        for vin in vins:
            for name in VEHICLE_SERVICES:
                params = {"services": [vehicle_service(vin, name)]}
                await self.post("start", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        content, more = b"", True
        while more:
            message = await receive()
            content += message.get("body", b"")
            more = message.get("more_body", False)
        status = 503 if self.is_away else 200
        answer = b"" if self.is_away else msgspec.json.encode(self._call(msgspec.json.decode(content)))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request["params"]
        self.calls.append(method)
        result: dict[str, Any] = {"status": 0, "method": method}
        if method == "register_service":
            full = f"genivi.org/backend{params['service']}"
            self.addresses[full] = params["network_address"]
            result["service"] = full
        elif method == "get_available_services":
            vehicles = [vehicle_service(vin, name) for vin in self.vehicles for name in VEHICLE_SERVICES]
            result["services"] = [*self.addresses, *vehicles]
        elif method == "message":
            result["transaction_id"] = len(self.heard) + 1
            _, _, vin, _, service = params["service_name"].split("/")
            heard = Heard(vin, service, params["parameters"][0])
            self.heard.append(heard)
            self.on_message(heard)
        elif self.is_real:
            result = {"status": 1}
        elif method == "schedule_update":
            if self.refuse_schedules:
                error = {"code": -32100, "message": "Task scheduling failed", "data": {"code": "scheduling_failed"}}
                return {"jsonrpc": "2.0", "id": request["id"], "error": error}
            self.scheduled += params
            result["vins"] = [entry["vin"] for entry in params]
        elif method == "unschedule_update":
            self.unscheduled += params
            result["vins"] = [entry["vin"] for entry in params]
        else:
            result = {"status": 1}
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}


class VehiclePlayer:
    """Plays one vehicle by hand: sends what a SOTA Client would, when the test wants it."""

    def __init__(self, edge: EdgePlayer, vin: str) -> None:
        self.edge, self.vin = edge, vin
        self.blocks: dict[int, dict[int, bytes]] = {}
        self.starts: dict[int, Any] = {}

    async def connect(self) -> None:
        await self.edge.connect(self.vin)

    def named(self, index: int, **more: Any) -> dict[str, Any]:
        """Return what every message about a download names, as the last ``notify`` with this index says.

        An index that came with no ``notify`` gets an identity that no Core knows. ``more`` replaces members.
        """
        known: dict[str, Any] = {"identity": UNKNOWN, "epoch": "0" * 16}
        for heard in self.edge.to(self.vin, "notify"):
            for download in heard.body["downloads"]:
                if download["download_index"] == index:
                    known = {"identity": identity_of(heard.body, download), "epoch": heard.body["epoch"]}
        return {"vin": self.vin, "download_index": index, **known, **more}

    async def initiate(self, index: int, **more: Any) -> Answer:
        """Ask for a download."""
        return await self.edge.say(self.vin, "start", self.named(index, **more))

    async def ack(self, index: int, received: str, outcome: tuple[int, str] | None = None, **more: Any) -> Answer:
        """Acknowledge blocks."""
        body = self.named(index, received=received, **more)
        if outcome is not None:
            body["outcome"] = {"status": outcome[0], "message": outcome[1]}
        answer = await self.edge.say(self.vin, "ack", body)
        if self.edge.settle is not None:
            await self.edge.settle()
        return answer

    async def report(self, index: int, package: str, status: str = "installed", **more: Any) -> Answer:
        """Report what became of a download."""
        name, _, version = package.partition("/")
        body = self.named(index, **{"status": status, "operations": [], **more})
        if "identity" not in more:
            body["identity"] = {**body["identity"], "package": {"name": name, "version": version}}
        return await self.edge.say(self.vin, "report", body)

    async def stage(self, index: int, stage: str, **more: Any) -> Answer:
        """Report a stage of the installation."""
        return await self.edge.say(self.vin, "stage", self.named(index, stage=stage, **more))

    async def greet(self, epoch: str | None, highest_index: int) -> Answer:
        """Report what the data folder remembers."""
        body = {"vin": self.vin, "highest_index": highest_index, **({"epoch": epoch} if epoch else {})}
        return await self.edge.say(self.vin, "connected", body)

    async def download(self, index: int, package: str, *, first: int = 0) -> bytes:
        """Go through a whole download, block by block; return the file. ``first``: starts that came before."""
        await self.initiate(index)
        start = (await self._next("start", index, first)).body
        content = await self.receive(index, start["block_count"])
        await self._next("finish", index, len(self._of("finish", index)) - 1 if self._of("finish", index) else 0)
        await self.ack(index, _all(start["block_count"]), (200, f"Download of {package} complete"))
        assert hashlib.sha256(content).hexdigest() == start["sha256"]
        return content

    async def receive(self, index: int, count: int) -> bytes:
        """Acknowledge blocks as they arrive, until all ``count`` are there."""
        await self.ack(index, "")
        blocks: dict[int, bytes] = {}
        while len(blocks) < count:

            async def look() -> bool:
                return len({heard.body["index"] for heard in self._of("chunk", index)}) > len(blocks)

            await until(look, f"a new block of download {index} for {self.vin}")
            for heard in self._of("chunk", index):
                blocks[heard.body["index"]] = base64.b64decode(heard.body["bytes"])
            await self.ack(index, ",".join(str(number) for number in sorted(blocks)))
        return b"".join(blocks[number] for number in sorted(blocks))

    def sent(self, index: int) -> list[int]:
        """The numbers of the blocks that Core has sent, in their order."""
        return [heard.body["index"] for heard in self._of("chunk", index)]

    async def next_message(self, service: str, index: int, after: int = 0) -> Any:
        """Wait for a message about a download."""
        return (await self._next(service, index, after)).body

    async def _next(self, service: str, index: int, after: int) -> Heard:
        async def look() -> Heard | None:
            found = self._of(service, index)
            return found[after] if len(found) > after else None

        return await until(
            look,
            f"{service} of download {index} for {self.vin}",
            latest=lambda: [entry.service for entry in self.edge.heard if entry.vin == self.vin],
        )

    def _of(self, service: str, index: int) -> list[Heard]:
        return [entry for entry in self.edge.to(self.vin, service) if entry.body["download_index"] == index]


def _all(count: int) -> str:
    return f"1-{count}" if count > 1 else "1" if count else ""
